package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/fetch"
	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/segment"
	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/recordbatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testSlots = 8
	testEpoch = 5
	testNode  = 1
)

// world is a server over memory: topics and objects in mem stores, and a WAL that commits when it is told to.
type world struct {
	t      testing.TB
	s      *Server
	set    *partition.Set
	topics *topic.Catalog
	facts  *factsmem.Store
	wal    *heldWAL
	budget *memory.Budget
	pool   *memory.Pool
	node   *fakeCluster
	groups *group.Coordinator
	index  *segment.Index
	seen   atomic.Pointer[group.Catalogue]
	addr   string
	panics int
}

// option changes what a world is made of.
type option struct {
	cfg      Config
	settings map[string]string
	budget   int64
	cache    int64
	auto     bool          // commit by itself
	gate     chan struct{} // reads of the store wait until it is closed
	items    *askedItems   // counts and fails what is read of topics
	before   func(*Server) // changes the server before it listens
	panics   int           // that the test means to cause
}

func newWorld(t testing.TB, o option) *world {
	t.Helper()
	if o.budget == 0 {
		o.budget = 64 << 20
	}
	settings, err := topic.NewSettings(o.settings)
	must(t, err)
	logger := slog.New(slog.DiscardHandler)
	w := &world{t: t, budget: memory.NewBudget(o.budget), pool: memory.NewPool(256 << 20), node: newFakeCluster()}
	t.Cleanup(w.pool.Clear)
	w.wal = &heldWAL{w: w, store: gated{mem.New(), o.gate}, session: uuid.New(), kick: make(chan struct{}, 1)}
	w.set = partition.NewSet(w.wal)
	w.facts = factsmem.New()
	items := metastore.Store(w.facts)
	if o.items != nil {
		o.items.Store, items = items, o.items
	}
	w.topics = topic.New(items, logger, topic.Options{
		Cluster: "c", Slots: testSlots, Poll: time.Second, Settings: settings, OnDelete: w.set.Drop,
	})
	must(t, w.topics.Load(t.Context()))
	w.wal.keys = objstore.Keys{Cluster: "c"}
	w.index = segment.NewIndex(w.facts, w.wal.store, segment.IndexConfig{Cluster: "c", Keys: w.wal.keys})
	t.Cleanup(w.index.Close)
	w.wal.reader = fetch.New(w.wal.store, w.wal.keys, w.pool, fetch.Config{CacheBytes: o.cache, Extents: w.index})
	w.s = New(o.cfg, Deps{
		Topics: w.topics, Partitions: w.set, Reader: w.wal.reader, Cluster: w.node, Producers: w.node, Groups: w.newGroups(settings),
		Budget: w.budget, Pool: w.pool, Log: logger, ExtentBytes: w.index.Size,
	})
	if o.before != nil {
		o.before(w.s)
	}
	w.panics = o.panics
	w.lead(testEpoch)
	if o.auto {
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { w.wal.run(stop) })
		t.Cleanup(func() { close(stop); wg.Wait() })
	}
	w.listen()
	return w
}

// newGroups returns the groups of all slots.
func (w *world) newGroups(settings *topic.Settings) *group.Coordinator {
	adjust := func(own map[string]string, b group.ConsumerBounds) group.ConsumerBounds {
		b.Session, b.Heartbeat = settings.GroupMillis(own, "consumer.session.timeout.ms"), settings.GroupMillis(own, "consumer.heartbeat.interval.ms")
		return b
	}
	w.groups = group.New(group.Config{
		Cluster: "c", Slots: testSlots, Retention: time.Hour, Check: time.Hour,
		Bounds:   group.Bounds{MinSession: 6 * time.Second, MaxSession: 30 * time.Minute, MaxMembers: int(settings.Int("group.max.size")), MaxBytes: 8 << 20},
		Consumer: adjust(nil, group.ConsumerBounds{MaxMembers: 1000, MaxBytes: 8 << 20}), Adjust: adjust,
		Migration: group.Migration{Upgrade: true, Downgrade: true}, Topics: w.catalogue,
	}, w.facts, slog.New(slog.DiscardHandler))
	epochs := map[uint16]int32{}
	for slot := range uint16(testSlots) {
		epochs[slot] = testEpoch
	}
	w.groups.Lead(epochs)
	return w.groups
}

