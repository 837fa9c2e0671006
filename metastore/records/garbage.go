// Pure.

package records

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// GarbageShards is over how many partition keys Garbage is spread.
const GarbageShards = 16

// Garbage names objects that nothing refers to any more, for a worker to delete after NotBefore: the WAL of a session that
// is DRAINED, with its snapshots. It is written in the transaction that makes them garbage.
type Garbage struct {
	Session   uuid.UUID
	From, End int64 // of the WAL: sequences [From, End) may still exist; what lies beyond was never log
	NotBefore int64 // milliseconds since 1970: readers that looked before may need so long
}

// GarbagePK is the partition key of a shard.
func (c Cluster) GarbagePK(shard int) string { return c.pk(fmt.Sprintf("G#%x", shard%GarbageShards)) }

// GarbageKey is the key of the Garbage item of a session's WAL. One session is drained once.
func (c Cluster) GarbageKey(g Garbage) metastore.Key {
	return metastore.Key{PK: c.GarbagePK(int(g.Session[0])), SK: fmt.Sprintf("%013d#%s", g.NotBefore, g.Session)}
}

// Item encodes g.
func (g Garbage) Item() metastore.Item {
	return metastore.Item{
		AttrSession:   IDValue(g.Session),
		AttrStart:     metastore.N(g.From),
		AttrEnd:       metastore.N(g.End),
		AttrNotBefore: metastore.N(g.NotBefore),
	}
}

// DecodeGarbage decodes it. Error: ErrBadItem.
func DecodeGarbage(it metastore.Item) (Garbage, error) {
	f := fields{kind: "garbage", item: it}
	g := Garbage{Session: f.id(AttrSession), From: f.count(AttrStart), End: f.count(AttrEnd), NotBefore: f.count(AttrNotBefore)}
	if f.err != nil {
		return Garbage{}, f.err
	}
	return g, nil
}
