package topic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent is a catalogue with what it told of deletions and logged.
type agent struct {
	*Catalog
	mu      sync.Mutex
	deleted []uuid.UUID
	log     bytes.Buffer
}

// join returns a catalogue over store, loaded.
func join(t *testing.T, store metastore.Store, set map[string]string) *agent {
	t.Helper()
	a := &agent{}
	a.Catalog = New(store, slog.New(slog.NewTextHandler(&a.log, nil)), Options{
		Cluster: "c", Slots: 16, Poll: time.Second, Settings: settings(t, set),
		OnDelete: func(id uuid.UUID) { a.mu.Lock(); defer a.mu.Unlock(); a.deleted = append(a.deleted, id) },
	})
	if err := a.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *agent) create(t *testing.T, name string, partitions int32) *Topic {
	t.Helper()
	got, err := a.Create(t.Context(), Spec{Name: name, Partitions: partitions})
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	return got
}

func names(list []*Topic) string {
	var out []string
	for _, t := range list {
		out = append(out, t.Name)
	}
	return strings.Join(out, " ")
}

func TestCreateIsSeenHereAndByACatchUp(t *testing.T) {
	store := mem.New()
	a, b := join(t, store, map[string]string{"num.partitions": "3"}), join(t, store, nil)
	retention := "5000"
	made, err := a.Create(t.Context(), Spec{Name: "b", Partitions: -1, Configs: map[string]*string{"retention.ms": &retention, "flush.ms": nil}})
	if err != nil {
		t.Fatal(err)
	}
	a.create(t, "a", 2)
	if made.Partitions() != 3 || made.Config.RetentionMS != 5000 || made.ID == uuid.Nil || made.V != 1 || len(made.Overrides) != 1 {
		t.Fatalf("made %+v", made)
	}
	if names(a.List()) != "a b" || a.Lookup("b").ID != made.ID || a.LookupID(made.ID).Name != "b" {
		t.Fatalf("the maker does not see it: %v", a.List())
	}
	if b.Lookup("b") != nil || len(b.List()) != 0 {
		t.Fatal("the other sees it before it read anything")
	}
	if _, err := b.Create(t.Context(), Spec{Name: "a", Partitions: 1, ValidateOnly: true}); !errors.Is(err, ErrExists) {
		t.Fatalf("validate what exists and is not known: %v", err)
	}
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := b.Lookup("b")
	if names(b.List()) != "a b" || got.ID != made.ID || !slices.Equal(got.Slots, made.Slots) || got.Config.RetentionMS != 5000 || got.Created != made.Created {
		t.Fatalf("the other sees %+v", got)
	}
	if c := join(t, store, nil); names(c.List()) != "a b" {
		t.Fatalf("a third loads %v", c.List())
	}
}

func TestCreateRefuses(t *testing.T) {
	a := join(t, mem.New(), map[string]string{"varve.max.partitions": "20000"})
	a.create(t, "there", 10_000)
	bad := "nope"
	for _, c := range []struct {
		spec Spec
		want error
		text string
	}{
		{Spec{Name: "a/b", Partitions: 1}, ErrName, "character outside"},
		{Spec{Name: "there", Partitions: 1}, ErrExists, `"there"`},
		{Spec{Name: "there", Partitions: 1, ValidateOnly: true}, ErrExists, `"there"`},
		{Spec{Name: "x", Partitions: 0}, ErrPartitions, "not above 0"},
		{Spec{Name: "x", Partitions: -2}, ErrPartitions, "not above 0"},
		{Spec{Name: "x", Partitions: 10_001}, ErrPartitions, "more than 10000"},
		{Spec{Name: "x", Partitions: 2_000_000}, ErrPartitions, "more than 10000"},
		{Spec{Name: "x", Partitions: 1, Configs: map[string]*string{"cleanup.policy": &bad}}, ErrConfig, "not one of"},
		{Spec{Name: "x", Partitions: 1, Configs: map[string]*string{"cleanup.polcy": &bad}}, ErrConfig, "did you mean cleanup.policy?"},
	} {
		for range 2 {
			if _, err := a.Create(t.Context(), c.spec); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%+v: %v, want %v with %q", c.spec, err, c.want, c.text)
			}
		}
	}
	if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 1, ValidateOnly: true}); err != nil || a.Lookup("x") != nil {
		t.Errorf("validate only: %v, %v", err, a.Lookup("x"))
	}
	a.create(t, "more", 9_999)
	if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 2}); !errors.Is(err, ErrPartitions) || !strings.Contains(err.Error(), "raise varve.max.partitions") {
		t.Errorf("over the cluster's limit: %v", err)
	}
	if _, err := a.AddPartitions(t.Context(), "more", 10_001, false); !errors.Is(err, ErrPartitions) {
		t.Errorf("over the cluster's limit: %v", err)
	}
	a.create(t, "x", 1)
}

