package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
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

// A flush is one PUT and one write, whatever the number of partitions.
func TestFlushIsOnePutAndOneWrite(t *testing.T) {
	for _, partitions := range []int{1, 10, 1000, 10_000} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.FlushBytes = 8 << 20 })
			for p := range partitions {
				r.append(p, int32(p), 10)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if n := len(r.answers()); n != partitions {
				t.Fatalf("%d of %d answered", n, partitions)
			}
			// The first entry finds a quiet log and may go alone.
			if puts, writes := r.objects.count("w"), r.facts.count(); puts > 2 || writes > 2 || puts != writes {
				t.Fatalf("%d partitions: %d PUTs and %d writes", partitions, puts, writes)
			}
			if n := r.sessionBytes(); n > 900 {
				t.Fatalf("session item has %d bytes", n)
			}
			r.end(context.Canceled)
		})
	}
}

// Nothing is acked before the commit, however durable it is (mutant: ack before commit).
func TestNoAckBeforeCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		release := make(chan struct{})
		r.facts.hook(func(_ context.Context, _ metastore.Op, pass func() (metastore.Item, error)) (metastore.Item, error) {
			<-release
			return pass()
		})
		r.append(0, 0, 10)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r.objects.count("w") != 1 {
			t.Fatal("the bundle was not written")
		}
		expectAcked(t, r.answers(), "")
		if len(r.sink.seqs()) != 0 {
			t.Fatal("the sink heard of a commit that was not confirmed")
		}
		if n := r.log.InFlight(); n != r.budget.Used() || n < bundle.HeaderLen+10 {
			t.Errorf("%d bytes are in flight, of %d taken", n, r.budget.Used())
		}
		close(release)
		time.Sleep(time.Second)
		synctest.Wait()
		expectAcked(t, r.answers(), "0")
		if n := r.log.InFlight(); n != 0 {
			t.Errorf("%d bytes are in flight of a bundle that is committed", n)
		}
		r.end(context.Canceled)
	})
}

// The commit stops below a bundle that is not durable (R6; mutant: a commit that skips a hole).
func TestCommitStopsAtAHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		release := make(chan struct{})
		r.objects.put = func(ctx context.Context, key string) error {
			if strings.HasSuffix(key, "/0000000000000002") {
				select {
				case <-release:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		}
		for i := range 4 {
			r.append(i, 0, 10)
			time.Sleep(300 * time.Millisecond)
		}
		synctest.Wait()
		if n := r.objects.count("w"); n != 4 {
			t.Fatalf("%d bundles were written, want 4", n)
		}
		expectAcked(t, r.answers(), "0")
		if s := r.session(); s.Committed != 1 {
			t.Fatalf("committed %d with bundle 2 missing", s.Committed)
		}
		close(release)
		time.Sleep(time.Second)
		synctest.Wait()
		expectAcked(t, r.answers(), "0 1 2 3")
		if s := r.session(); s.Committed != 4 {
			t.Fatalf("committed %d, want 4", s.Committed)
		}
		r.end(context.Canceled)
	})
}

// A commit that was applied while its answer was lost is recognised as our own (R3).
func TestLostCommitReplyIsOwnSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		lost := 0
		r.facts.hook(func(_ context.Context, op metastore.Op, pass func() (metastore.Item, error)) (metastore.Item, error) {
			item, err := pass()
			if _, commit := op.Set[records.AttrCommitted]; commit && lost < 3 {
				lost++
				return nil, metastore.ErrUnknown
			}
			return item, err
		})
		r.append(0, 0, 10)
		time.Sleep(time.Second)
		synctest.Wait()
		expectAcked(t, r.answers(), "0")
		if lost != 3 {
			t.Fatalf("%d replies were lost", lost)
		}
		r.end(context.Canceled)
	})
}

