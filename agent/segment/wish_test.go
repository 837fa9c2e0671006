package segment

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// A topic that is asked for is cut up to where it reached at that moment, from packs and from the WAL, long before its time; others are not,
// and what comes later is not.
func TestRewriteOnDemand(t *testing.T) {
	r := newRig(t)
	asked, other := r.topic("a", 3), r.topic("b", 2)
	r.open()
	r.write(asked, 300, 2)
	r.write(other, 300, 2)
	r.round(time.Minute) // packs
	r.write(asked, 300, 2)
	r.write(other, 300, 2)
	if err := r.room.Rewrite(asked[0].Topic); err != nil {
		t.Fatal(err)
	}
	if all := r.room.Rewritings(); len(all) != 1 || all[0].Left != 3 || len(all[0].Some) != 3 || all[0].Segments != 0 {
		t.Fatal(all)
	}
	r.produce(asked[0], 300)
	r.flush()
	r.round(time.Second)
	r.check()
	if all := r.room.Rewritings(); len(all) != 1 || all[0].Left != 0 || all[0].Segments != 3 || all[0].Bytes == 0 {
		t.Fatal(all)
	}
	for i, n := range asked {
		if p, extents := r.extents(n); p.Tiered < 8 || len(extents) != 1 {
			t.Fatal(i, p, extents)
		}
	}
	for _, n := range other {
		if _, extents := r.extents(n); len(extents) > 0 {
			t.Fatal("nobody asked for it", extents)
		}
	}
	r.write(asked, 300, 1)
	r.round(time.Second)
	if _, extents := r.extents(asked[1]); len(extents) != 1 {
		t.Fatal("what came later was cut", extents)
	}
	r.accounts()
}

// A partition that lies in more packs than a segment is cut from is cut all the same, in pieces.
func TestRewriteOfManyPacks(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 2)
	r.open()
	for range maxPacks {
		r.write(names, 300, 1)
		r.round(time.Minute)
	}
	for range 3 {
		r.write(names, 300, 1)
		r.room.packed = time.Time{}
		if err := r.room.packAll(t.Context(), r.room.tails(r.now), true, r.now); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.room.Rewrite(names[0].Topic); err != nil {
		t.Fatal(err)
	}
	r.round(time.Second)
	r.check()
	for _, n := range names {
		if p, extents := r.extents(n); p.Tiered != r.logs[n].end || len(extents) != 2 {
			t.Fatal(p, extents)
		}
	}
	r.round(time.Minute)
	if idle := r.accounts(); idle != 0 {
		t.Fatal(idle)
	}
}

// A wish wakes the room, is forgotten after an hour, and there are not more of them than a few.
func TestWishes(t *testing.T) { synctest.Test(t, testWishes) }

func testWishes(t *testing.T) {
	r := newRig(t)
	r.cfg.PackInterval = time.Hour
	names := r.topic("a", 1)
	r.open()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.room.Run(ctx); close(done) }()
	r.write(names, 300, 1)
	if err := r.room.Rewrite(names[0].Topic); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if _, extents := r.extents(names[0]); len(extents) != 1 {
		t.Fatal("nobody woke up")
	}
	cancel()
	<-done
	for range maxWishes - 1 {
		if err := r.room.Rewrite(uuid.New()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.room.Rewrite(uuid.New()); !errors.Is(err, ErrManyWishes) {
		t.Fatal(err)
	}
	if err := r.room.Rewrite(names[0].Topic); err != nil {
		t.Fatal("it was asked for before:", err)
	}
	time.Sleep(wishTime + time.Second)
	r.write(names, 300, 1)
	if all := r.room.Rewritings(); len(all) != 0 {
		t.Fatal(all)
	}
	if err := r.room.Rewrite(uuid.New()); err != nil {
		t.Fatal(err)
	}
}
