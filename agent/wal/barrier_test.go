package wal

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// barrier calls Barrier in the background.
func (r *rig) barrier(ctx context.Context) chan error {
	done := make(chan error, 1)
	go func() { done <- r.log.Barrier(ctx) }()
	synctest.Wait()
	return done
}

// hold makes all commits wait until the returned function is called.
func (r *rig) hold() (release func()) {
	gate := make(chan struct{})
	r.facts.hook(func(ctx context.Context, op metastore.Op, pass func() (metastore.Item, error)) (metastore.Item, error) {
		if _, commit := op.Set[records.AttrCommitted]; commit {
			select {
			case <-gate:
			case <-ctx.Done():
				return nil, metastore.ErrUnknown
			}
		}
		return pass()
	})
	return sync.OnceFunc(func() { close(gate) })
}

func waits(t *testing.T, done chan error, what string) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-done:
		t.Fatalf("%s: the barrier is through (%v)", what, err)
	default:
	}
}

// A barrier with nothing to wait for is through at once and writes nothing.
func TestBarrierOfAnIdleLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for range 3 {
			if err := r.log.Barrier(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(r.objects.puts) != 0 || r.facts.count() != 0 {
			t.Fatalf("%d PUTs, %d writes", len(r.objects.puts), r.facts.count())
		}
		r.append(0, 0, 10)
		if err := r.log.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		expectAcked(t, r.answers(), "0")
		if err := r.log.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := r.objects.count("w"); n != 1 {
			t.Fatalf("%d bundles for one batch", n)
		}
		r.end(context.Canceled)
	})
}

// A barrier waits for the commit of all that came before, in whichever bundle, and for nothing that came after (mutant: a barrier
// that returns before the commit).
func TestBarrierWaitsForTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.FlushBytes = 1000 })
		release := r.hold()
		r.append(0, 0, 10)
		synctest.Wait()
		for i := 1; i <= 5; i++ { // five bundles more
			r.append(i, 0, 1000)
		}
		synctest.Wait() // all are cut
		before := r.barrier(t.Context())
		waits(t, before, "all is durable, nothing committed")
		if n := r.objects.count("w"); n != 6 {
			t.Fatalf("%d bundles", n)
		}
		stop := make(chan struct{})
		r.objects.mu.Lock()
		r.objects.put = func(ctx context.Context, key string) error { // what comes after never lands
			select {
			case <-stop:
			case <-ctx.Done():
			}
			return errors.Join(objstore.ErrUnknown, ctx.Err())
		}
		r.objects.mu.Unlock()
		r.append(6, 0, 1000)
		after := r.barrier(t.Context())
		release()
		synctest.Wait()
		if err := <-before; err != nil {
			t.Fatal(err)
		}
		expectAcked(t, r.answers(), "0 1 2 3 4 5")
		waits(t, after, "its batch has not landed")
		close(stop)
		r.end(context.Canceled)
		if err := <-after; !errors.Is(err, records.ErrFenced) {
			t.Fatalf("the session ended under a barrier: %v", err)
		}
	})
}

// A barrier does not wait for the flush interval, and the Sink has seen all when it is through.
func TestBarrierFlushesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append(0, 0, 10)
		synctest.Wait()
		r.append(1, 0, 10)
		begun := time.Now()
		if err := r.log.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begun); d > 0 {
			t.Fatalf("took %v", d)
		}
		if got := r.sink.seqs(); len(got) != 2 {
			t.Fatalf("the sink saw %v", got)
		}
		expectAcked(t, r.answers(), "0 1")
		r.end(context.Canceled)
	})
}

// A barrier covers operations, also when no batch waits.
func TestBarrierCoversOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		release := r.hold()
		told := make(chan error, 1)
		r.log.Queue([]Control{{Op: bundle.Op{Kind: bundle.OpSlotOpen, Slot: 3, Epoch: 1}}}, func(err error) { told <- err })
		b := r.barrier(t.Context())
		waits(t, b, "not committed")
		release()
		if err := <-b; err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-told:
			if err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatal("the barrier was through before the operation was told of")
		}
		r.log.Queue(nil, func(err error) { told <- err })
		if err := <-told; err != nil {
			t.Fatal(err)
		}
		r.end(context.Canceled)
	})
}

