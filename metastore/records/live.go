// Pure.

package records

import (
	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// Live points to a session that has not been sealed or closed, so that live sessions can be listed with one query. The
// session is the sort key. It is a hint: the Session item alone says what state a session is in.
type Live struct {
	Agent string // name
}

// LivePK is the partition key of all Live items.
func (c Cluster) LivePK() string { return c.pk("L") }

// LiveKey is the key of the Live item of session.
func (c Cluster) LiveKey(session uuid.UUID) metastore.Key {
	return metastore.Key{PK: c.LivePK(), SK: session.String()}
}

// Item encodes l.
func (l Live) Item() metastore.Item { return metastore.Item{AttrAgent: metastore.S(l.Agent)} }

// DecodeLive decodes it. Error: ErrBadItem.
func DecodeLive(it metastore.Item) (Live, error) {
	f := fields{kind: "live", item: it}
	l := Live{Agent: f.str(AttrAgent)}
	if f.err != nil {
		return Live{}, f.err
	}
	return l, nil
}
