// Package null is an object store that accepts and drops, so that a benchmark measures the agent's own processor time.
// Nothing can be read back: every Get is ErrNotFound, every List is empty. Data written to it is gone.
package null

import (
	"context"

	"github.com/varvelog/varve/objstore"
)

// Store is an objstore.Store that keeps nothing.
type Store struct{}

// New returns the store.
func New() Store { return Store{} }

// Put implements objstore.Store: it drops body.
func (Store) Put(ctx context.Context, key string, _ []byte) error { return objstore.Check(ctx, key) }

// Get implements objstore.Store: nothing is ever found.
func (Store) Get(ctx context.Context, key string, _ objstore.Range) (objstore.Object, error) {
	if err := objstore.Check(ctx, key); err != nil {
		return objstore.Object{}, err
	}
	return objstore.Object{}, objstore.ErrNotFound
}

// List implements objstore.Store: it is always empty.
func (Store) List(ctx context.Context, _, _ string, _ int) ([]objstore.Info, error) {
	return nil, objstore.Check(ctx)
}

// Delete implements objstore.Store.
func (Store) Delete(ctx context.Context, keys ...string) error {
	return objstore.CheckDelete(ctx, keys)
}
