package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/storetest"
	bbolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func file(t *testing.T) string { return filepath.Join(t.TempDir(), "facts") }

func put(sk string, n int64, conds ...metastore.Cond) metastore.Op {
	return metastore.Op{Kind: metastore.OpPut, Key: metastore.Key{PK: "pk", SK: sk}, Set: metastore.Item{"n": metastore.N(n)}, If: conds}
}

func write(t *testing.T, s *Store, op metastore.Op) {
	t.Helper()
	if _, err := s.Write(t.Context(), op); err != nil {
		t.Fatal(err)
	}
}

// wants checks that s holds exactly n items 0 to n-1.
func wants(t *testing.T, s *Store, n int) {
	t.Helper()
	page, err := s.Query(t.Context(), metastore.Query{PK: "pk"})
	if err != nil || len(page.Rows) != n {
		t.Fatalf("%d items, want %d: %v", len(page.Rows), n, err)
	}
	for i, r := range page.Rows {
		if got, ok := r.Item["n"].Num(); !ok || got != int64(i) {
			t.Fatalf("item %d is %v", i, r.Item)
		}
	}
}

func TestConformance(t *testing.T) {
	path := file(t)
	s := open(t, path)
	storetest.Run(t, func(*testing.T) metastore.Store { return s })
}

func TestAgreesWithMem(t *testing.T) {
	storetest.Agree(t, storetest.Seed(t), 1500, mem.New(), open(t, file(t)))
}

func TestReopen(t *testing.T) {
	path := file(t)
	for i := range 20 {
		s := open(t, path)
		wants(t, s, i)
		write(t, s, put(fmt.Sprintf("%03d", i), int64(i)))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever was confirmed is in the file at that moment, as a process that is killed leaves it.
func TestConfirmedIsInFile(t *testing.T) {
	path, dir := file(t), t.TempDir()
	s := open(t, path)
	for i := range 30 {
		write(t, s, put(fmt.Sprintf("%03d", i), int64(i)))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(copied, b, 0o600); err != nil {
			t.Fatal(err)
		}
		wants(t, open(t, copied), i+1)
	}
}

func TestLocked(t *testing.T) {
	path := file(t)
	s := open(t, path)
	_, err := Open(path)
	if !errors.Is(err, ErrLocked) || !errors.Is(err, metastore.ErrRefused) || !strings.Contains(err.Error(), path) {
		t.Errorf("second open: %v", err)
	}
	s.Close()
	open(t, path)
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	foreign := func(path string, fill func(tx *bbolt.Tx) error) {
		db, err := bbolt.Open(path, 0o600, nil)
		if err == nil {
			err = db.Update(fill)
		}
		if err != nil {
			t.Fatal(err)
		}
		db.Close()
	}
	foreign(filepath.Join(dir, "foreign"), func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("other"))
		return err
	})
	foreign(filepath.Join(dir, "newer"), func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(metaBucket)
		if err != nil {
			return err
		}
		return b.Put(formatKey, []byte("varve table 2"))
	})
	foreign(filepath.Join(dir, "no items"), func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(metaBucket)
		if err != nil {
			return err
		}
		return b.Put(formatKey, []byte(format))
	})
	os.WriteFile(filepath.Join(dir, "garbage"), []byte(strings.Repeat("not a table\n", 2000)), 0o600)
	os.WriteFile(filepath.Join(dir, "short"), []byte("x"), 0o600)
	for name, says := range map[string]string{
		"foreign": "another program", "newer": "varve table 2", "no items": "damaged", "garbage": "invalid", "short": "invalid",
		"no such folder/x": "no such file", ".": "directory",
	} {
		path := filepath.Join(dir, name)
		s, err := Open(path)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, metastore.ErrRefused) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A file that was cut anywhere is refused at once; one with damaged bytes is refused, or gives a clear error, or was not