// A fenced session acks exactly what the item says is committed, and nothing ever again.
func TestFencedAcksWhatTheItemSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		fence := func() {
			_, err := r.facts.Store.Write(context.Background(), metastore.Op{
				Kind: metastore.OpUpdate, Key: r.log.key, Set: metastore.Item{records.AttrState: records.Fenced.Value()},
			})
			if err != nil {
				t.Error(err)
			}
		}
		fenced := false
		r.facts.hook(func(_ context.Context, op metastore.Op, pass func() (metastore.Item, error)) (metastore.Item, error) {
			n, commit := op.Set[records.AttrCommitted].Num()
			if commit && n == 2 && !fenced { // applied, the answer lost, and fenced before the next try
				_, _ = pass()
				fence()
				fenced = true
				return nil, metastore.ErrUnknown
			}
			return pass()
		})
		for i := range 2 {
			r.append(i, 0, 10)
			time.Sleep(300 * time.Millisecond)
		}
		r.append(2, 0, 10) // cut after the fence, or never
		err := <-r.done
		if !errors.Is(err, records.ErrFenced) {
			t.Fatalf("Run returned %v", err)
		}
		r.append(3, 0, 10)
		synctest.Wait()
		expectAcked(t, r.answers(), "0 1 2:refused 3:refused")
		if !r.sink.ended {
			t.Fatal("the sink did not hear of the end")
		}
		r.done <- records.ErrFenced
		r.end(records.ErrFenced)
	})
}

// The heartbeat goes on while PUTs stall, and no flush starts beyond committed + 64.
func TestStalledStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.InFlight = 200 })
		r.objects.put = func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		}
		for i := range 80 {
			r.append(i, 0, 10)
			time.Sleep(251 * time.Millisecond)
		}
		synctest.Wait()
		if n := r.log.mu.next - 1; n != 64 {
			t.Fatalf("%d flushes were cut with nothing committed, want 64", n)
		}
		if hb := r.session().HB; hb < 6 {
			t.Fatalf("%d heartbeats in 20 s of a stalled store", hb)
		}
		expectAcked(t, r.answers(), "")
		r.end(context.Canceled)
	})
}

// An idle log writes its heartbeat and nothing else.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := r.facts.count(); n < 98 || n > 100 {
			t.Fatalf("%d writes in 300 s, want one per 3 s", n)
		}
		if n := len(r.objects.puts); n != 0 {
			t.Fatalf("%d PUTs of an idle log", n)
		}
		r.end(context.Canceled)
	})
}

// A lone record on a quiet log does not wait for the interval; the next one does, if there were no idle intervals before.
func TestLoneRecordIsFlushedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		time.Sleep(100 * time.Millisecond)
		r.append(0, 0, 10)
		synctest.Wait()
		expectAcked(t, r.answers(), "0")
		r.append(1, 0, 10)
		time.Sleep(240 * time.Millisecond)
		synctest.Wait()
		expectAcked(t, r.answers(), "0")
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		expectAcked(t, r.answers(), "0 1")
		r.end(context.Canceled)
	})
}

// A store that throttles, refuses or loses replies costs time, never a batch, and a sequence number has one content.
func TestPutIsRepeatedWithTheSameBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		errs := []error{objstore.ErrThrottled, objstore.ErrUnknown, objstore.ErrRefused, objstore.ErrUnknown, objstore.ErrCorrupt}
		r.objects.put = func(context.Context, string) error {
			if len(errs) == 0 {
				return nil
			}
			err := errs[0]
			errs = errs[1:]
			return err
		}
		r.append(0, 0, 10)
		time.Sleep(time.Minute)
		synctest.Wait()
		expectAcked(t, r.answers(), "0")
		for _, k := range r.objects.puts {
			if k != r.objects.puts[0] {
				t.Fatalf("a retry went to another key: %v", r.objects.puts)
			}
		}
		r.end(context.Canceled)
	})
}

// Size cuts the buffer before the interval does, and one bundle takes about FlushBytes.
func TestSizeFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append(0, 0, 10)
		synctest.Wait()
		for i := 1; i <= 25; i++ {
			r.append(i, int32(i%3), 100<<10)
		}
		synctest.Wait()
		if n := r.objects.count("w"); n != 3 {
			t.Fatalf("%d bundles, want the first, and two full ones", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := r.objects.count("w"); n != 4 {
			t.Fatalf("%d bundles, want the rest in one more", n)
		}
		r.end(context.Canceled)
	})
}