// What the store would refuse as too large is refused with a reason.
func TestItemSize(t *testing.T) {
	r := records.Topic{Name: strings.Repeat("x", 249), Slots: make([]uint16, 150_000), Configs: map[string]string{}}
	if err := checkSize(r); err != nil {
		t.Errorf("150,000 partitions: %v", err)
	}
	r.Slots = make([]uint16, 200_000)
	if err := checkSize(r); !errors.Is(err, ErrPartitions) {
		t.Errorf("200,000 partitions: %v", err)
	}
	r.Slots = nil
	for i := range 12 {
		r.Configs[fmt.Sprint(i)] = strings.Repeat("x", maxValue)
	}
	if err := checkSize(r); !errors.Is(err, ErrConfig) {
		t.Errorf("large configs: %v", err)
	}
}

// CreatePartitions to 2,000,000 half-worked on a real Kafka and killed it: it is refused whole.
func TestAddPartitions(t *testing.T) {
	store := mem.New()
	a, b := join(t, store, nil), join(t, store, nil)
	made := a.create(t, "x", 3)
	for total, text := range map[int32]string{2: "has 3 already", 3: "has 3 already", 2_000_000: "more than 10000", -1: "has 3"} {
		if _, err := a.AddPartitions(t.Context(), "x", total, false); !errors.Is(err, ErrPartitions) || !strings.Contains(err.Error(), text) {
			t.Errorf("to %d: %v, want %q", total, err, text)
		}
	}
	if got, err := a.AddPartitions(t.Context(), "x", 20, true); err != nil || got.Partitions() != 20 || a.Lookup("x").Partitions() != 3 {
		t.Errorf("validate only: %v, %v", got, err)
	}
	// The other agent does not know the topic yet, nor a change made meanwhile.
	got, err := b.AddPartitions(t.Context(), "x", 20, false)
	if err != nil || got.Partitions() != 20 || !slices.Equal(got.Slots[:3], made.Slots) || got.ID != made.ID {
		t.Fatalf("grown: %+v, %v", got, err)
	}
	for i, slot := range got.Slots {
		if want := (got.Slots[0] + uint16(i)) % 16; slot != want {
			t.Fatalf("partition %d lies in slot %d, want %d", i, slot, want)
		}
	}
	if got, err = a.AddPartitions(t.Context(), "x", 21, false); err != nil || got.Partitions() != 21 {
		t.Fatalf("grown on old knowledge: %+v, %v", got, err)
	}
	if _, err = a.AddPartitions(t.Context(), "y", 21, false); !errors.Is(err, ErrUnknown) {
		t.Fatalf("unknown: %v", err)
	}
}

func TestAlter(t *testing.T) {
	a := join(t, mem.New(), nil)
	made := a.create(t, "x", 1)
	v := "1"
	set := []Change{{"retention.ms", OpSet, &v}}
	if got, err := a.Alter(t.Context(), "x", set, true); err != nil || got.Config.RetentionMS != 1 || a.Lookup("x") == nil || a.Lookup("x").V != made.V {
		t.Fatalf("validate only: %+v, %v", got, err)
	}
	got, err := a.Alter(t.Context(), "x", set, false)
	if err != nil || got.Config.RetentionMS != 1 || a.Lookup("x").Config.RetentionMS != 1 || got.ID != made.ID || got.V <= made.V {
		t.Fatalf("set: %+v, %v", got, err)
	}
	again, err := a.Alter(t.Context(), "x", set, false)
	if err != nil || again.V != got.V {
		t.Fatalf("what changes nothing is written: %+v, %v", again, err)
	}
	if _, err = a.Alter(t.Context(), "x", []Change{{"retention.ms", OpDelete, nil}, {"zzz", OpSet, &v}}, false); !errors.Is(err, ErrConfig) {
		t.Fatalf("bad: %v", err)
	}
	if a.Lookup("x").Config.RetentionMS != 1 {
		t.Fatal("half of a bad request was done")
	}
	if _, err = a.Alter(t.Context(), "y", set, false); !errors.Is(err, ErrUnknown) {
		t.Fatalf("unknown: %v", err)
	}
}

