package records

import (
	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
)

// ProbeKey is the key of an item that a start-up probe writes and removes. Nobody reads what one left behind.
func (c Cluster) ProbeKey(id uuid.UUID, name string) metastore.Key {
	return metastore.Key{PK: c.pk("PROBE#" + id.String()), SK: name}
}
