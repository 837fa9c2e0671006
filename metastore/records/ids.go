// Pure.

package records

import (
	"github.com/varvelog/varve/metastore"
)

// IDs holds counters from which numbers are taken, never given back. They move by Add, and the answer of the update is the
// number taken; an unknown outcome burns one. An absent counter is 0.
type IDs struct {
	Node     int64 // node ids taken
	Producer int64 // producer-id blocks taken
	Start    int64 // session starts
}

// IDsKey is the key of the IDs item.
func (c Cluster) IDsKey() metastore.Key { return metastore.Key{PK: c.pk("C"), SK: "ID"} }

// Item encodes i.
func (i IDs) Item() metastore.Item {
	return metastore.Item{
		AttrNode:     metastore.N(i.Node),
		AttrProducer: metastore.N(i.Producer),
		AttrStart:    metastore.N(i.Start),
	}
}

// DecodeIDs decodes it. Error: ErrBadItem.
func DecodeIDs(it metastore.Item) (IDs, error) {
	f := fields{kind: "ids", item: it}
	i := IDs{Node: f.counter(AttrNode), Producer: f.counter(AttrProducer), Start: f.counter(AttrStart)}
	if f.err != nil {
		return IDs{}, f.err
	}
	return i, nil
}
