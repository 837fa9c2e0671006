// Pure.

package records

import (
	"github.com/varvelog/varve/metastore"
)

// Version holds advisory counters that agents poll: a higher one means "look". They move by Add, so an absent one is 0.
type Version struct {
	Map   int64 // of the Slot items
	Topic int64 // of the Topic items; also the version of the newest TopicLog item
}

// VersionKey is the key of the Version item.
func (c Cluster) VersionKey() metastore.Key { return metastore.Key{PK: c.pk("C"), SK: "VER"} }

// Item encodes v.
func (v Version) Item() metastore.Item {
	return metastore.Item{AttrMap: metastore.N(v.Map), AttrTopic: metastore.N(v.Topic)}
}

// DecodeVersion decodes it. Error: ErrBadItem.
func DecodeVersion(it metastore.Item) (Version, error) {
	f := fields{kind: "version", item: it}
	v := Version{Map: f.counter(AttrMap), Topic: f.counter(AttrTopic)}
	if f.err != nil {
		return Version{}, f.err
	}
	return v, nil
}
