// Pure.

package records

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// GarbageShards is over how many partition keys Garbage is spread.
const GarbageShards = 16

// MaxGarbageKeys is how many keys one Garbage item may name: keys of the greatest length fit into an item.
const MaxGarbageKeys = 300

// Garbage names objects that nothing refers to any more, for a worker to delete after NotBefore. It is written in the transaction
// that makes them garbage, or before. It has one of three forms: a part of a session's WAL (Session is set), keys (ID is set), or all that
// a deleted topic has in segments (ID and Partitions are set).
type Garbage struct {
	NotBefore int64 // milliseconds since 1970: readers that looked before may need so long
	Bytes     int64 // of the objects, as far as known: for display

	Session   uuid.UUID
	From, End int64 // of the WAL: sequences [From, End) may still exist
	Snapshots bool  // the session is DRAINED: all its snapshots are garbage too

	ID         uuid.UUID // chosen by the writer, tells items apart; or of the topic
	Keys       []string  // of objects, at most MaxGarbageKeys
	Partitions int32     // how many the topic had: their Partition items and extents go too
}

var errForms = errors.New(`not one of three forms: want one of "session", "keys" and "partitions"`)

// GarbagePK is the partition key of a shard.
func (c Cluster) GarbagePK(shard int) string { return c.pk(fmt.Sprintf("G#%x", shard%GarbageShards)) }

// GarbageKey is the key of a Garbage item. One session is drained once, and trims past a sequence once.
func (c Cluster) GarbageKey(g Garbage) metastore.Key {
	switch {
	case g.ID != uuid.Nil:
		return metastore.Key{PK: c.GarbagePK(int(g.ID[0])), SK: fmt.Sprintf("%013d#%s", g.NotBefore, g.ID)}
	case g.Snapshots:
		return metastore.Key{PK: c.GarbagePK(int(g.Session[0])), SK: fmt.Sprintf("%013d#%s", g.NotBefore, g.Session)}
	}
	return metastore.Key{PK: c.GarbagePK(int(g.Session[0])), SK: fmt.Sprintf("%013d#%s#%016x", g.NotBefore, g.Session, uint64(g.From))}
}

// GarbageDue is a sort key above those of all Garbage items whose NotBefore is now (ms since 1970) or earlier, and below all others.
func GarbageDue(now int64) string { return fmt.Sprintf("%013d", now+1) }

// Item encodes g.
func (g Garbage) Item() metastore.Item {
	it := metastore.Item{AttrNotBefore: metastore.N(g.NotBefore), AttrBytes: metastore.N(g.Bytes)}
	switch {
	case g.Partitions > 0:
		it[AttrID], it[AttrPartitions] = IDValue(g.ID), metastore.N(int64(g.Partitions))
		return it
	case g.ID != uuid.Nil:
		it[AttrID], it[AttrKeys] = IDValue(g.ID), keysValue(g.Keys)
		return it
	}
	it[AttrSession], it[AttrStart], it[AttrEnd] = IDValue(g.Session), metastore.N(g.From), metastore.N(g.End)
	it[AttrSnapshots] = metastore.N(0)
	if g.Snapshots {
		it[AttrSnapshots] = metastore.N(1)
	}
	return it
}

// DecodeGarbage decodes it. Error: ErrBadItem.
func DecodeGarbage(it metastore.Item) (Garbage, error) {
	f := fields{kind: "garbage", item: it}
	g := Garbage{NotBefore: f.count(AttrNotBefore), Bytes: f.counter(AttrBytes)}
	forms := 0
	for _, attr := range []string{AttrSession, AttrKeys, AttrPartitions} {
		if _, there := it[attr]; there {
			forms++
		}
	}
	_, keys := it[AttrKeys]
	_, partitions := it[AttrPartitions]
	switch {
	case forms != 1:
		f.fail(AttrSession, errForms)
	case keys || partitions:
		if g.ID = f.id(AttrID); f.err == nil && g.ID == uuid.Nil {
			f.fail(AttrID, errRange)
		}
		if keys {
			g.Keys = packed(&f, AttrKeys, parseKeys)
		} else {
			g.Partitions = int32(f.num(AttrPartitions, 1, math.MaxInt32))
		}
	default:
		g.Session, g.From, g.End = f.id(AttrSession), f.count(AttrStart), f.count(AttrEnd)
		if g.Snapshots = f.counter(AttrSnapshots) == 1; f.counter(AttrSnapshots) > 1 {
			f.fail(AttrSnapshots, errRange)
		}
	}
	if f.err != nil {
		return Garbage{}, f.err
	}
	return g, nil
}

func keysValue(keys []string) metastore.Value {
	p := newPacker(128 * len(keys))
	for _, k := range keys {
		p.str(k)
	}
	return metastore.B(p.b)
}

func parseKeys(b []byte) ([]string, error) {
	var keys []string
	for u := unpack(b); ; {
		if u.done() {
			return slices.Clip(keys), u.err
		}
		k := u.str()
		if k == "" || len(keys) == MaxGarbageKeys {
			u.fail(errRange)
		}
		keys = append(keys, k)
	}
}