// A slow PUT is hedged once enough is known, and its batches are acked by the hedge.
func TestSlowPutIsHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var mu sync.Mutex
		slow, took := false, 100*time.Millisecond
		r.objects.put = func(ctx context.Context, _ string) error {
			mu.Lock()
			took -= time.Millisecond // ever faster, so that none is hedged by chance
			d := took
			if slow {
				d, slow = 30*time.Second, false
			}
			mu.Unlock()
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for i := range 40 {
			r.append(i, 0, 10)
			time.Sleep(300 * time.Millisecond)
		}
		mu.Lock()
		slow = true
		mu.Unlock()
		r.append(40, 0, 10)
		time.Sleep(time.Second)
		synctest.Wait()
		if err, ok := r.answers()[40]; !ok || err != nil {
			t.Fatalf("the slow bundle was not acked: %v", err)
		}
		if n := r.objects.count("w"); n != 42 {
			t.Fatalf("%d PUTs for 41 bundles, want one hedge", n)
		}
		r.end(context.Canceled)
	})
}

// Close flushes, commits and writes a last snapshot, which the session item names.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for i := range 5 {
			r.append(i, int32(i), 10)
		}
		if err := r.log.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		expectAcked(t, r.answers(), "0 1 2 3 4")
		s := r.session()
		if s.Snap != s.Committed || s.Committed == 0 || r.objects.count("s") != 1 {
			t.Fatalf("snapshot at %d, committed %d, %d snapshots", s.Snap, s.Committed, r.objects.count("s"))
		}
		r.append(9, 0, 10)
		synctest.Wait()
		if !errors.Is(r.answers()[9], records.ErrFenced) {
			t.Fatal("an append after Close was not refused")
		}
		r.end(nil)
	})
}

// Close says that all is committed also to those who come when Run has returned.
func TestCloseTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		if err := r.log.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 20 { // a choice between two open channels is random
			if err := r.log.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		r.end(nil)
	})
}

// A last snapshot that does not come through leaves time to close the session: it costs the next start a longer replay.
func TestCloseWithoutItsSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.objects.put = func(ctx context.Context, key string) error {
			if strings.Contains(key, "/s/") {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		r.append(0, 0, 10)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		begun := time.Now()
		if err := r.log.Close(ctx); err != nil {
			t.Fatalf("everything is committed, and Close says %v", err)
		}
		if took := time.Since(begun); took > 3*time.Second {
			t.Fatalf("Close took %v of its 4 s", took)
		}
		expectAcked(t, r.answers(), "0")
		r.end(nil)
	})
}

// A snapshot that failed is made up for, also when nothing was committed since.
func TestFailedSnapshotIsMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.objects.put = func(_ context.Context, key string) error {
			if strings.Contains(key, "/s/") {
				return objstore.ErrThrottled
			}
			return nil
		}
		r.append(0, 0, 10)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		if n := r.objects.count("s"); n != snapshotTries {
			t.Fatalf("%d tries to write a snapshot", n)
		}
		r.objects.mu.Lock()
		r.objects.put = nil
		r.objects.mu.Unlock()
		if err := r.log.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := r.session(); s.Snap != 1 {
			t.Fatalf("the session item names a snapshot at %d, want 1", s.Snap)
		}
		r.end(nil)
	})
}

// Snapshots are written after an interval or a number of flushes, and never by an idle log.
func TestSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.SnapshotFlushes = 10 })
		for i := range 25 {
			r.append(i, 0, 10)
			time.Sleep(300 * time.Millisecond)
		}
		synctest.Wait()
		if n, s := r.objects.count("s"), r.session(); n != 2 || s.Snap != 20 {
			t.Fatalf("%d snapshots, the last at %d; want 2, at 20", n, s.Snap)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := r.objects.count("s"); n > 3 {
			t.Fatalf("%d snapshots of an idle log", n)
		}
		r.end(context.Canceled)
	})
}

// Only the newest two snapshots of a session stay.
func TestOldSnapshotsAreDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.SnapshotFlushes = 2 })
		for i := range 20 {
			r.append(i, 0, 10)
			time.Sleep(300 * time.Millisecond)
		}
		synctest.Wait()
		left, err := r.objects.List(t.Context(), r.cfg.Keys.SnapshotPrefix(r.cfg.Session), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		s := r.session()
		if want := r.cfg.Keys.Snapshot(r.cfg.Session, uint64(s.Snap), s.SnapID); len(left) != 2 || left[1].Key != want {
			t.Fatalf("%d snapshots are left: %v; the item names %s", len(left), left, want)
		}
		r.end(context.Canceled)
	})
}

