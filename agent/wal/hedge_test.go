package wal

import (
	"testing"
	"time"
)

// TestHedgerWaitsOutABusyStore: what PUTs have earned is bounded, and after a 503 nothing is spent for a while.
func TestHedgerWaitsOutABusyStore(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var h hedger
	for n := range 1000 {
		if _, ok := h.after(now); ok != (n >= hedgeLeast) {
			t.Fatalf("after %d PUTs: %v", n, ok)
		}
		h.done(time.Duration(n%100) * time.Millisecond)
	}
	if d, ok := h.after(now); !ok || d < 90*time.Millisecond || d > 98*time.Millisecond {
		t.Fatalf("hedges after %v, %v", d, ok)
	}
	h.throttled(now)
	if h.spend(now) || h.spend(now.Add(hedgeCalm-1)) {
		t.Fatal("a hedge while the store is to be left alone")
	}
	now = now.Add(hedgeCalm)
	n := 0
	for h.spend(now) {
		n++
	}
	if _, ok := h.after(now); ok || n != hedgeMost/hedgePrice {
		t.Fatalf("%d hedges at once", n)
	}
	for range 19 {
		h.done(0)
	}
	if !h.spend(now) || h.spend(now) {
		t.Fatal("19 PUTs earn one hedge")
	}
}
