package simtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/wal"
	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	objmem "github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// The world of TestHandoverWalk: real logs and partitions over stores in memory, and around them the least that a cluster needs, as
// the model has it: slot items, pins and pending as plain maps, changed by the test alone.

const (
	walkSlots = 3
	walkParts = 2 // partitions of a slot
)

var walkTopic = uuid.MustParse("11111111-2222-4333-8444-555555555555")

// walkSlot is a slot item.
type walkSlot struct {
	leader *member
	epoch  int32
	from   []records.From
	opened bool // the leader's slot-open is committed
}

// member is a session and its process.
type member struct {
	w       *handoverWorld
	session uuid.UUID
	log     *wal.Log
	set     *partition.Set
	stop    context.CancelFunc
	done    chan error
	fenced  bool
	pins    map[uint16]records.Pin
	pending map[uint16]int32
}

type handoverWorld struct {
	t       *testing.T
	rnd     *rand.Rand
	objects objstore.Store
	facts   metastore.Store
	keys    objstore.Keys
	cluster uuid.UUID
	pool    memory.Pool
	slots   [walkSlots]walkSlot
	members []*member // alive or not, oldest first
	clients []*walkClient
	start   map[partition.ID]int64 // log start that was moved and confirmed
}

// slowObjects takes its time, and a PUT lands even if nobody waits for it any more.
type slowObjects struct{ objstore.Store }

