// Pure.

package records

import (
	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// DroppedTTL is how long a Dropped item is kept, in seconds: 7 days, far longer than a deletion takes.
const DroppedTTL = 7 * 24 * 3600

// Dropped says that a session has dropped a topic that is DELETING: it appends nothing to it any more, whatever its clients
// still send. The topic's item goes once all sessions that lead a slot have said so; until then its name is not free, or a
// leader that has not heard of the deletion could ack records into a topic that is gone. Absence says nothing.
type Dropped struct {
	Session uuid.UUID
	TTL     int64 // seconds since 1970
}

// DroppedPK is the partition key of the Dropped items of a topic.
func (c Cluster) DroppedPK(topic uuid.UUID) string { return c.pk("D#" + topic.String()) }

// DroppedKey is the key of the Dropped item of a topic and a session.
func (c Cluster) DroppedKey(topic, session uuid.UUID) metastore.Key {
	return metastore.Key{PK: c.DroppedPK(topic), SK: session.String()}
}

// Item encodes d.
func (d Dropped) Item() metastore.Item {
	return metastore.Item{AttrSession: IDValue(d.Session), AttrTTL: metastore.N(d.TTL)}
}

// DecodeDropped decodes it. Error: ErrBadItem.
func DecodeDropped(it metastore.Item) (Dropped, error) {
	f := fields{kind: "dropped", item: it}
	d := Dropped{Session: f.id(AttrSession), TTL: f.count(AttrTTL)}
	if f.err != nil {
		return Dropped{}, f.err
	}
	return d, nil
}
