package segment

import (
	"context"

	"github.com/varvelog/varve/objstore"
)

var objstoreAll objstore.Range

// hookStore calls put before each Put.
type hookStore struct {
	objstore.Store
	put func(key string)
}

func (s *hookStore) Put(ctx context.Context, key string, body []byte) error {
	s.put(key)
	return s.Store.Put(ctx, key, body)
}
