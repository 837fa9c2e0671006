package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	objmem "github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/recordbatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a log over stores in memory, each request of which can be hooked.
type rig struct {
	t       *testing.T
	log     *Log
	cfg     Config
	objects *hookedObjects
	facts   *hookedFacts
	sink    *recorder
	pool    memory.Pool
	budget  *memory.Budget
	next    map[int32]int64 // offsets by partition
	stop    context.CancelFunc
	done    chan error

	mu    sync.Mutex
	acked map[int]error // by tag
}

// hookedObjects calls put before a PUT; what it returns, unless nil, is returned instead.
type hookedObjects struct {
	objstore.Store
	mu   sync.Mutex
	put  func(ctx context.Context, key string) error
	body func(body []byte) // hears of each PUT of a bundle; nil: nobody
	puts []string
}

func (h *hookedObjects) Put(ctx context.Context, key string, body []byte) error {
	h.mu.Lock()
	hook := h.put
	h.puts = append(h.puts, key)
	if h.body != nil && strings.Contains(key, "/w/") {
		h.body(body)
	}
	h.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, key); err != nil {
			return err
		}
	}
	return h.Store.Put(ctx, key, body)
}

func (h *hookedObjects) count(kind string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.puts {
		if strings.Contains(k, "/"+kind+"/") {
			n++
		}
	}
	return n
}

// hookedFacts calls write instead of Write; the hook may pass it on.
type hookedFacts struct {
	metastore.Store
	mu     sync.Mutex
	write  func(ctx context.Context, op metastore.Op, pass func() (metastore.Item, error)) (metastore.Item, error)
	writes int

	transact func(ctx context.Context, ops []metastore.Op, pass func() error) error
}

// Transact calls transact instead, if it is set.
func (h *hookedFacts) Transact(ctx context.Context, ops []metastore.Op) error {
	pass := func() error { return h.Store.Transact(context.WithoutCancel(ctx), ops) }
	if h.transact == nil {
		return pass()
	}
	return h.transact(ctx, ops, pass)
}

func (h *hookedFacts) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	h.mu.Lock()
	hook := h.write
	h.writes++
	h.mu.Unlock()
	pass := func() (metastore.Item, error) { return h.Store.Write(ctx, op) }
	if hook == nil {
		return pass()
	}
	return hook(ctx, op, pass)
}

func (h *hookedFacts) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.writes
}

func (h *hookedFacts) hook(f func(ctx context.Context, op metastore.Op, pass func() (metastore.Item, error)) (metastore.Item, error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.write = f
}

// recorder is a Sink that remembers.
type recorder struct {
	mu        sync.Mutex
	committed []uint64
	footers   []*bundle.Footer
	bodies    []*byte // where they lie
	ended     bool

	captured   int   // how many snapshots were taken,
	recorded   []int // and which of them, from 1 on, are recorded
	onRecorded func()
}

func (r *recorder) Committed(o bundle.Object, f *bundle.Footer, body *memory.Buf) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.committed = append(r.committed, o.Seq)
	r.footers = append(r.footers, f)
	r.bodies = append(r.bodies, unsafe.SliceData(body.Bytes()))
	return nil
}

func (r *recorder) Capture() Captured {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.captured++
	return &capture{r, r.captured}
}

// capture is a state that a recorder was asked for, by number.
type capture struct {
	r *recorder
	n int
}

func (c *capture) Footer() *bundle.Footer { return &bundle.Footer{} }

func (c *capture) Recorded() {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.recorded = append(c.r.recorded, c.n)
	if c.r.onRecorded != nil {
		c.r.onRecorded()
	}
}

func (r *recorder) Ended() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

func (r *recorder) seqs() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]uint64(nil), r.committed...)
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	r := &rig{
		t: t, objects: &hookedObjects{Store: objmem.New()}, facts: &hookedFacts{Store: factsmem.New()}, sink: &recorder{},
		budget: memory.NewBudget(1 << 30), next: map[int32]int64{}, acked: map[int]error{}, done: make(chan error, 1),
	}
	r.cfg = Config{
		Cluster: "c", ClusterID: uuid.New(), Session: uuid.New(), Keys: objstore.Keys{Cluster: "c"},
		Interval: 250 * time.Millisecond, FlushBytes: 1 << 20, Heartbeat: 3 * time.Second, SnapshotInterval: time.Minute,
	}
	if change != nil {
		change(&r.cfg)
	}
	s := records.Session{Agent: "a", NodeID: 1, State: records.Active, HB: 1}
	if _, err := r.facts.Store.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: r.cfg.Cluster.SessionKey(r.cfg.Session), Set: s.Item()}); err != nil {
		t.Fatal(err)
	}
	r.log = New(r.cfg, r.objects, r.facts, &r.pool, r.budget, r.sink, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.done <- r.log.Run(ctx) }()
	return r
}

// Appended implements Entry.Done.
func (r *rig) Appended(tag int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, twice := r.acked[tag]; twice {
		r.t.Errorf("entry %d was answered twice", tag)
	}
	r.acked[tag] = err
}

func (r *rig) answers() map[int]error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := map[int]error{}
	for k, v := range r.acked {
		c[k] = v
	}
	return c
}

var testTopic = uuid.MustParse("11111111-2222-4333-8444-555555555555")

// append queues a batch of n value bytes for a partition.
func (r *rig) append(tag int, partition int32, n int) {
	r.t.Helper()
	b := batch(r.t, r.next[partition], n)
	r.next[partition] = b.NextOffset()
	r.log.Append(Entry{
		Topic: testTopic, TopicName: "t", Partition: partition, Slot: uint16(partition % 16), Epoch: 1, Batch: b, Done: r, Tag: tag,
	})
}

func batch(t *testing.T, base int64, n int) recordbatch.Batch {
	t.Helper()
	b, err := (&recordbatch.Builder{BaseOffset: base, LeaderEpoch: 1}).Append(nil, []recordbatch.Record{{Timestamp: 5, Value: make([]byte, n)}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *rig) session() records.Session {
	r.t.Helper()
	item, err := r.facts.Store.Get(context.Background(), r.cfg.Cluster.SessionKey(r.cfg.Session), metastore.Consistent)
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := records.DecodeSession(item)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// end stops the log without a last flush and checks that nothing is left behind.
func (r *rig) end(want error) {
	r.t.Helper()
	r.stop()
	if err := <-r.done; !errors.Is(err, want) {
		r.t.Errorf("Run returned %v, want %v", err, want)
	}
	synctest.Wait()
	if r.budget.Used() != 0 || r.pool.Outstanding() != 0 || r.log.InFlight() != 0 {
		r.t.Errorf("left behind: %d bytes of budget, %d of buffers, %d in flight", r.budget.Used(), r.pool.Outstanding(), r.log.InFlight())
	}
}

func expectAcked(t *testing.T, got map[int]error, want string) {
	t.Helper()
	s := ""
	for tag := range 100 {
		if err, ok := got[tag]; ok && err == nil {
			s += fmt.Sprintf("%d ", tag)
		} else if ok {
			s += fmt.Sprintf("%d:refused ", tag)
		}
	}
	if strings.TrimSpace(s) != want {
		t.Fatalf("answered: %q, want %q", strings.TrimSpace(s), want)
	}
}

// sessionBytes is the size of the session item, key included.
func (r *rig) sessionBytes() int {
	key := r.cfg.Cluster.SessionKey(r.cfg.Session)
	return len("pk") + len(key.PK) + len("sk") + len(key.SK) + r.session().Item().Size()
}
