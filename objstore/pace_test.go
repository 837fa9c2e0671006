package objstore

import (
	"testing"
	"time"
)

// TestPaceWaitsOutABusyStore: what requests have earned is bounded, and after a 503 nothing is spent for a while.
func TestPaceWaitsOutABusyStore(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var p Pace
	for n := range 1000 {
		if _, ok := p.After(now); ok != (n >= paceLeast) {
			t.Fatalf("after %d requests: %v", n, ok)
		}
		p.Answered(time.Duration(n%100) * time.Millisecond)
	}
	if d, ok := p.After(now); !ok || d < 90*time.Millisecond || d > 98*time.Millisecond {
		t.Fatalf("hedges after %v, %v", d, ok)
	}
	p.Throttled(now)
	if p.Spend(now) || p.Spend(now.Add(paceCalm-1)) {
		t.Fatal("a hedge while the store is to be left alone")
	}
	now = now.Add(paceCalm)
	n := 0
	for p.Spend(now) {
		n++
	}
	if _, ok := p.After(now); ok || n != paceMost/pacePrice {
		t.Fatalf("%d hedges at once", n)
	}
	for range 19 {
		p.Answered(0)
	}
	if !p.Spend(now) || p.Spend(now) {
		t.Fatal("19 requests earn one hedge")
	}
}
