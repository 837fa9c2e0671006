package wal

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// The Sink hears that a snapshot is recorded when the item names it, and before Snapped says so; of one whose naming was not confirmed it
// hears nothing, be it named or not.
func TestSinkHearsWhatIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		lose, apply := false, false
		r.facts.hook(func(_ context.Context, op metastore.Op, pass func() (metastore.Item, error)) (metastore.Item, error) {
			if _, snap := op.Set[records.AttrSnap]; !snap || !lose {
				return pass()
			}
			if apply {
				_, _ = pass()
			}
			return nil, metastore.ErrUnknown
		})
		r.sink.onRecorded = func() {
			if s := r.session(); uint64(s.Snap) <= r.log.Snapped() {
				t.Errorf("the sink hears of snapshot %d, the log says %d already", s.Snap, r.log.Snapped())
			}
		}
		step := func(tag int, ok bool, want ...int) {
			t.Helper()
			r.append(tag, 0, 10)
			if err := r.log.Barrier(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := r.log.Snapshot(t.Context()); (err == nil) != ok || err != nil && !errors.Is(err, metastore.ErrUnknown) {
				t.Fatal(err)
			}
			synctest.Wait()
			r.sink.mu.Lock()
			defer r.sink.mu.Unlock()
			if !slices.Equal(r.sink.recorded, want) {
				t.Fatalf("snapshots %v are recorded, want %v", r.sink.recorded, want)
			}
		}
		step(0, true, 1)
		lose = true
		step(1, false, 1)
		apply = true
		step(2, false, 1)
		lose = false
		if err := r.log.Snapshot(t.Context()); err != nil { // finds the third one named: nothing is newer
			t.Fatal(err)
		}
		step(3, true, 1, 5)
		r.end(context.Canceled)
	})
}

// The last snapshot, at a stop, is recorded too.
func TestLastSnapshotIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append(0, 0, 10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.log.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.sink.recorded, []int{1}) || r.log.Snapped() != 1 {
			t.Fatalf("recorded %v, up to %d", r.sink.recorded, r.log.Snapped())
		}
		r.end(nil)
	})
}