// damaged where it matters: never another item, never a crash.
func TestDamagedFile(t *testing.T) {
	path := file(t)
	s := open(t, path)
	for i := range 300 {
		write(t, s, put(fmt.Sprintf("%03d", i), int64(i)))
	}
	s.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, b []byte) error {
		damaged := file(t)
		if err := os.WriteFile(damaged, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(damaged)
		if err != nil {
			return err
		}
		defer s.Close()
		after := ""
		for {
			page, err := s.Query(t.Context(), metastore.Query{PK: "pk", After: after})
			if err != nil {
				return err
			}
			for _, r := range page.Rows {
				if n, ok := r.Item["n"].Num(); !ok || fmt.Sprintf("%03d", n) != r.SK {
					t.Errorf("%s: item %q is %v", what, r.SK, r.Item)
				}
			}
			if after = page.Next; after == "" {
				break
			}
		}
		_, err = s.Write(t.Context(), put("300", 300))
		return err
	}
	used := len(whole)
	for used > 0 && whole[used-1] == 0 {
		used--
	}
	for n := 4096; n < used; n += 4096 {
		if err := try("cut", whole[:n]); !errors.Is(err, metastore.ErrRefused) {
			t.Errorf("cut at %d of %d: %v", n, used, err)
		}
	}
	seen := 0
	for pos := 0; pos < used; pos += 997 {
		b := append([]byte(nil), whole...)
		for i := pos; i < min(pos+200, used); i++ {
			b[i] ^= 0x5a
		}
		if err := try(fmt.Sprint("flip at ", pos), b); err != nil {
			seen++
			if !errors.Is(err, metastore.ErrRefused) && !errors.Is(err, metastore.ErrUnknown) {
				t.Errorf("flip at %d: %v", pos, err)
			}
		}
	}
	t.Logf("%d of %d damages noticed", seen, used/997+1)
	if seen == 0 {
		t.Error("no damage was noticed")
	}
}

func commits(t *testing.T, s *Store) (n int) {
	t.Helper()
	if err := s.db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// A lone writer pays one commit a write, and none for a write that changes nothing.
func TestCommitsOfOne(t *testing.T) {
	s := open(t, file(t))
	before := commits(t, s)
	for i := range 10 {
		write(t, s, put("a", int64(i)))
		_, err := s.Write(t.Context(), put("a", 99, metastore.Cond{Cmp: metastore.ItemAbsent}))
		if !errors.Is(err, metastore.ErrCondition) {
			t.Fatal(err)
		}
	}
	if n := commits(t, s) - before; n != 10 {
		t.Errorf("%d commits for 10 writes", n)
	}
}

// Writes that wait for one commit share the next, in order, each with its own answer.
func TestGroupCommit(t *testing.T) {
	s := open(t, file(t))
	write(t, s, put("n", 0))
	before := commits(t, s)
	var batch []*request
	for i := range 100 {
		op := put("n", int64(i+1), metastore.Cond{Attr: "n", Cmp: metastore.Eq, Value: metastore.N(int64(i - i%10))})
		batch = append(batch, &request{ops: []metastore.Op{op}, answer: make(chan answer, 1)})
	}
	s.commit(batch)
	if n := commits(t, s) - before; n != 1 {
		t.Errorf("%d commits", n)
	}
	// The condition asks for the last multiple of ten: only the first write finds 0.
	for i, r := range batch {
		a := <-r.answer
		if ok := i == 0; ok != (a.err == nil) || !ok && !errors.Is(a.err, metastore.ErrCondition) {
			t.Errorf("write %d: %v", i, a.err)
		}
	}
	before = commits(t, s)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if _, err := s.Write(context.Background(), put(fmt.Sprintf("c%03d", i), int64(i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	n := commits(t, s) - before
	t.Logf("%d commits for 200 writes at once", n)
	if n > 200 {
		t.Errorf("%d commits", n)
	}
}

func TestGatherTakesWhatWaits(t *testing.T) {
	s := &Store{queue: make(chan *request, 2*maxBatch)}
	first := &request{}
	if got := s.gather(first); len(got) != 1 || got[0] != first {
		t.Errorf("alone: %d", len(got))
	}
	for range 2 * maxBatch {
		s.queue <- &request{}
	}
	if got := s.gather(first); len(got) != maxBatch || got[0] != first {
		t.Errorf("crowd: %d", len(got))
	}
}

func TestClosed(t *testing.T) {
	s := open(t, file(t))
	s.Close()
	select {
	case <-s.stopped:
	default:
		t.Error("the writer still runs")
	}
	_, werr := s.Write(t.Context(), put("a", 1))
	_, gerr := s.Get(t.Context(), metastore.Key{PK: "pk", SK: "a"}, metastore.Consistent)
	_, qerr := s.Query(t.Context(), metastore.Query{PK: "pk"})
	for _, err := range []error{werr, gerr, qerr, s.Transact(t.Context(), []metastore.Op{put("a", 1)})} {
		if !errors.Is(err, metastore.ErrRefused) || errors.Is(err, metastore.ErrUnknown) {
			t.Error(err)
		}
	}
}

// A caller whose context ends while it waits is told that it does not know.
func TestContextEndsWhileWaiting(t *testing.T) {
	s := &Store{path: "x", queue: make(chan *request), quit: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-s.queue; cancel() }()
	if _, err := s.Write(ctx, put("a", 1)); !errors.Is(err, metastore.ErrUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("taken, no answer: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	go cancel()
	if _, err := s.Write(ctx, put("a", 1)); !errors.Is(err, metastore.ErrUnknown) {
		t.Errorf("never taken: %v", err)
	}
}