// Under a fence a barrier says so, unless what it covers was committed before.
func TestBarrierUnderAFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append(0, 0, 10)
		if err := r.log.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.facts.Store.Write(t.Context(), metastore.Op{
			Kind: metastore.OpUpdate, Key: r.log.key, Set: metastore.Item{records.AttrState: records.Fenced.Value()},
		}); err != nil {
			t.Fatal(err)
		}
		if err := r.log.Barrier(t.Context()); err != nil {
			t.Fatalf("everything is committed: %v", err)
		}
		r.append(1, 0, 10)
		if err := r.log.Barrier(t.Context()); !errors.Is(err, records.ErrFenced) {
			t.Fatalf("got %v", err)
		}
		expectAcked(t, r.answers(), "0 1:refused")
		if err := r.log.Barrier(t.Context()); !errors.Is(err, records.ErrFenced) {
			t.Fatalf("after the end: %v", err)
		}
		if err := r.log.Snapshot(t.Context()); !errors.Is(err, records.ErrFenced) {
			t.Fatalf("a snapshot after the end: %v", err)
		}
		if err := r.log.Trim(t.Context(), 2, 0); !errors.Is(err, records.ErrFenced) {
			t.Fatalf("a trim after the end: %v", err)
		}
		r.end(records.ErrFenced)
	})
}

// Close and a barrier do not wait for each other; after Close all is committed, and a barrier says so.
func TestBarrierAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		release := r.hold()
		r.append(0, 0, 10)
		synctest.Wait()
		r.append(1, 0, 10)
		b := r.barrier(t.Context())
		closed := make(chan error, 1)
		go func() { closed <- r.log.Close(t.Context()) }()
		waits(t, b, "not committed")
		release()
		if err := errors.Join(<-b, <-closed); err != nil {
			t.Fatal(err)
		}
		if err := r.log.Barrier(t.Context()); err != nil {
			t.Fatalf("after Close: %v", err)
		}
		r.end(nil)
	})
}

// A barrier that is given up leaves nothing behind, and the flush it asked for comes.
func TestBarrierGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		release := r.hold()
		r.append(0, 0, 10)
		ctx, cancel := context.WithCancel(t.Context())
		b := r.barrier(ctx)
		cancel()
		if err := <-b; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if n := len(r.log.mu.barriers); n != 0 {
			t.Fatalf("%d barriers are left", n)
		}
		release()
		if err := r.log.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.end(context.Canceled)
	})
}

// Many appenders and barriers: a barrier that is through has everything that its own appender appended before.
func TestBarriersUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.FlushBytes = 4000; c.Interval = 20 * time.Millisecond })
		r.objects.put = func(context.Context, string) error { time.Sleep(7 * time.Millisecond); return nil }
		var wg sync.WaitGroup
		var mu sync.Mutex
		for g := range 5 {
			wg.Go(func() {
				for i := range 10 {
					tag := g*10 + i
					mu.Lock()
					r.append(tag, int32(g), 300)
					mu.Unlock()
					time.Sleep(time.Duration(tag%7) * time.Millisecond)
					if err := r.log.Barrier(t.Context()); err != nil {
						t.Error(err)
					}
					if err, ok := r.answers()[tag]; !ok || err != nil {
						t.Errorf("batch %d is not acked after the barrier: %v", tag, err)
					}
				}
			})
		}
		wg.Wait()
		r.end(context.Canceled)
	})
}

// A snapshot on demand covers all that is committed at the call, also while an older one is being written, and a second one of
// the same state is not written.
func TestSnapshotOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		if err := r.log.Snapshot(t.Context()); err != nil || len(r.objects.puts) != 0 {
			t.Fatalf("of nothing: %v, %d PUTs", err, len(r.objects.puts))
		}
		commit := func(tag int) {
			t.Helper()
			r.append(tag, 0, 10)
			if err := r.log.Barrier(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		commit(0)
		gate := make(chan struct{})
		r.objects.mu.Lock()
		r.objects.put = func(_ context.Context, key string) error {
			if strings.Contains(key, "/s/") {
				<-gate
			}
			return nil
		}
		r.objects.mu.Unlock()
		snapshot := func() chan error {
			done := make(chan error, 1)
			go func() { done <- r.log.Snapshot(t.Context()) }()
			synctest.Wait()
			return done
		}
		first := snapshot()
		commit(1)
		second, third := snapshot(), snapshot()
		gate <- struct{}{}
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		waits(t, second, "the one under way does not cover it")
		if s := r.session(); s.Snap != 1 || r.log.Snapped() != 1 {
			t.Fatalf("snapshot at %d, known %d", s.Snap, r.log.Snapped())
		}
		close(gate)
		if err := errors.Join(<-second, <-third); err != nil {
			t.Fatal(err)
		}
		if s := r.session(); s.Snap != 2 || r.objects.count("s") != 2 {
			t.Fatalf("snapshot at %d, %d written", s.Snap, r.objects.count("s"))
		}
		if err := r.log.Snapshot(t.Context()); err != nil || r.objects.count("s") != 2 {
			t.Fatalf("once more: %v, %d written", err, r.objects.count("s"))
		}
		r.end(context.Canceled)
	})
}