func (s slowObjects) Put(ctx context.Context, key string, body []byte) error {
	d := time.Duration(rand.IntN(30)) * time.Millisecond
	body = bytes.Clone(body) // what lands late was sent before
	landed := make(chan error, 1)
	go func() { time.Sleep(d); landed <- s.Store.Put(context.WithoutCancel(ctx), key, body) }()
	select {
	case err := <-landed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unsureFacts loses some replies.
type unsureFacts struct{ metastore.Store }

func (s unsureFacts) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
	item, err := s.Store.Write(ctx, op)
	if rand.IntN(20) == 0 {
		return nil, metastore.ErrUnknown
	}
	return item, err
}

func newHandoverWorld(t *testing.T, seed uint64) *handoverWorld {
	w := &handoverWorld{
		t: t, rnd: rand.New(rand.NewPCG(seed, 7)), objects: objmem.New(), facts: factsmem.New(), keys: objstore.Keys{Cluster: "c"},
		cluster: uuid.New(), start: map[partition.ID]int64{},
	}
	for slot := range uint16(walkSlots) {
		for i := range int32(walkParts) {
			id := partition.ID{Topic: walkTopic, Index: int32(slot)*walkParts + i}
			w.clients = append(w.clients, &walkClient{w: w, slot: slot, id: id, producer: 1000 + int64(id.Index)})
		}
	}
	return w
}

// member starts a session.
func (w *handoverWorld) member() *member {
	w.t.Helper()
	m := &member{w: w, session: uuid.New(), done: make(chan error, 1), pins: map[uint16]records.Pin{}, pending: map[uint16]int32{}}
	w.write(m, records.Session{Agent: "a", NodeID: 1, State: records.Active, HB: 1})
	m.set = partition.NewSet(m)
	m.log = wal.New(wal.Config{
		Cluster: "c", ClusterID: w.cluster, Session: m.session, Keys: w.keys, Interval: 10 * time.Millisecond, FlushBytes: 600,
		InFlight: 4, Heartbeat: time.Second, SnapshotInterval: time.Second, SnapshotFlushes: 6,
	}, slowObjects{w.objects}, unsureFacts{w.facts}, &w.pool, memory.NewBudget(1<<30), m, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	go func() { m.done <- m.log.Run(ctx) }()
	w.members = append(w.members, m)
	return m
}

// Append implements partition.Appender.
func (m *member) Append(e partition.Entry) { m.log.Append(wal.Entry(e)) }

// Committed implements wal.Sink.
func (m *member) Committed(o bundle.Object, f *bundle.Footer, _ *memory.Buf) error {
	return m.set.Committed(o, f)
}

// Capture implements wal.Sink.
func (m *member) Capture() wal.Captured { return captured{m.set.Capture(), m.set} }

type captured struct {
	*partition.Snapshot
	set *partition.Set
}

func (c captured) Recorded() { c.set.Recorded(c.Snapshot) }

// Ended implements wal.Sink.
func (m *member) Ended() { m.set.End() }

func (w *handoverWorld) write(m *member, s records.Session) {
	w.t.Helper()
	if _, err := w.facts.Write(context.Background(), metastore.Op{Kind: metastore.OpPut, Key: records.Cluster("c").SessionKey(m.session), Set: s.Item()}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *handoverWorld) read(m *member) records.Session {
	w.t.Helper()
	item, err := w.facts.Get(context.Background(), records.Cluster("c").SessionKey(m.session), metastore.Consistent)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := records.DecodeSession(item)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// fence ends a session from outside: fenced, sealed with pending, and its slots get other leaders, who may not live to open them.
func (w *handoverWorld) fence(m *member, heir func() *member) {
	m.fenced = true
	s := w.read(m)
	s.State, s.End = records.Sealed, s.Committed+1
	for slot := range w.slots {
		if w.slots[slot].leader == m {
			m.pending[uint16(slot)] = w.slots[slot].epoch
		}
	}
	for slot, pin := range m.pins {
		m.pending[slot] = max(m.pending[slot], pin.Epoch)
	}
	w.write(m, s)
	for slot := range w.slots {
		if w.slots[slot].leader == m {
			w.move(uint16(slot), heir(), s.End)
		}
	}
}

// move makes another session leader of a slot.
func (w *handoverWorld) move(slot uint16, to *member, end int64) {
	it := &w.slots[slot]
	it.from = append(it.from, records.From{Session: it.leader.session, End: end, Epoch: it.epoch})
	it.leader, it.opened = to, false
	it.epoch++
}

// open replays a slot and serves it, as its leader.
func (w *handoverWorld) open(slot uint16) error {
	it := &w.slots[slot]
	m := it.leader
	fold := m.set.NewFold()
	r := wal.Replayer{
		Store: w.objects, Facts: w.facts, Keys: w.keys, Cluster: "c", ClusterID: w.cluster, Logger: slog.New(slog.DiscardHandler),
	}
	if _, err := r.Replay(context.Background(), []wal.Takeover{{Slot: slot, Epoch: it.epoch, From: it.from}}, fold); err != nil {
		return err
	}
	if err := fold.Check(); err != nil {
		return err
	}
	epochs := map[uint16]int32{slot: it.epoch}
	m.set.Begin(fold, epochs)
	_, key, err := m.log.WriteSnapshot(context.Background(), 0, m.set.CaptureOpening(epochs).Footer())
	if err != nil {
		return err
	}
	err = m.log.Control(context.Background(), []wal.Control{{Op: bundle.Op{Kind: bundle.OpSlotOpen, Slot: slot, Epoch: it.epoch, Key: key}}})
	it.opened = err == nil
	return err
}

// walkClient is an idempotent producer of one partition, and what it was told.
type walkClient struct {
	w        *handoverWorld
	slot     uint16
	id       partition.ID
	producer int64
	next     int32   // sequence
	to       *member // who got the last batch
	mu       sync.Mutex
	flight   []*walkBatch // not acked, in order
	acked    map[int64]int32
}

type walkBatch struct {
	seq, n int32
	base   int64
	state  string // "", sent, acked
}

// Appended implements Done.
func (c *walkClient) Appended(tag int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.flight {
		if b.seq == int32(tag) && b.state == "sent" {
			if b.state = ""; err == nil {
				c.ack(b)
			}
			return
		}
	}
	c.w.t.Errorf("partition %d: an answer for batch %d, which waits for none", c.id.Index, tag)
}

func (c *walkClient) ack(b *walkBatch) {
	b.state = "acked"
	for i := range b.n {
		if c.acked == nil {
			c.acked = map[int64]int32{}
		}
		c.acked[b.base+int64(i)] = b.seq + i
	}
}

// send gives what is not acked, and now and then a new batch, to a member, in order. While an answer is out nothing is sent again, nor to anybody else.
func (c *walkClient) send(m *member, fresh bool) {
	c.mu.Lock()
	for len(c.flight) > 0 && c.flight[0].state == "acked" {
		c.flight = c.flight[1:]
	}
	again, waiting := false, false
	for _, b := range c.flight {
		again = again || b.state == ""
		waiting = waiting || b.state == "sent"
	}
	if waiting && (again || m != c.to) {
		c.mu.Unlock()
		return
	}
	if fresh && len(c.flight) < 4 && !again {
		c.flight = append(c.flight, &walkBatch{seq: c.next, n: 1 + c.next%3})
		c.next += 1 + c.next%3
	}
	c.to = m
	todo := append([]*walkBatch(nil), c.flight...)
	c.mu.Unlock()
	p, err := m.set.Get(c.id, "t", c.slot)
	for i := 0; err == nil && i < len(todo); i++ {
		err = c.send1(p, todo[i])
	}
	for _, next := range []error{partition.ErrNotLeader, partition.ErrLoading, partition.ErrDraining} {
		if errors.Is(err, next) {
			return
		}
	}
	if err != nil && c.w.slots[c.slot].leader == m { // one who was fenced knows nothing of what came after
		c.w.t.Errorf("partition %d: %v", c.id.Index, err)
	}
}

func (c *walkClient) send1(p *partition.Partition, b *walkBatch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.state != "" {
		return nil
	}
	bl := recordbatch.Builder{Producer: &recordbatch.Producer{ID: c.producer, Sequence: b.seq}}
	var rs []recordbatch.Record
	for i := range b.n {
		rs = append(rs, recordbatch.Record{Timestamp: 1, Value: fmt.Appendf(nil, "%d", b.seq+i)})
	}
	batch, err := bl.Append(nil, rs)
	if err != nil {
		return err
	}
	got, err := p.Append(partition.Append{Batch: batch, Now: time.Now().UnixMilli(), LogAppendTime: true, Done: c, Tag: int(b.seq)})
	if err != nil {
		return err
	}
	if b.base, b.state = got.Base, "sent"; !got.Pending {
		c.ack(b)
	}
	return nil
}
