package cluster

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

var quiet = slog.New(slog.DiscardHandler)

func config(name string) Config {
	return Config{
		Cluster: "c", Name: name, Host: "127.0.0.1", Port: 1, Slots: 8,
		Heartbeat: 30 * time.Millisecond, TTL: 90 * time.Millisecond, Poll: 10 * time.Millisecond, Exclusive: true,
	}
}

func join(t *testing.T, facts metastore.Store, cfg Config) *Member {
	t.Helper()
	m, err := Join(t.Context(), facts, cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// slotsHere is what a Member's Core wants of an agent, without an agent.
type slotsHere struct {
	mu   sync.Mutex
	open map[uint16]Taken
	left map[uint16]int32
	fail func() error // nil: openings succeed
}

func (h *slotsHere) Open(_ context.Context, slots []Taken) (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		if err := h.fail(); err != nil {
			return 0, err
		}
	}
	for _, s := range slots {
		h.open[s.Slot] = s
	}
	return 1, nil
}

func (h *slotsHere) Leave(slot uint16, epoch int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.open, slot)
	h.left[slot] = epoch
}

func (h *slotsHere) Drain(uint16, int32)                       {}
func (h *slotsHere) Resume(uint16, int32)                      {}
func (h *slotsHere) Forget(uint16, int32)                      {}
func (h *slotsHere) Barrier(context.Context) (uint64, error)   { return 1, nil }
func (h *slotsHere) Sources(uint16) []Source                   { return nil }
func (h *slotsHere) Loads() []Load                             { return nil }
func (h *slotsHere) Rewrite(context.Context) error             { return nil }
func (h *slotsHere) Trimmable() uint64                         { return 0 }
func (h *slotsHere) Trim(context.Context, uint64, int64) error { return nil }

func (h *slotsHere) taken() map[uint16]Taken {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.open)
}