func TestDeleteAndCreateAnew(t *testing.T) {
	store := mem.New()
	a, b := join(t, store, nil), join(t, store, nil)
	first := a.create(t, "x", 2)
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Delete(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if a.Lookup("x") != nil || a.LookupID(first.ID) != nil || !slices.Equal(a.deleted, []uuid.UUID{first.ID}) {
		t.Fatalf("still there: %v, deleted %v", a.Lookup("x"), a.deleted)
	}
	if _, err := store.Get(t.Context(), records.Cluster("c").TopicKey("x"), metastore.Consistent); !errors.Is(err, metastore.ErrNotFound) {
		t.Fatalf("the item is still there: %v", err)
	}
	if err := a.Delete(t.Context(), "x"); !errors.Is(err, ErrUnknown) {
		t.Fatalf("again: %v", err)
	}
	second := a.create(t, "x", 4)
	if second.ID == first.ID || second.V <= first.V {
		t.Fatalf("not another topic: %+v, %+v", first, second)
	}
	// What the other missed, it sees at once; an id never means a later topic of the name.
	if out := b.DeleteAll(t.Context(), []Target{{ID: uuid.New()}}); !errors.Is(out[0].Err, ErrUnknown) {
		t.Fatalf("made-up id: %+v", out)
	}
	if b.Lookup("x").ID != second.ID || b.LookupID(first.ID) != nil || !slices.Equal(b.deleted, []uuid.UUID{first.ID}) {
		t.Fatalf("the other sees %+v, deleted %v", b.Lookup("x"), b.deleted)
	}
	out := b.DeleteAll(t.Context(), []Target{{ID: second.ID}, {Name: "x"}, {Name: "a/b"}})
	if out[0].Err != nil || out[0].Name != "x" || !errors.Is(out[1].Err, ErrUnknown) || !errors.Is(out[2].Err, ErrUnknown) {
		t.Fatalf("by id, again by name, and a bad name: %+v", out)
	}
	if err := a.CatchUp(t.Context()); err != nil || a.Lookup("x") != nil || len(a.List()) != 0 {
		t.Fatalf("the first sees %v, %v", a.List(), err)
	}
}

// A deletion by id on old knowledge must not remove the topic that took the name since.
func TestDeletionByIDSparesTheNewTopic(t *testing.T) {
	store := mem.New()
	a, b := join(t, store, nil), join(t, store, nil)
	first := a.create(t, "x", 1)
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Delete(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	second := a.create(t, "x", 1)
	if out := b.DeleteAll(t.Context(), []Target{{ID: first.ID}}); !errors.Is(out[0].Err, ErrUnknown) {
		t.Fatalf("deleted: %+v", out)
	}
	if got, err := a.refresh(t.Context(), "x"); err != nil || got == nil || got.ID != second.ID {
		t.Fatalf("the new one is %+v, %v", got, err)
	}
}

// An agent that dies between mark and removal leaves a DELETING item: Create, Load and Run of others finish the work.
func TestDeletionIsFinishedByOthers(t *testing.T) {
	mark := func(a *agent, name string) {
		ch := a.marking(name, a.Lookup(name).ID)
		if err := a.commit(t.Context(), []*change{ch}); err != nil || ch.failed {
			t.Fatal(err, ch.failed)
		}
	}
	store := mem.New()
	a, b := join(t, store, nil), join(t, store, nil)
	old := a.create(t, "x", 1)
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	mark(a, "x")
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.Lookup("x") != nil || !slices.Equal(b.deleted, []uuid.UUID{old.ID}) {
		t.Fatalf("a DELETING topic is served: %v", b.deleted)
	}
	if _, err := b.Find(t.Context(), "x"); !errors.Is(err, ErrUnknown) {
		t.Fatalf("find: %v", err)
	}
	if made, err := b.Create(t.Context(), Spec{Name: "x", Partitions: 1}); err != nil || made.ID == old.ID {
		t.Fatalf("create over it: %+v, %v", made, err)
	}

	b.create(t, "y", 1)
	mark(b, "y")
	c := join(t, store, nil)
	if names(c.List()) != "x" {
		t.Fatalf("loaded %v", names(c.List()))
	}
	if err := c.finish(t.Context(), map[string]uuid.UUID{"y": old.ID}); err != nil { // late, of an earlier topic
		t.Fatal(err)
	}
	if _, err := store.Get(t.Context(), records.Cluster("c").TopicKey("y"), metastore.Consistent); err != nil {
		t.Fatalf("the item of a later topic was removed: %v", err)
	}
	open, err := c.finishAll(t.Context(), nil)
	if err != nil || len(open) != 1 {
		t.Fatalf("first round: %v, %v", open, err)
	}
	if open, err = c.finishAll(t.Context(), open); err != nil || len(open) != 0 {
		t.Fatalf("second round: %v, %v", open, err)
	}
	if _, err := store.Get(t.Context(), records.Cluster("c").TopicKey("y"), metastore.Consistent); !errors.Is(err, metastore.ErrNotFound) {
		t.Fatalf("the item is still there: %v", err)
	}
}

// A gap in the log, by ttl, makes a catch-up read everything, removals included.
func TestGapInTheLog(t *testing.T) {
	store := mem.New()
	a, b := join(t, store, nil), join(t, store, nil)
	a.create(t, "gone", 1)
	a.create(t, "kept", 1)
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Delete(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	last := a.create(t, "new", 1)
	for v := int64(1); v < last.V; v++ {
		if _, err := store.Write(t.Context(), metastore.Op{Kind: metastore.OpDelete, Key: records.Cluster("c").TopicLogKey(v)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.CatchUp(t.Context()); err != nil || names(b.List()) != "kept new" {
		t.Fatalf("%v, %v", names(b.List()), err)
	}
}

func TestCollidingNamesAreAllowedAndLogged(t *testing.T) {
	a := join(t, mem.New(), nil)
	a.create(t, "a.b", 1)
	if a.log.Len() > 0 {
		t.Fatalf("logged: %s", a.log.String())
	}
	a.create(t, "a_b", 1)
	if !strings.Contains(a.log.String(), "topic=a_b") {
		t.Fatalf("not logged: %s", a.log.String())
	}
}

func TestFind(t *testing.T) {
	store := mem.New()
	a, b := join(t, store, nil), join(t, store, nil)
	if _, err := b.Find(t.Context(), "x"); !errors.Is(err, ErrUnknown) {
		t.Fatalf("before: %v", err)
	}
	made := a.create(t, "x", 1)
	if _, err := b.Find(t.Context(), "x"); !errors.Is(err, ErrUnknown) {
		t.Fatalf("a negative answer is remembered: %v", err)
	}
	b.locked(func() { b.Catalog.mu.unknown["x"] = time.Now().Add(-time.Millisecond) })
	if got, err := b.Find(t.Context(), "x"); err != nil || got.ID != made.ID || b.LookupID(made.ID) == nil {
		t.Fatalf("after: %+v, %v", got, err)
	}
	if _, err := b.Find(t.Context(), "a/b"); !errors.Is(err, ErrName) {
		t.Fatalf("bad name: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Find(ctx, "y"); !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknown) {
		t.Fatalf("cancelled: %v", err)
	}
	for i := range 2 * maxNegatives {
		b.noteUnknown(fmt.Sprint(i))
	}
	if n := len(b.Catalog.mu.unknown); n > maxNegatives {
		t.Fatalf("%d negatives are remembered", n)
	}
}

// TestFindAfterItsTime: a caller whose time is over causes no read. A request that names thousands of unknown topics would
// else begin one for each of them, all at once, when its time ends.
func TestFindAfterItsTime(t *testing.T) {
	store := &counting{Store: mem.New()}
	a := join(t, store, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := store.gets.Load()
	for i := range 100 {
		if _, err := a.Find(ctx, fmt.Sprintf("t%d", i)); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("error %v", err)
		}
	}
	a.create(t, "known", 1)
	time.Sleep(20 * time.Millisecond) // reads that were begun all the same
	if _, err := a.Find(ctx, "known"); err != nil {
		t.Errorf("a topic in memory: %v", err)
	}
	if n := store.gets.Load() - before; n > 1 {
		t.Errorf("%d reads", n)
	}
}

func (a *agent) locked(f func()) {
	a.Catalog.mu.Lock()
	defer a.Catalog.mu.Unlock()
	f()
}

func TestRunFollows(t *testing.T) {
	store := mem.New()
	a, b := join(t, store, nil), join(t, store, nil)
	b.o.Poll = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	defer func() { cancel(); <-done }()
	wait := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	a.create(t, "x", 1)
	wait("creation is not seen", func() bool { return b.Lookup("x") != nil })
	if _, err := a.AddPartitions(t.Context(), "x", 2, false); err != nil {
		t.Fatal(err)
	}
	wait("growth is not seen", func() bool { return b.Lookup("x").Partitions() == 2 })
	if err := a.Delete(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	wait("removal is not seen", func() bool { return b.Lookup("x") == nil })
}

// Many agents change topics at once; in the end all agree with the table and nothing is lost.
func TestConcurrentChanges(t *testing.T) {
	store := mem.New()
	agents := []*agent{join(t, store, nil), join(t, store, nil), join(t, store, nil)}
	var wg sync.WaitGroup
	var made [3]int
	for n, a := range agents {
		wg.Go(func() {
			for i := range 60 {
				name := fmt.Sprint("t", i%7)
				switch {
				case i%5 == n:
					if err := a.Delete(t.Context(), name); err != nil && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrUnavailable) {
						t.Error(err)
					}
				default:
					_, err := a.Create(t.Context(), Spec{Name: name, Partitions: 1})
					if err == nil {
						made[n]++
					} else if !errors.Is(err, ErrExists) && !errors.Is(err, ErrUnavailable) {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	fresh := join(t, store, nil)
	for _, a := range agents {
		if err := a.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if names(a.List()) != names(fresh.List()) {
			t.Errorf("sees %s, the table has %s", names(a.List()), names(fresh.List()))
		}
		for _, want := range fresh.List() {
			if got := a.Lookup(want.Name); got == nil || got.ID != want.ID {
				t.Errorf("%s: %+v, the table has %+v", want.Name, got, want)
			}
		}
		if a.Catalog.mu.partitions != int64(len(fresh.List())) {
			t.Errorf("counts %d partitions of %d", a.Catalog.mu.partitions, len(fresh.List()))
		}
	}
	if made[0]+made[1]+made[2] < 7 {
		t.Errorf("made only %v", made)
	}
}

// One request for 10,000 topics: few transactions, and no work that grows with the square.
func TestManyTopics(t *testing.T) {
	store := &counting{Store: mem.New()}
	a := join(t, store, nil)
	specs := make([]Spec, 10_000)
	for i := range specs {
		specs[i] = Spec{Name: fmt.Sprintf("topic-%05d", i), Partitions: 1}
	}
	specs[5].Name = specs[5].Name + "/" // one bad apple
	out := a.CreateAll(t.Context(), specs)
	for i, r := range out {
		if (r.Err == nil) != (i != 5) || r.Err == nil && r.Topic.Name != specs[i].Name {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	if store.transactions != (9_999+maxChanges-1)/maxChanges {
		t.Errorf("%d transactions", store.transactions)
	}
	if len(a.List()) != 9_999 {
		t.Errorf("%d topics", len(a.List()))
	}
	store.transactions = 0
	if again := a.CreateAll(t.Context(), specs[:3]); !errors.Is(again[0].Err, ErrExists) || !errors.Is(again[2].Err, ErrExists) || store.transactions > 0 {
		t.Errorf("again, with %d transactions: %+v", store.transactions, again)
	}
	b := join(t, store, nil)
	if len(b.List()) != 9_999 || b.List()[0].Name != "topic-00000" {
		t.Errorf("loaded %d topics", len(b.List()))
	}
	store.gets.Store(0)
	for _, d := range b.DeleteAll(t.Context(), []Target{{ID: uuid.New()}, {ID: uuid.New()}, {ID: uuid.New()}}) {
		if !errors.Is(d.Err, ErrUnknown) {
			t.Errorf("made-up id: %+v", d)
		}
	}
	if n := store.gets.Load(); n != 1 {
		t.Errorf("three unknown ids took %d reads", n)
	}
	var targets []Target
	for _, spec := range specs[:500] {
		targets = append(targets, Target{Name: spec.Name})
	}
	store.transactions = 0
	for i, d := range b.DeleteAll(t.Context(), targets) {
		if (d.Err == nil) != (i != 5) {
			t.Errorf("delete %s: %v", d.Name, d.Err)
		}
	}
	if want := 2 * 6; store.transactions != want {
		t.Errorf("deletions took %d transactions", store.transactions)
	}
	if err := a.CatchUp(t.Context()); err != nil || len(a.List()) != 9_500 || len(b.List()) != 9_500 {
		t.Errorf("%v, %d and %d topics left", err, len(a.List()), len(b.List()))
	}
}

// counting counts requests.
type counting struct {
	metastore.Store
	transactions int
	gets         atomic.Int64
}

func (s *counting) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	s.gets.Add(1)
	return s.Store.Get(ctx, key, c)
}

func (s *counting) Transact(ctx context.Context, ops []metastore.Op) error {
	s.transactions++
	return s.Store.Transact(ctx, ops)
}