// Who waits for a snapshot hears of its end, whatever ends it.
func TestSnapshotOnDemandFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append(0, 0, 10)
		synctest.Wait()
		r.objects.mu.Lock()
		r.objects.put = func(context.Context, string) error { return objstore.ErrThrottled }
		r.objects.mu.Unlock()
		if err := r.log.Snapshot(t.Context()); !errors.Is(err, objstore.ErrThrottled) {
			t.Fatalf("got %v", err)
		}
		done := make(chan error, 1)
		go func() { done <- r.log.Snapshot(context.Background()) }()
		synctest.Wait()
		r.end(context.Canceled)
		if err := <-done; err == nil {
			t.Fatal("a snapshot that was cut short is said to be there")
		}
	})
}

// What waits when the flusher may not cut more than one bundle is in several: a barrier waits for the last.
func TestBarrierWaitsForAllBundles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.FlushBytes = 1000; c.InFlight = 1 })
		lands := make(chan struct{})
		r.objects.put = func(ctx context.Context, _ string) error {
			select {
			case <-lands:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for i := range 4 {
			r.append(i, 0, 1000)
			synctest.Wait()
		}
		b := r.barrier(t.Context())
		for i := range 3 {
			lands <- struct{}{}
			waits(t, b, "bundles are missing")
			if n := len(r.sink.seqs()); n != i+1 {
				t.Fatalf("%d bundles are committed, want %d", n, i+1)
			}
		}
		lands <- struct{}{}
		if err := <-b; err != nil {
			t.Fatal(err)
		}
		expectAcked(t, r.answers(), "0 1 2 3")
		r.end(context.Canceled)
	})
}

// late is a Done that takes its time.
type late struct{ told bool }

func (l *late) Appended(int, error) {
	time.Sleep(time.Second)
	l.told = true
}

// When a barrier is through, everybody who appended before it has been told.
func TestBarrierComesAfterTheAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var done late
		r.log.Append(Entry{Topic: testTopic, TopicName: "t", Epoch: 1, Batch: batch(t, 0, 10), Done: &done})
		if err := r.log.Barrier(t.Context()); err != nil || !done.told {
			t.Fatalf("told: %v, %v", done.told, err)
		}
		r.end(context.Canceled)
	})
}

// The item names a snapshot, but no try to say so was answered: the next one finds that out, and a log that is idle is not
// written again and again.
func TestSnapshotNamedWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.facts.hook(func(_ context.Context, op metastore.Op, pass func() (metastore.Item, error)) (metastore.Item, error) {
			item, err := pass()
			if _, snap := op.Set[records.AttrSnap]; snap {
				return nil, metastore.ErrUnknown
			}
			return item, err
		})
		r.append(1, 0, 10)
		time.Sleep(time.Second) // it is committed
		if err := r.log.Snapshot(t.Context()); !errors.Is(err, metastore.ErrUnknown) {
			t.Fatalf("no try was answered: %v", err)
		}
		r.facts.hook(nil)
		if s := r.session(); s.Snap != 1 {
			t.Fatalf("the item names %d", s.Snap)
		}
		if err := r.log.Snapshot(t.Context()); err != nil {
			t.Errorf("a session that is ACTIVE, with a snapshot of all there is: %v", err)
		}
		puts := r.objects.count("s")
		time.Sleep(time.Hour)
		if n := r.objects.count("s") - puts; n != 0 || r.log.Snapped() != 1 {
			t.Errorf("%d snapshots of an idle log in an hour; it knows of one up to %d", n, r.log.Snapped())
		}
		r.end(context.Canceled)
	})
}