// runs runs a member until the test ends or stop is called, and returns once it is settled.
func runs(t *testing.T, m *Member, links ...Links) (here *slotsHere, stop func()) {
	t.Helper()
	here = &slotsHere{open: map[uint16]Taken{}, left: map[uint16]int32{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	plugs := Plugs{Slots: here}
	if len(links) > 0 {
		plugs.Links = links[0]
	}
	wg.Go(func() { m.Run(ctx, plugs) })
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	select {
	case <-m.Settled():
	case <-time.After(10 * time.Second):
		t.Fatal("not settled")
	}
	return here, stop
}

// acquire takes the free slots, opens them, and stops leading them without a word.
func acquire(t *testing.T, m *Member) map[uint16]Taken {
	t.Helper()
	if _, err := m.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	here, stop := runs(t, m)
	stop()
	return here.taken()
}

func session(t *testing.T, facts metastore.Store, id uuid.UUID) records.Session {
	t.Helper()
	item, err := facts.Get(t.Context(), records.Cluster("c").SessionKey(id), metastore.Consistent)
	if err != nil {
		t.Fatal(err)
	}
	s, err := records.DecodeSession(item)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func commit(t *testing.T, facts metastore.Store, id uuid.UUID, n int64) {
	t.Helper()
	_, err := facts.Write(t.Context(), metastore.Op{
		Kind: metastore.OpUpdate, Key: records.Cluster("c").SessionKey(id), Set: metastore.Item{records.AttrCommitted: metastore.N(n)},
		If: []metastore.Cond{{Attr: records.AttrState, Cmp: metastore.Eq, Value: records.Active.Value()}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFirstStart(t *testing.T) {
	facts := mem.New()
	m := join(t, facts, config("a"))
	if m.NodeID() != 1 || m.StartNumber() != 1 || m.Cluster().Slots != 8 {
		t.Fatalf("node %d, start %d, config %+v", m.NodeID(), m.StartNumber(), m.Cluster())
	}
	taken := acquire(t, m)
	if len(taken) != 8 || taken[3].Epoch != 0 || len(taken[3].From) != 0 {
		t.Fatalf("took %v", taken)
	}
	v := m.View()
	if len(v.Nodes) != 1 || v.Nodes[0].ID != 1 || v.Controller != 1 || v.Slots[7].Node != 1 || v.Slots[7].Epoch != 0 {
		t.Fatalf("view %+v", v)
	}
	if err := m.Confirm(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A start under the name of a session that crashed fences it, seals it at its committed end, and takes its slots with a
// higher epoch and a way to its log.
func TestStartAfterACrash(t *testing.T) {
	facts := mem.New()
	first := join(t, facts, config("a"))
	acquire(t, first)
	commit(t, facts, first.Session(), 41)

	second := join(t, facts, config("a"))
	s := session(t, facts, first.Session())
	if s.State != records.Sealed || s.End != 42 || len(s.Pending) != 8 || s.Pending[5] != 0 {
		t.Fatalf("the old session is %+v", s)
	}
	if second.NodeID() != first.NodeID() || second.StartNumber() != 2 {
		t.Fatalf("node %d, start %d", second.NodeID(), second.StartNumber())
	}
	taken := acquire(t, second)
	if got := taken[5]; len(taken) != 8 || got.Epoch != 1 || len(got.From) != 1 || got.From[0] != (records.From{Session: first.Session(), End: 42, Epoch: 0}) {
		t.Fatalf("took %+v", taken)
	}
	if err := first.Confirm(t.Context()); !errors.Is(err, records.ErrFenced) {
		t.Fatalf("the old session confirms: %v", err)
	}
	if err := first.Leave(t.Context(), 50); !errors.Is(err, records.ErrFenced) {
		t.Fatalf("the old session closes: %v", err)
	}
	drained := session(t, facts, first.Session())
	drained.State = records.Drained // whoever needed it last may have been quick
	if _, err := facts.Write(t.Context(), putOp(config("a").Cluster.SessionKey(first.Session()), drained.Item())); err != nil {
		t.Fatal(err)
	}
	if err := first.Leave(t.Context(), 50); !errors.Is(err, records.ErrFenced) {
		t.Fatalf("the old session closes after it was drained: %v", err)
	}
	third := acquire(t, join(t, facts, config("a")))
	if got := third[5]; got.Epoch != 2 || len(got.From) != 2 || got.From[1].Session != second.Session() || got.From[1].Epoch != 1 {
		t.Fatalf("R9: from is %+v", got)
	}
}

func TestStartAfterLeave(t *testing.T) {
	facts := mem.New()
	first := join(t, facts, config("a"))
	acquire(t, first)
	commit(t, facts, first.Session(), 7)
	if err := first.Leave(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if err := first.Leave(t.Context(), 7); err != nil {
		t.Fatalf("leaving again: %v", err)
	}
	if s := session(t, facts, first.Session()); s.State != records.Closed || s.End != 8 || len(s.Pending) != 8 {
		t.Fatalf("%+v", s)
	}
	second := join(t, facts, config("b"))
	taken := acquire(t, second)
	if len(taken) != 8 || taken[0].From[0].End != 8 || second.NodeID() != 2 {
		t.Fatalf("took %+v as node %d", taken, second.NodeID())
	}
	if v := second.View(); len(v.Nodes) != 1 || v.Nodes[0].Name != "b" {
		t.Fatalf("view %+v", v)
	}
}

// unpins changes the pins of a session right before its first transaction, as the leader of a slot does that needs them no more.
type unpins struct {
	metastore.Store
	pins records.Pins
	id   uuid.UUID
	done bool
}

func (u *unpins) Transact(ctx context.Context, ops []metastore.Op) error {
	if !u.done {
		u.done = true
		if err := u.Store.Transact(ctx, []metastore.Op{putPins("c", u.id, u.pins, map[uint16]records.Pin{})}); err != nil {
			return err
		}
	}
	return u.Store.Transact(ctx, ops)
}

// A pin goes between the read of the pins and the write of CLOSED: the slot is not owed, or the session would never drain.
func TestLeaveWhileAPinGoes(t *testing.T) {
	facts := mem.New()
	m := join(t, facts, config("a1"))
	if err := facts.Transact(t.Context(), []metastore.Op{putPins("c", m.Session(), records.Pins{}, map[uint16]records.Pin{3: {Seq: 1, Epoch: 4}})}); err != nil {
		t.Fatal(err)
	}
	m.facts = &unpins{Store: facts, pins: records.Pins{V: 1}, id: m.Session()}
	if err := m.Leave(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if s := session(t, facts, m.Session()); s.State != records.Drained || len(s.Pending) > 0 {
		t.Errorf("%s, owes %v", s.State, s.Pending)
	}
}

// Slots of a live session are left alone.
func TestSlotsOfALiveAgent(t *testing.T) {
	facts := mem.New()
	a, b := config("a"), config("b")
	a.Exclusive, b.Exclusive, b.Port, a.TTL, b.TTL = false, false, 2, time.Hour, time.Hour
	acquire(t, join(t, facts, a))
	second := join(t, facts, b)
	if taken := acquire(t, second); len(taken) != 0 {
		t.Fatalf("took %v from a live session", taken)
	}
	if v := second.View(); len(v.Nodes) != 2 || v.Slots[0].Node != 1 || v.Controller != 1 {
		t.Fatalf("view %+v", v)
	}
}

// Architecture section 8: a start under a name in use.
func TestNameInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	facts := mem.New()
	cfg := config("a")
	cfg.Port, cfg.Exclusive = int32(ln.Addr().(*net.TCPAddr).Port), false
	first := join(t, facts, cfg)
	acquire(t, first)
	if dead, err := Probe(t.Context(), facts, "c", "a", dial, quiet); err != nil || dead != uuid.Nil {
		t.Fatalf("probe of an address that answers: %v, %v", dead, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { // the first agent's heartbeat
		for sleep(ctx, 5*time.Millisecond) {
			_, _ = facts.Write(ctx, metastore.Op{
				Kind: metastore.OpUpdate, Key: records.Cluster("c").SessionKey(first.Session()), Add: map[string]int64{records.AttrHB: 1},
			})
		}
	})
	var inUse *NameInUseError
	if _, err = Join(t.Context(), facts, cfg, quiet); !errors.As(err, &inUse) || inUse.Name != "a" {
		t.Fatalf("a second agent of that name: %v", err)
	}
	cancel()
	wg.Wait()
	// It answers, but its heartbeat stands still: fenced after the TTL.
	begun := time.Now()
	join(t, facts, cfg)
	if time.Since(begun) < cfg.TTL {
		t.Fatal("fenced before the TTL")
	}
	if s := session(t, facts, first.Session()); s.State != records.Sealed {
		t.Fatalf("%+v", s)
	}
}

// Nobody listens at the registered address: the process is gone, whatever the heartbeat says.
func TestNameWhoseAddressRefuses(t *testing.T) {
	facts := mem.New()
	cfg := config("a")
	cfg.Exclusive, cfg.TTL = false, time.Hour
	first := join(t, facts, cfg)
	dead, err := Probe(t.Context(), facts, "c", "a", dial, quiet)
	if err != nil || dead != first.Session() {
		t.Fatalf("probe: %v, %v", dead, err)
	}
	cfg.Dead = dead
	join(t, facts, cfg)
	if s := session(t, facts, first.Session()); s.State != records.Drained { // it led nothing
		t.Fatalf("%+v", s)
	}
	if dead, err = Probe(t.Context(), facts, "c", "nobody", dial, quiet); err != nil || dead != uuid.Nil {
		t.Fatalf("probe of a new name: %v, %v", dead, err)
	}
}

// lossy applies every write and loses its reply once in a while.
type lossy struct {
	metastore.Store
	mu sync.Mutex
	n  int
}

func (l *lossy) lose() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	return l.n%2 == 1
}

func (l *lossy) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	item, err := l.Store.Write(ctx, op)
	if err == nil && l.lose() {
		return nil, metastore.ErrUnknown
	}
	return item, err
}

func (l *lossy) Transact(ctx context.Context, ops []metastore.Op) error {
	err := l.Store.Transact(ctx, ops)
	if err == nil && l.lose() {
		return metastore.ErrUnknown
	}
	return err
}

// Every write recognises its own success (R3): a whole life with every other reply lost.
func TestLostReplies(t *testing.T) {
	facts := &lossy{Store: mem.New()}
	for i := range 4 {
		m := join(t, facts, config("a"))
		if taken := acquire(t, m); len(taken) != 8 || taken[0].Epoch != int32(i) {
			t.Fatalf("life %d took %+v", i, taken)
		}
		if i%2 == 0 {
			if err := m.Leave(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The first agent fixes the number of slots.
func TestSlotsAreFixed(t *testing.T) {
	facts := mem.New()
	join(t, facts, config("a"))
	cfg := config("b")
	cfg.Slots = 9
	if m := join(t, facts, cfg); m.Cluster().Slots != 8 {
		t.Fatalf("%d slots", m.Cluster().Slots)
	}
}

// Agents that start at once share the slots: one of them assigns them, or one was first and hands over.
func TestRaceForSlots(t *testing.T) {
	facts := mem.New()
	var wg sync.WaitGroup
	var mu sync.Mutex
	all := map[string]*slotsHere{}
	for i, name := range []string{"a", "b", "c"} {
		wg.Go(func() {
			cfg := config(name)
			cfg.Exclusive, cfg.Port, cfg.TTL = false, int32(i+1), time.Hour
			m, err := Join(t.Context(), facts, cfg, quiet)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := m.Acquire(t.Context()); err != nil {
				t.Error(err)
			}
			beat(t, facts, m.Session())
			here, _ := runs(t, m)
			mu.Lock()
			defer mu.Unlock()
			all[name] = here
		})
	}
	wg.Wait()
	for range 1000 {
		seen, most := map[uint16]int{}, 0
		for _, h := range all {
			taken := h.taken()
			most = max(most, len(taken))
			for slot := range taken {
				seen[slot]++
			}
		}
		if len(seen) == 8 && most == 3 && !slices.Contains(slices.Collect(maps.Values(seen)), 2) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	for name, h := range all {
		t.Errorf("%s leads %v", name, slices.Sorted(maps.Keys(h.taken())))
	}
}

// beat keeps a session alive until the test ends.
func beat(t *testing.T, facts metastore.Store, id uuid.UUID) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for sleep(ctx, 10*time.Millisecond) {
			_, _ = facts.Write(ctx, metastore.Op{
				Kind: metastore.OpUpdate, Key: records.Cluster("c").SessionKey(id), Add: map[string]int64{records.AttrHB: 1},
			})
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// Who tells clients an address that another live agent tells them is refused; once that one is dead, it is not.
func TestAddressOfAnother(t *testing.T) {
	facts := mem.New()
	a, b := config("a"), config("b")
	a.Exclusive, b.Exclusive = false, false
	first := join(t, facts, a)
	t.Run("alive", func(t *testing.T) {
		beat(t, facts, first.Session())
		var inUse *AddressInUseError
		if _, err := Join(t.Context(), facts, b, quiet); !errors.As(err, &inUse) || inUse.Agent != "a" {
			t.Fatalf("an address that is another's: %v", err)
		}
	})
	join(t, facts, b)
}

func TestRunSeesAnotherAgent(t *testing.T) {
	facts := mem.New()
	a, b := config("a"), config("b")
	a.Exclusive, b.Exclusive, b.Port, a.TTL, b.TTL = false, false, 2, time.Hour, time.Hour
	first := join(t, facts, a)
	if _, err := first.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs(t, first)
	acquire(t, join(t, facts, b))
	for range 500 {
		if len(first.View().Nodes) == 2 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("the first agent never saw the second")
}
