// Pure.

package records

import (
	"fmt"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// Pack counts what still lies in a pack. It is written before the object, so that no object in the bucket is nameless. A run
// counts until it is linked as part of a segment, or below its partition's log start, or moved to another pack, or its topic is gone;
// whoever takes the last one off removes the item and queues the object, in one transaction.
type Pack struct {
	ID      uuid.UUID // in the object's key
	Session uuid.UUID // of the writer
	Live    int64     // runs that somebody may still need
	Runs    int64     // in the object
	Bytes   int64     // of the object
	Created int64     // ms since 1970
	Nonce   uuid.UUID // of the last who took runs off without linking them
}

// PackKey is the key of the Pack item.
func (c Cluster) PackKey(id uuid.UUID) metastore.Key {
	return metastore.Key{PK: c.pk("O#" + id.String()), SK: "-"}
}

// Item encodes p.
func (p Pack) Item() metastore.Item {
	return metastore.Item{
		AttrID:      IDValue(p.ID),
		AttrSession: IDValue(p.Session),
		AttrLive:    metastore.N(p.Live),
		AttrRuns:    metastore.N(p.Runs),
		AttrBytes:   metastore.N(p.Bytes),
		AttrCreated: metastore.N(p.Created),
		AttrNonce:   IDValue(p.Nonce),
	}
}

// DecodePack decodes it. Error: ErrBadItem.
func DecodePack(it metastore.Item) (Pack, error) {
	f := fields{kind: "pack", item: it}
	p := Pack{
		ID:      f.id(AttrID),
		Session: f.id(AttrSession),
		Live:    f.count(AttrLive),
		Runs:    f.count(AttrRuns),
		Bytes:   f.count(AttrBytes),
		Created: f.count(AttrCreated),
		Nonce:   f.id(AttrNonce),
	}
	if p.Live > p.Runs {
		f.fail(AttrLive, fmt.Errorf("above %q of %d: %w", AttrRuns, p.Runs, errRange))
	}
	if f.err != nil {
		return Pack{}, f.err
	}
	return p, nil
}
