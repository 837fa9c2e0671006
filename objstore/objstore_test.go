package objstore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/mem"
)

// TestRange checks Resolve and Header against each other: what the header says is what Resolve returns.
func TestRange(t *testing.T) {
	for _, c := range []struct {
		r       objstore.Range
		size    int64
		off, n  int64 // n < 0 is ErrRange
		header  string
		all     bool
		suffix  bool
		inWords string
	}{
		{objstore.Range{}, 0, 0, 0, "", true, false, "whole object"},
		{objstore.Range{}, 10, 0, 10, "", true, false, "whole object"},
		{objstore.Exact(2, 3), 10, 2, 3, "bytes=2-4", false, false, "bytes=2-4"},
		{objstore.Exact(0, 10), 10, 0, 10, "bytes=0-9", false, false, "bytes=0-9"},
		{objstore.Exact(0, 11), 10, 0, -1, "bytes=0-10", false, false, "bytes=0-10"},
		{objstore.From(9), 10, 9, 1, "bytes=9-", false, false, "bytes=9-"},
		{objstore.From(10), 10, 0, -1, "bytes=10-", false, false, "bytes=10-"},
		{objstore.Suffix(3), 10, 7, 3, "bytes=-3", false, true, "bytes=-3"},
		{objstore.Suffix(30), 10, 0, 10, "bytes=-30", false, true, "bytes=-30"},
		{objstore.Suffix(3), 0, 0, 0, "bytes=-3", false, true, "bytes=-3"},
	} {
		off, n, err := c.r.Resolve(c.size)
		if c.n < 0 {
			if !errors.Is(err, objstore.ErrRange) {
				t.Errorf("%s of %d: %d, %d, %v, want ErrRange", c.r, c.size, off, n, err)
			}
		} else if err != nil || off != c.off || n != c.n {
			t.Errorf("%s of %d: %d, %d, %v, want %d, %d", c.r, c.size, off, n, err, c.off, c.n)
		}
		if c.r.Header() != c.header || c.r.IsAll() != c.all || c.r.IsSuffix() != c.suffix || c.r.String() != c.inWords {
			t.Errorf("%s: %q, %v, %v", c.r, c.r.Header(), c.r.IsAll(), c.r.IsSuffix())
		}
	}
}

// TestRangeInside checks that no range ever points outside of its object, whatever its numbers.
func TestRangeInside(t *testing.T) {
	number := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 20), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64}))
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		size := rapid.OneOf(rapid.Int64Range(0, 20), rapid.Int64Min(0)).Draw(t, "size")
		for _, r := range []objstore.Range{objstore.Exact(a, b), objstore.From(a), objstore.Suffix(b), {}} {
			off, n, err := r.Resolve(size)
			if err == nil && (off < 0 || n < 0 || off > size || n > size-off) {
				t.Fatalf("%s of %d: %d, %d", r, size, off, n)
			}
		}
	})
}

// deaf is a store that takes no notice of Into.
type deaf struct{ objstore.Store }

func (d deaf) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	return d.Store.Get(ctx, key, r.Into())
}

// TestGetInto: bytes that did not come where they were wanted are no success.
func TestGetInto(t *testing.T) {
	s := mem.New()
	if err := s.Put(t.Context(), "k", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	a, b := make([]byte, 3), make([]byte, 2)
	if err := objstore.GetInto(t.Context(), s, "k", 4, a, b); err != nil || string(a)+string(b) != "45678" {
		t.Errorf("%q, %q, %v", a, b, err)
	}
	if err := objstore.GetInto(t.Context(), deaf{s}, "k", 4, a, b); !errors.Is(err, objstore.ErrUnknown) {
		t.Error(err)
	}
	if r := objstore.Exact(0, 3); r.Into(a).IsScattered() || !r.Into(a[:1], a[1:]).IsScattered() || r.Into(a).Into().IsScattered() {
		t.Error("scattered?")
	}
}

func TestDeleteError(t *testing.T) {
	var err error = &objstore.DeleteError{Keys: []string{"a", "b"}}
	if !errors.Is(err, objstore.ErrUnknown) || !strings.Contains(err.Error(), `2 keys`) || !strings.Contains(err.Error(), `"a"`) {
		t.Error(err)
	}
	err = &objstore.DeleteError{Keys: []string{"a"}, Reason: objstore.ErrThrottled}
	if !errors.Is(err, objstore.ErrThrottled) || errors.Is(err, objstore.ErrUnknown) {
		t.Error(err)
	}
}

func TestTransient(t *testing.T) {
	for err, want := range map[error]bool{
		objstore.ErrThrottled: true, objstore.ErrUnknown: true, &objstore.DeleteError{Keys: []string{"a"}}: true,
		objstore.ErrNotFound: false, objstore.ErrRange: false, objstore.ErrRefused: false, objstore.ErrCorrupt: false,
	} {
		if got := objstore.Transient(fmt.Errorf("bucket: %w", err)); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
	if objstore.Transient(nil) {
		t.Error("success is final")
	}
}

func TestEnded(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	if err := objstore.Ended(ctx); err != nil {
		t.Error(err)
	}
	cancel(why)
	for _, want := range []error{objstore.ErrUnknown, context.Canceled, why} {
		if err := objstore.Ended(ctx); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	// An illegal key never becomes legal: that comes first.
	if err := objstore.Check(ctx, "../x"); !errors.Is(err, objstore.ErrRefused) || errors.Is(err, objstore.ErrUnknown) {
		t.Error(err)
	}
	if err := objstore.CheckDelete(t.Context(), make([]string, objstore.MaxDelete+1)); !errors.Is(err, objstore.ErrRefused) {
		t.Error(err)
	}
}

func TestListLimit(t *testing.T) {
	for limit, want := range map[int]int{-1: 1000, 0: 1000, 1: 1, 999: 999, 1000: 1000, 1001: 1000, math.MaxInt: 1000} {
		if got := objstore.ListLimit(limit); got != want {
			t.Errorf("%d: %d, want %d", limit, got, want)
		}
	}
}

func TestPurpose(t *testing.T) {
	if p := objstore.PurposeOf(t.Context()); p != objstore.PurposeOther {
		t.Errorf("got %q", p)
	}
	if p := objstore.PurposeOf(objstore.WithPurpose(t.Context(), objstore.PurposeGC)); p != objstore.PurposeGC {
		t.Errorf("got %q", p)
	}
}
