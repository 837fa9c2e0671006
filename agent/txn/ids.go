// Package txn hands out producer ids. The transaction coordinator will live here too.
package txn

import (
	"context"
	"errors"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// ErrUnavailable: the metastore gave no block of ids in time. Ask again.
var ErrUnavailable = errors.New("no producer ids: metastore is unavailable")

// IDs hands out producer ids that no other agent hands out.
type IDs struct {
	store   metastore.Store
	cluster records.Cluster
}

// NewIDs returns a source of ids.
func NewIDs(store metastore.Store, cluster records.Cluster) *IDs {
	return &IDs{store: store, cluster: cluster}
}

// Next returns an id. Errors: ErrUnavailable, or that of ctx.
func (i *IDs) Next(ctx context.Context) (int64, error) { return 0, ErrUnavailable }
