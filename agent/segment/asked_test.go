package segment

import (
	"context"
	"testing"
	"time"
)

// TestPack: who asks has all that lies in bundles packed at once, long before it is time; after that a whole interval passes again.
func TestPack(t *testing.T) {
	r := newRig(t)
	r.cfg.PackInterval = time.Hour
	names := r.topic("a", 3)
	r.open()
	r.write(names, 1000, 2)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		r.room.Run(ctx)
	}()
	if err := r.room.Pack(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.room.Pack(ctx); err != nil { // there is nothing left
		t.Fatal(err)
	}
	cancel()
	<-over
	if r.kinds()["k"] != 1 || r.walRuns() != 0 {
		t.Errorf("%v, %d runs lie in bundles", r.kinds(), r.walRuns())
	}
	if waited := time.Since(r.room.packed); waited > time.Minute {
		t.Errorf("packed last %v ago", waited)
	}
	if err := r.room.Pack(ctx); err == nil {
		t.Error("a room that does not run packs")
	}
	r.check()
}