// catalogue is the topics as groups see them.
func (w *world) catalogue(bool) *group.Catalogue {
	n := w.topics.Changes()
	if c := w.seen.Load(); c != nil && c.Version() == n {
		return c
	}
	var all []group.TopicInfo
	for _, t := range w.topics.List() {
		all = append(all, group.TopicInfo{Name: t.Name, ID: t.ID, Partitions: t.Partitions()})
	}
	c := group.NewCatalogue(n, all)
	w.seen.Store(c)
	return c
}

// lead opens all slots under an epoch.
func (w *world) lead(epoch int32) {
	epochs, ops := map[uint16]int32{}, []bundle.Op(nil)
	for slot := range uint16(testSlots) {
		epochs[slot] = epoch
		ops = append(ops, bundle.Op{Kind: bundle.OpSlotOpen, Slot: slot, Epoch: epoch})
	}
	w.set.Begin(w.set.NewFold(), epochs)
	must(w.t, w.set.Committed(bundle.Object{Kind: bundle.WAL, Session: w.wal.session}, &bundle.Footer{Ops: ops}))
}

func (w *world) listen() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	w.addr = l.Addr().String()
	w.node.setAddr(l.Addr().(*net.TCPAddr))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.s.Serve(context.Background(), l); err != nil {
			w.t.Errorf("serve: %v", err)
		}
	})
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		w.groups.Close()
		_ = w.s.Shutdown(ctx)
		wg.Wait()
		w.wal.abandon()
		w.check()
	})
}

// check finds what a test left behind: bytes that nobody gave back, requests that never ended, faults.
func (w *world) check() {
	if got := w.budget.Used(); got != 0 {
		w.t.Errorf("%d bytes of the budget were not given back", got)
	}
	if got := w.s.reserve.Used(); got != 0 {
		w.t.Errorf("%d bytes of the reserve were not given back", got)
	}
	if got := w.s.held.Load(); got != 0 {
		w.t.Errorf("%d bytes of answers were not given back", got)
	}
	if got := w.s.parked.Load(); got != 0 {
		w.t.Errorf("%d partitions are still parked", got)
	}
	if got := w.s.sessions.Load(); got != 0 {
		w.t.Errorf("%d partitions of sessions were not given back", got)
	}
	if got := counterValue(w.s.metrics.panics); got != float64(w.panics) {
		w.t.Errorf("%v panics", got)
	}
}

// gated is a store whose reads wait.
type gated struct {
	objstore.Store
	gate chan struct{}
}

func (g gated) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if g.gate != nil {
		select {
		case <-g.gate:
		case <-ctx.Done():
			return objstore.Object{}, ctx.Err()
		}
	}
	return g.Store.Get(ctx, key, r)
}

func (w *world) topic(name string, partitions int32, configs ...string) *topic.Topic {
	w.t.Helper()
	set := map[string]*string{}
	for i := 0; i < len(configs); i += 2 {
		set[configs[i]] = &configs[i+1]
	}
	top, err := w.topics.Create(context.Background(), topic.Spec{Name: name, Partitions: partitions, Configs: set})
	must(w.t, err)
	return top
}

// heldWAL queues batches until commit.
type heldWAL struct {
	w       *world
	store   objstore.Store
	keys    objstore.Keys
	reader  *fetch.Reader
	session uuid.UUID
	kick    chan struct{}

	mu      sync.Mutex
	seq     uint64
	entries []partition.Entry
	uncache bool     // do not put committed bundles into the cache
	bodies  [][]byte // of the bundles, as they are in memory
}

func (h *heldWAL) Append(e partition.Entry) {
	h.mu.Lock()
	h.entries = append(h.entries, e)
	h.mu.Unlock()
	select {
	case h.kick <- struct{}{}:
	default:
	}
}

func (h *heldWAL) run(stop chan struct{}) {
	for {
		select {
		case <-h.kick:
			h.commit()
		case <-stop:
			return
		}
	}
}

func (h *heldWAL) queued() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.entries)
}

func (h *heldWAL) take() []partition.Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.entries
	h.entries = nil
	h.seq++
	return e
}

