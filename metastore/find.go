package metastore

import (
	"context"
	"errors"
	"fmt"
)

// Find is a consistent Get to which absence is an answer: nil if there is no item of key. The caller owns the item. Errors: those of Get
// but ErrNotFound, with the key.
func Find(ctx context.Context, s Store, key Key) (Item, error) {
	it, err := s.Get(ctx, key, Consistent)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return it, nil
}

// Transient reports whether err says that the same request may go through later: slow, in one another's way, or unsure. A write that is
// repeated must have a condition by which its own success is recognised.
func Transient(err error) bool {
	return errors.Is(err, ErrThrottled) || errors.Is(err, ErrConflict) || errors.Is(err, ErrUnknown)
}