// The object says what it is, and every batch is where the footer says.
func TestBundleContent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append(0, 3, 10)
		synctest.Wait()
		for i := 1; i < 10; i++ {
			r.append(i, int32(i%4), 10*i)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		o, err := r.objects.Get(t.Context(), r.cfg.Keys.WAL(r.cfg.Session, 2), objstore.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.Verify(o.Body); err != nil {
			t.Fatal(err)
		}
		f, _, err := bundle.ParseTail(o.Body, o.Size)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Runs) != 4 || len(f.Batches) != 9 || len(f.Topics) != 1 || f.Topics[0].ID != testTopic {
			t.Fatalf("%d runs, %d batches, topics %v", len(f.Runs), len(f.Batches), f.Topics)
		}
		r.end(context.Canceled)
	})
}

// Batches may claim 2^31-1 records each, and 350 KiB of zstd may hold them: what 32 bits of the index do not reach is another run.
func TestRunsOfManyOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append(0, 1, 10) // goes alone
		synctest.Wait()
		for tag := 1; tag <= 5; tag++ {
			b := batch(t, r.next[0], 10)
			binary.BigEndian.PutUint32(b[23:], math.MaxInt32-1)
			binary.BigEndian.PutUint32(b[57:], math.MaxInt32)
			r.next[0] = b.NextOffset()
			r.log.Append(Entry{Topic: testTopic, TopicName: "t", Epoch: 1, Batch: b, Done: r, Tag: tag})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		expectAcked(t, r.answers(), "0 1 2 3 4 5")
		f := r.sink.footers[1]
		next := int64(0)
		for _, run := range f.Runs {
			if run.Base != next || run.Next-run.Base > math.MaxUint32 {
				t.Fatalf("runs %+v", f.Runs)
			}
			next = run.Next
		}
		if next != r.next[0] || len(f.Runs) != 3 {
			t.Fatalf("runs %+v", f.Runs)
		}
		r.end(context.Canceled)
	})
}

// Runs are in the order of slot, topic index, partition, whichever slot a topic is met in first.
func TestRunsAreInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.append(0, 0, 10)
		synctest.Wait()
		low, high := testTopic, testTopic
		low[0], high[0] = 0, 0xff
		for i, e := range []Entry{{Slot: 1, Topic: high}, {Slot: 2, Topic: low}, {Slot: 2, Topic: high, Partition: 1}} {
			e.TopicName, e.Batch, e.Done, e.Tag = "t", batch(t, 0, 10), r, i+1
			r.log.Append(e)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		o, err := r.objects.Get(t.Context(), r.cfg.Keys.WAL(r.cfg.Session, 2), objstore.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.Verify(o.Body); err != nil {
			t.Fatal(err)
		}
		r.end(context.Canceled)
	})
}

// Beaten is called for every confirmed write of the session item, and for none that was not.
func TestBeaten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		beats := make(chan time.Time, 100)
		r := newRig(t, func(c *Config) { c.Beaten = func() { beats <- time.Now() } })
		r.append(1, 0, 10)
		time.Sleep(10 * time.Second)
		if n := len(beats); n != 4 { // a commit, and a heartbeat each 3 s
			t.Errorf("%d beats", n)
		}
		r.facts.hook(func(context.Context, metastore.Op, func() (metastore.Item, error)) (metastore.Item, error) {
			return nil, metastore.ErrThrottled
		})
		time.Sleep(30 * time.Second)
		if n := len(beats); n != 4 {
			t.Errorf("%d beats while nothing was written", n-4)
		}
		r.facts.hook(nil)
		r.end(context.Canceled)
	})
}

// Two requests in a row are not answered: there is a sign of life all the same before the TTL of three heartbeats is over.
func TestTwoHeartbeatsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		tries := 0
		r.facts.hook(func(ctx context.Context, _ metastore.Op, pass func() (metastore.Item, error)) (metastore.Item, error) {
			if tries++; tries > 2 {
				return pass()
			}
			<-ctx.Done()
			return nil, metastore.ErrUnknown
		})
		time.Sleep(3 * r.cfg.Heartbeat)
		if hb := r.session().HB; hb < 2 {
			t.Errorf("after %v and %d tries the heartbeat is %d", 3*r.cfg.Heartbeat, tries, hb)
		}
		r.facts.hook(nil)
		r.end(context.Canceled)
	})
}