// commit puts what is queued into one object, one run per batch, and tells everybody.
func (h *heldWAL) commit() {
	entries := h.take()
	if len(entries) == 0 {
		return
	}
	f := &bundle.Footer{}
	body := make([]byte, bundle.HeaderLen)
	for i := range entries {
		e := &entries[i]
		f.Topics = append(f.Topics, bundle.Topic{ID: e.Topic, Name: e.TopicName})
		b := e.Batch
		f.Batches = append(f.Batches, bundle.Batch{
			Len: uint32(len(b)), LastOffsetDelta: uint32(b.LastOffsetDelta()), MaxTimestamp: b.MaxTimestamp(), ProducerID: b.ProducerID(),
			ProducerEpoch: b.ProducerEpoch(), Attributes: uint16(b.Attributes()), BaseSequence: b.BaseSequence(), Records: uint32(b.NumRecords()),
		})
		f.Runs = append(f.Runs, bundle.Run{
			Topic: uint32(i), Partition: e.Partition, Slot: e.Slot, LeaderEpoch: e.Epoch, Base: b.BaseOffset(), Next: b.NextOffset(),
			Pos: uint64(len(body)), Len: uint32(len(b)), Batches: 1, MaxTimestamp: b.MaxTimestamp(), FirstBatch: uint32(i),
			Digest: uint32(bundle.RunDigest(e.Topic, e.Partition, e.Epoch, b.BaseOffset(), b.CRC())),
		})
		body = append(body, b...)
		if e.Owner != nil {
			e.Owner.Release()
		}
	}
	o := bundle.Object{Kind: bundle.WAL, Session: h.session, Seq: h.seq, Size: uint64(len(body))}
	h.bodies = append(h.bodies, body)
	orPanic(h.store.Put(context.Background(), h.keys.WAL(o.Session, o.Seq), body))
	if !h.uncache {
		buf := memory.Wrap(body)
		h.reader.Committed(o, buf)
		buf.Release()
	}
	orPanic(h.w.set.Committed(o, f))
	for i := range entries {
		if d := entries[i].Done; d != nil {
			d.Appended(entries[i].Tag, nil)
		}
	}
}

// orPanic is must for a goroutine that outlives the call it serves: in a fuzz target it may not touch the test.
func orPanic(err error) {
	if err != nil {
		panic(err)
	}
}

// abandon ends the session: what is queued never commits.
func (h *heldWAL) abandon() {
	h.w.set.End()
	for _, e := range h.take() {
		if e.Owner != nil {
			e.Owner.Release()
		}
		if e.Done != nil {
			e.Done.Appended(e.Tag, records.ErrFenced)
		}
	}
}

// fakeCluster is one agent that leads everything, until a test says otherwise.
type fakeCluster struct {
	mu       sync.Mutex
	view     *cluster.View
	confirm  error
	confirms int

	operations []string
	refuse     error

	pid    int64
	pidErr error
}

func newFakeCluster() *fakeCluster {
	f := &fakeCluster{pid: 1000}
	f.view = &cluster.View{ClusterID: uuid.UUID{1}, Controller: testNode, Slots: make([]cluster.Leader, testSlots)}
	for i := range f.view.Slots {
		f.view.Slots[i] = cluster.Leader{Node: testNode, Epoch: testEpoch}
	}
	return f
}

func (f *fakeCluster) setAddr(a *net.TCPAddr) {
	f.change(func(v *cluster.View) {
		v.Nodes = []cluster.Node{{ID: testNode, Name: "a", Zone: "z1", Host: a.IP.String(), Port: int32(a.Port)}}
	})
}

// change replaces the view by a changed copy.
func (f *fakeCluster) change(by func(v *cluster.View)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := *f.view
	v.Slots = append([]cluster.Leader(nil), v.Slots...)
	v.Nodes = append([]cluster.Node(nil), v.Nodes...)
	by(&v)
	f.view = &v
}

func (f *fakeCluster) View() *cluster.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view
}

func (f *fakeCluster) NodeID() int32 { return testNode }

func (f *fakeCluster) Confirm(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.confirms++
	return f.confirm
}

func (f *fakeCluster) Report(context.Context) (r cluster.Report, err error) {
	v := f.View()
	for _, n := range v.Nodes {
		r.Agents = append(r.Agents, cluster.AgentReport{Node: n, Slots: testSlots, Quiet: -1})
	}
	for i, l := range v.Slots {
		r.Slots = append(r.Slots, cluster.SlotReport{Slot: i, Node: l.Node, Agent: "a", Epoch: l.Epoch, Partitions: -1, Bytes: -1, State: "open"})
	}
	return r, f.asked("report")
}

