package null_test

import (
	"context"
	"errors"
	"testing"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/null"
)

func TestNull(t *testing.T) {
	var s objstore.Store = null.New()
	ctx := t.Context()
	if err := s.Put(ctx, "k", []byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(ctx, "k", objstore.Range{}); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("get: %v, want ErrNotFound", err)
	}
	if page, err := s.List(ctx, "", "", 0); err != nil || len(page) > 0 {
		t.Errorf("list: %v, %v", page, err)
	}
	if err := s.Delete(ctx, "k"); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Put(ended, "k", nil); !errors.Is(err, objstore.ErrUnknown) {
		t.Errorf("put: %v, want ErrUnknown", err)
	}
	if err := s.Put(ctx, "../k", nil); !errors.Is(err, objstore.ErrRefused) {
		t.Errorf("put: %v, want ErrRefused", err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = s.Put(ctx, "a/key", nil) }); n > 1 {
		t.Errorf("%v allocations a put", n)
	}
}
