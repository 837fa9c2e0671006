// Pure.

package records

import (
	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// GroupConfig is what is set of a group besides the defaults of its coordinator. It is there before the group is, and after.
type GroupConfig struct {
	Configs map[string]string // by Kafka's names; never nil after decoding
	V       int64             // rises with every write
	Nonce   uuid.UUID         // of the last write
}

// GroupConfigsPK is the partition key of the configs of all groups of a cluster.
func (c Cluster) GroupConfigsPK() string { return c.pk("GCFG") }

// GroupConfigKey is the key of the configs of a group. ParseGroupSK reads the name back.
func (c Cluster) GroupConfigKey(group string) metastore.Key {
	return metastore.Key{PK: c.GroupConfigsPK(), SK: escapeGroup(group)}
}

// Item encodes g.
func (g GroupConfig) Item() metastore.Item {
	return metastore.Item{AttrConfigs: ConfigsValue(g.Configs), AttrV: metastore.N(g.V), AttrNonce: IDValue(g.Nonce)}
}

// DecodeGroupConfig decodes it. Error: ErrBadItem.
func DecodeGroupConfig(it metastore.Item) (GroupConfig, error) {
	f := fields{kind: "group config", item: it}
	g := GroupConfig{Configs: packed(&f, AttrConfigs, parseConfigs), V: f.count(AttrV), Nonce: f.id(AttrNonce)}
	if f.err != nil {
		return GroupConfig{}, f.err
	}
	return g, nil
}
