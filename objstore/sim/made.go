package sim

import (
	"context"

	"github.com/varvelog/varve/objstore"
)

// Recipe makes objects: for a key its size in bytes, and what writes the bytes from off on into dst, which is all zeros and never reaches
// beyond the size. fill is nil for a key that it does not know.
type Recipe func(key string) (size int64, fill func(dst []byte, off int64))

// Made is an objstore.Store some of whose objects are made when they are read, so that a log may be larger than memory. They are in no
// listing, and a Put or Delete of them changes nothing that is read.
type Made struct {
	objstore.Store // the other objects
	recipe         Recipe
}

// NewMade returns a store of what recipe makes, and of inner.
func NewMade(inner objstore.Store, recipe Recipe) *Made { return &Made{inner, recipe} }

// Get implements objstore.Store.
func (m *Made) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if err := objstore.Check(ctx, key); err != nil {
		return objstore.Object{}, err
	}
	size, fill := m.recipe(key)
	if fill == nil {
		return m.Store.Get(ctx, key, r)
	}
	off, n, err := r.Resolve(size)
	if err != nil {
		return objstore.Object{}, err
	}
	body := make([]byte, n)
	fill(body, off)
	return r.Copy(body, size), nil
}
