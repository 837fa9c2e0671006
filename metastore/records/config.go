// Pure.

package records

import (
	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// Format is the version of the whole layout, of table and bucket, that this build writes and understands.
const Format = 1

// MaxSlots is the most slots of a cluster.
const MaxSlots = 1 << 16

// Config is what a cluster is, fixed at its creation.
type Config struct {
	Format  int64
	Cluster uuid.UUID // stands in every object, so that a bucket and a table of different clusters are noticed
	Slots   int       // 1 to MaxSlots
	Created int64     // milliseconds since 1970
}

// ConfigKey is the key of the Config item.
func (c Cluster) ConfigKey() metastore.Key { return metastore.Key{PK: c.pk("C"), SK: "CFG"} }

// Item encodes c.
func (c Config) Item() metastore.Item {
	return metastore.Item{
		AttrFormat:  metastore.N(c.Format),
		AttrCluster: IDValue(c.Cluster),
		AttrSlots:   metastore.N(int64(c.Slots)),
		AttrCreated: metastore.N(c.Created),
	}
}

// DecodeConfig decodes it. Error: ErrBadItem. It does not judge Format: the caller refuses what it does not know.
func DecodeConfig(it metastore.Item) (Config, error) {
	f := fields{kind: "config", item: it}
	c := Config{
		Format:  f.count(AttrFormat),
		Cluster: f.id(AttrCluster),
		Slots:   int(f.num(AttrSlots, 1, MaxSlots)),
		Created: f.count(AttrCreated),
	}
	if f.err != nil {
		return Config{}, f.err
	}
	return c, nil
}
