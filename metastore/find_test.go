package metastore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/varvelog/varve/metastore"
)

// reads is a store that answers Get alone, always the same.
type reads struct {
	metastore.Store
	it  metastore.Item
	err error
	how metastore.Consistency
}

func (r *reads) Get(_ context.Context, _ metastore.Key, how metastore.Consistency) (metastore.Item, error) {
	r.how = how
	return r.it, r.err
}

func TestFind(t *testing.T) {
	key := metastore.Key{PK: "a", SK: "b"}
	there := &reads{it: metastore.Item{"n": metastore.N(1)}}
	if it, err := metastore.Find(t.Context(), there, key); err != nil || len(it) != 1 || there.how != metastore.Consistent {
		t.Errorf("got %v, %v, read with %v", it, err, there.how)
	}
	gone := &reads{err: fmt.Errorf("table: %w", metastore.ErrNotFound)}
	if it, err := metastore.Find(t.Context(), gone, key); it != nil || err != nil {
		t.Errorf("an item that is not there: %v, %v", it, err)
	}
	slow := &reads{err: metastore.ErrThrottled}
	it, err := metastore.Find(t.Context(), slow, key)
	if it != nil || !errors.Is(err, metastore.ErrThrottled) || !strings.Contains(err.Error(), key.String()) {
		t.Errorf("a store that throttles: %v, %v", it, err)
	}
}

func TestTransient(t *testing.T) {
	for err, want := range map[error]bool{
		metastore.ErrThrottled: true, metastore.ErrConflict: true, metastore.ErrUnknown: true,
		metastore.ErrNotFound: false, metastore.ErrCondition: false, metastore.ErrRefused: false, metastore.ErrTooLarge: false,
		context.Canceled: false,
	} {
		if got := metastore.Transient(fmt.Errorf("table: %w", err)); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
	if metastore.Transient(nil) || metastore.Transient(&metastore.ConditionError{}) {
		t.Error("success and a failed condition are final")
	}
}