func (f *fakeCluster) Move(_ context.Context, slot int, agent string) error {
	return f.asked(fmt.Sprintf("move %d to %s", slot, agent))
}

func (f *fakeCluster) Drain(_ context.Context, node int32, drain bool) error {
	return f.asked(fmt.Sprintf("drain %d %v", node, drain))
}

// asked notes what an operator asked for; refuse is the answer.
func (f *fakeCluster) asked(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.operations = append(f.operations, what)
	return f.refuse
}

func (f *fakeCluster) done() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.operations)
}

func (f *fakeCluster) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.operations = nil
}

func (f *fakeCluster) refuseWith(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = err
}

func (f *fakeCluster) confirmed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.confirms
}

func (f *fakeCluster) Next(context.Context) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pid++
	return f.pid, f.pidErr
}

// client is a raw connection.
type client struct {
	t    testing.TB
	nc   net.Conn
	corr int32
}

func (w *world) dial() *client {
	w.t.Helper()
	nc, err := net.Dial("tcp", w.addr)
	must(w.t, err)
	w.t.Cleanup(func() { _ = nc.Close() })
	return &client{t: w.t, nc: nc}
}

// send writes a request and returns its correlation id.
func (c *client) send(req kmsg.Request) int32 {
	c.t.Helper()
	c.corr++
	_, err := c.nc.Write(encode(req, c.corr))
	must(c.t, err)
	return c.corr
}

func encode(req kmsg.Request, corr int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, corr)
}

// hangTime is how long a test waits for what must come. It is no measure of speed: on a starved machine, under the race detector, an
// answer that takes milliseconds takes tens of seconds, and only what never comes may fail a test.
const hangTime = 3 * time.Minute

// frame reads one answer, without its size.
func (c *client) frame() ([]byte, error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(hangTime))
	var size [4]byte
	if _, err := io.ReadFull(c.nc, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(c.nc, b)
	return b, err
}

// receive reads the answer to req, which must be the next one.
func receive[R kmsg.Response](c *client, req kmsg.Request, corr int32) R {
	c.t.Helper()
	b, err := c.frame()
	must(c.t, err)
	if got := int32(binary.BigEndian.Uint32(b)); got != corr {
		c.t.Fatalf("answer to request %d instead of %d", got, corr)
	}
	b = b[4:]
	resp := req.ResponseKind()
	if resp.IsFlexible() && req.Key() != keyAPIVersions {
		if b[0] != 0 {
			c.t.Fatalf("%d tagged fields in a header", b[0])
		}
		b = b[1:]
	}
	must(c.t, resp.ReadFrom(b))
	return resp.(R)
}

func call[R kmsg.Response](c *client, req kmsg.Request) R {
	c.t.Helper()
	return receive[R](c, req, c.send(req))
}

// closed waits for the server to close the connection, and wants no answer before.
func (c *client) closed() {
	c.t.Helper()
	b, err := c.frame()
	if err == nil {
		c.t.Fatalf("answered with %d bytes instead of closing", len(b))
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatal("connection stays open")
	}
}

// batch makes a record batch of n records with values of size bytes.
func batch(t testing.TB, n, size int, with ...func(*recordbatch.Builder)) []byte {
	t.Helper()
	bl := &recordbatch.Builder{}
	for _, f := range with {
		f(bl)
	}
	recs := make([]recordbatch.Record, n)
	now := time.Now().UnixMilli()
	for i := range recs {
		recs[i] = recordbatch.Record{Timestamp: now, Key: []byte("k"), Value: make([]byte, size)}
	}
	b, err := bl.Append(nil, recs)
	must(t, err)
	return b
}

// producing makes a Produce request of one batch each for partitions from 0 on.
func producing(version int16, top string, batches ...[]byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, 10_000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = top
	for i, b := range batches {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i), b
		rt.Partitions = append(rt.Partitions, p)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

// fetching makes a Fetch request for partitions from 0 on, from the given offsets.
func fetching(version int16, top string, offsets ...int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MinBytes, req.MaxBytes, req.MaxWaitMillis = version, 1, 10<<20, 0
	req.SessionEpoch = -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = top
	for i, o := range offsets {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = int32(i), o, 1<<20
		rt.Partitions = append(rt.Partitions, p)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for something that happens in another goroutine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(hangTime); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}
