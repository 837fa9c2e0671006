package topic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// nth makes a plan of which the n-th transaction, counted from 1, meets act; all else passes.
func nth(n int, act fault.Action) fault.Plan {
	var mu sync.Mutex
	seen := 0
	return fault.Plan{Hook: func(c fault.Call) fault.Action {
		if c.Op != fault.Transact {
			return fault.Action{Do: fault.Pass}
		}
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen == n {
			return act
		}
		return fault.Action{Do: fault.Pass}
	}}
}

// Whatever happens to one transaction, each operation succeeds, does its work once, and the version moves by its steps.
func TestEveryOperationSurvivesOneFault(t *testing.T) {
	faults := map[string]fault.Action{
		"lost reply":           {Do: fault.Lose},
		"repeated below":       {Do: fault.Retry},
		"late":                 {Do: fault.Late, After: 15 * time.Millisecond},
		"very late":            {Do: fault.Late, After: time.Minute},
		"twice":                {Do: fault.Twice, After: 20 * time.Millisecond},
		"failed, unknown":      {Do: fault.Fail},
		"conflict":             {Do: fault.Fail, Err: metastore.ErrConflict},
		"throttled":            {Do: fault.Fail, Err: metastore.ErrThrottled},
		"no fault (reference)": {Do: fault.Pass},
	}
	value := "77"
	operations := map[string]struct {
		steps int
		do    func(context.Context, *agent) error
		check func(*Topic) bool
	}{
		"create": {1, func(ctx context.Context, a *agent) error {
			_, err := a.Create(ctx, Spec{Name: "new", Partitions: 2})
			return err
		}, nil},
		"grow": {1, func(ctx context.Context, a *agent) error {
			_, err := a.AddPartitions(ctx, "x", 5, false)
			return err
		}, func(t *Topic) bool { return t.Partitions() == 5 }},
		"alter": {1, func(ctx context.Context, a *agent) error {
			_, err := a.Alter(ctx, "x", []Change{{"retention.ms", OpSet, &value}}, false)
			return err
		}, func(t *Topic) bool { return t.Config.RetentionMS == 77 }},
		"delete": {2, func(ctx context.Context, a *agent) error { return a.Delete(ctx, "x") },
			func(t *Topic) bool { return t == nil }},
	}
	for what, act := range faults {
		for name, op := range operations {
			for n := 1; n <= op.steps; n++ {
				t.Run(fmt.Sprintf("%s/%s/%d", name, what, n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						table := mem.New()
						store := fault.New(table, fault.Plan{})
						a := join(t, store, nil)
						a.create(t, "x", 1)
						store.SetPlan(nth(n, act))
						if err := op.do(t.Context(), a); err != nil {
							t.Fatal(err)
						}
						store.SetPlan(fault.Plan{})
						store.Wait() // what is late comes now, and must do nothing
						sound(t, table, a, 1+op.steps)
						if op.check != nil && !op.check(a.Lookup("x")) {
							t.Fatalf("the topic is %+v", a.Lookup("x"))
						}
						if name == "create" && a.Lookup("new") == nil {
							t.Fatal("not created")
						}
					})
				})
			}
		}
	}
}

// sound checks that the version of the table is v with a whole log, and that a sees what is there.
func sound(t *testing.T, table metastore.Store, a *agent, v int) {
	t.Helper()
	it, err := table.Get(t.Context(), records.Cluster("c").VersionKey(), metastore.Consistent)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := records.DecodeVersion(it); got.Topic != int64(v) {
		t.Errorf("the version is %d, want %d", got.Topic, v)
	}
	if a.Catalog.mu.seen != int64(v) {
		t.Errorf("the agent has seen %d, want %d without a read", a.Catalog.mu.seen, v)
	}
	page, err := table.Query(t.Context(), metastore.Query{PK: records.Cluster("c").TopicLogPK()})
	if err != nil || len(page.Rows) != v {
		t.Errorf("%d log entries, %v", len(page.Rows), err)
	}
	agree(t, table, a)
}

// agree checks that a knows exactly the topics of the table.
func agree(t *testing.T, table metastore.Store, a *agent) {
	t.Helper()
	fresh := join(t, table, nil)
	if names(a.List()) != names(fresh.List()) {
		t.Errorf("the agent sees %q, the table has %q", names(a.List()), names(fresh.List()))
	}
	partitions := int64(0)
	for _, want := range fresh.List() {
		got := a.Lookup(want.Name)
		if got == nil || got.ID != want.ID || got.V != want.V || !slices.Equal(got.Slots, want.Slots) || a.LookupID(want.ID) != got {
			t.Errorf("%s: the agent sees %+v, the table has %+v", want.Name, got, want)
		}
		partitions += int64(want.Partitions())
	}
	if a.Catalog.mu.partitions != partitions {
		t.Errorf("the agent counts %d partitions, the table has %d", a.Catalog.mu.partitions, partitions)
	}
}

// Our own success must be told from somebody else's topic of the same name, even if the reply is lost.
func TestLostReplyOfAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := mem.New()
		store := fault.New(table, fault.Plan{})
		a, b := join(t, store, nil), join(t, table, nil)
		b.create(t, "x", 1)
		store.SetPlan(nth(1, fault.Action{Do: fault.Lose}))
		if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 9}); !errors.Is(err, ErrExists) {
			t.Fatalf("created over another: %v", err)
		}
		if a.Lookup("x") == nil || a.Lookup("x").Partitions() != 1 {
			t.Fatalf("sees %+v", a.Lookup("x"))
		}
	})
}

// The reply of a creation is lost, and before it is repeated somebody deletes the topic: it was created, and is gone.
func TestLostReplyThenDeletedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := mem.New()
		b := join(t, table, nil)
		seen := 0
		store := fault.New(table, fault.Plan{Hook: func(c fault.Call) fault.Action {
			if c.Op == fault.Transact {
				if seen++; seen == 1 {
					return fault.Action{Do: fault.Lose}
				}
				if seen == 2 { // before the repetition reaches the table
					if err := b.Delete(t.Context(), "x"); err != nil {
						t.Error(err)
					}
				}
			}
			return fault.Action{Do: fault.Pass}
		}})
		a := join(t, store, nil)
		if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 1}); err != nil {
			t.Fatalf("create: %v", err)
		}
		if err := a.CatchUp(t.Context()); err != nil || a.Lookup("x") != nil {
			t.Fatalf("created a second time: %+v, %v", a.Lookup("x"), err)
		}
		agree(t, table, a)
	})
}

// before makes a plan that runs f before the first transaction reaches the table.
func before(f func()) fault.Plan {
	var once sync.Once
	return fault.Plan{Hook: func(c fault.Call) fault.Action {
		if c.Op == fault.Transact {
			once.Do(f)
		}
		return fault.Action{Do: fault.Pass}
	}}
}

// Somebody else's change comes between the read and the write of ours: neither is lost.
func TestChangesBetweenReadAndWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := mem.New()
		store := fault.New(table, fault.Plan{})
		a, b := join(t, store, nil), join(t, table, nil)
		first := b.create(t, "x", 1)
		value := "77"
		store.SetPlan(before(func() {
			if _, err := b.Alter(t.Context(), "x", []Change{{"retention.bytes", OpSet, &value}}, false); err != nil {
				t.Error(err)
			}
		}))
		got, err := a.Alter(t.Context(), "x", []Change{{"retention.ms", OpSet, &value}}, false)
		if err != nil || got.Config.RetentionMS != 77 || got.Config.RetentionBytes != 77 {
			t.Fatalf("a change is lost: %+v, %v", got, err)
		}
		store.SetPlan(before(func() {
			if _, err := b.AddPartitions(t.Context(), "x", 5, false); err != nil {
				t.Error(err)
			}
		}))
		if _, err := a.AddPartitions(t.Context(), "x", 4, false); !errors.Is(err, ErrPartitions) {
			t.Fatalf("partitions were taken away: %v", err)
		}
		anew := func() {
			if err := b.Delete(t.Context(), "x"); err != nil {
				t.Error(err)
			}
			b.create(t, "x", 1)
		}
		store.SetPlan(before(anew))
		if out := a.DeleteAll(t.Context(), []Target{{ID: first.ID}}); !errors.Is(out[0].Err, ErrUnknown) {
			t.Fatalf("deleted the topic that took the name: %+v", out)
		}
		store.SetPlan(before(anew))
		if _, err := a.Alter(t.Context(), "x", []Change{{"retention.ms", OpSet, &value}}, false); err != nil {
			t.Fatalf("alter what was created anew: %v", err)
		}
		if err := a.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		agree(t, table, a)
		store.SetPlan(before(anew))
		if err := a.Delete(t.Context(), "x"); err != nil {
			t.Fatalf("delete what was created anew: %v", err)
		}
		if page, err := table.Query(t.Context(), metastore.Query{PK: records.Cluster("c").TopicsPK()}); err != nil || len(page.Rows) > 0 {
			t.Fatalf("left: %v, %v", page.Rows, err)
		}
	})
}

// The reply is lost, and no repetition comes through: a read of the log decides.
func TestLogDecidesInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := fault.New(mem.New(), fault.Plan{})
		a := join(t, store, nil)
		seen := 0
		store.SetPlan(fault.Plan{Hook: func(c fault.Call) fault.Action {
			if c.Op != fault.Transact {
				return fault.Action{Do: fault.Pass}
			}
			if seen++; seen == 1 {
				return fault.Action{Do: fault.Lose}
			}
			return fault.Action{Do: fault.Fail, Err: metastore.ErrThrottled}
		}})
		if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		if seen != maxTries {
			t.Errorf("%d tries, want %d", seen, maxTries)
		}
	})
}

// A store that answers nothing: every call ends, in bounded time, with ErrUnavailable.
func TestStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := mem.New()
		store := fault.New(table, fault.Plan{})
		a := join(t, store, nil)
		a.create(t, "x", 1)
		store.SetPlan(fault.Plan{Rates: fault.All(fault.Rates{Error: 1})})
		began := time.Now()
		value := "1"
		for what, f := range map[string]func() error{
			"create": func() error { _, err := a.Create(t.Context(), Spec{Name: "y", Partitions: 1}); return err },
			"delete": func() error { return a.Delete(t.Context(), "x") },
			"grow":   func() error { _, err := a.AddPartitions(t.Context(), "x", 2, false); return err },
			"alter": func() error {
				_, err := a.Alter(t.Context(), "x", []Change{{"retention.ms", OpSet, &value}}, false)
				return err
			},
			"find":     func() error { _, err := a.Find(t.Context(), "z"); return err },
			"catch up": func() error { return a.CatchUp(t.Context()) },
			"load":     func() error { return a.Load(t.Context()) },
		} {
			if err := f(); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if d := time.Since(began); d > time.Minute {
			t.Errorf("took %v", d)
		}
		if a.Lookup("x") == nil {
			t.Error("a topic is forgotten because the store is down")
		}
		join(t, table, nil).create(t, "z", 1)
		store.SetPlan(fault.Plan{})
		if _, err := a.Find(t.Context(), "z"); err != nil {
			t.Errorf("an error was remembered: %v", err)
		}
	})
}

// Nothing is concluded from an item that does not decode: who asks whether a topic is gone gets an error, until the item
// is well or away. What was known of the topic is served, and all other topics.
func TestUnreadableItem(t *testing.T) {
	table := mem.New()
	a, b := join(t, table, nil), join(t, table, nil)
	made := a.create(t, "x", 1)
	if err := b.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := records.Cluster("c").TopicKey("x")
	write := func(op metastore.Op) {
		t.Helper()
		if _, err := table.Write(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	state := func(s string) metastore.Op {
		return metastore.Op{Kind: metastore.OpUpdate, Key: key, Set: metastore.Item{records.AttrState: metastore.S(s)}}
	}
	write(state("FROZEN"))
	a.create(t, "y", 1)
	c := unread(table)
	for range 2 {
		if err := c.Load(t.Context()); !errors.Is(err, records.ErrBadItem) || c.Lookup("y") == nil {
			t.Errorf("load: %v", err)
		}
	}
	if _, err := b.refresh(t.Context(), "x"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
	if err := b.Load(t.Context()); !errors.Is(err, records.ErrBadItem) || b.LookupID(made.ID) == nil {
		t.Errorf("it is taken for gone: %v", err)
	}
	if err := b.CatchUp(t.Context()); !errors.Is(err, records.ErrBadItem) || b.LookupID(made.ID) == nil {
		t.Errorf("it is taken for gone: %v", err)
	}
	if _, err := c.Create(t.Context(), Spec{Name: "x", Partitions: 1}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("create over it: %v", err)
	}
	write(state("ACTIVE"))
	if err := c.Load(t.Context()); err != nil || c.LookupID(made.ID) == nil {
		t.Errorf("well again: %v", err)
	}
	write(metastore.Op{Kind: metastore.OpDelete, Key: key})
	if _, err := b.refresh(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	if err := b.CatchUp(t.Context()); err != nil || b.Lookup("x") != nil {
		t.Errorf("away: %v", err)
	}
}

// unread returns a catalogue that has not read anything.
func unread(store metastore.Store) *Catalog {
	s, _ := NewSettings(nil)
	return New(store, slog.New(slog.DiscardHandler), Options{Cluster: "c", Slots: 16, Poll: time.Second, Settings: s})
}

// A read that was under way while the topic was removed, or created, must not bring back the old state.
func TestReadsThatComeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := mem.New()
		a := join(t, table, nil)
		made := a.create(t, "x", 1)
		old := records.Topic{Name: "x", ID: made.ID, Slots: made.Slots, Configs: map[string]string{}, State: records.TopicActive, V: made.V}
		asked := a.now()
		if err := a.Delete(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		a.learn(old)
		if a.Lookup("x") != nil {
			t.Fatal("an old item brought a removed topic back")
		}
		again := a.create(t, "x", 1)
		a.forget("x", asked)
		a.learn(old)
		if got := a.Lookup("x"); got == nil || got.ID != again.ID {
			t.Fatalf("an old read took the new topic away: %+v", got)
		}
		if grown, err := a.AddPartitions(t.Context(), "x", 2, false); err != nil || grown.V <= again.V {
			t.Fatal(err)
		}
		a.learn(records.Topic{Name: "x", ID: again.ID, Slots: again.Slots, State: records.TopicActive, V: again.V})
		if a.Lookup("x").Partitions() != 2 {
			t.Fatal("an old item took partitions away")
		}
		for range maxDead + 10 {
			a.gone("y", uuid.New(), false)
		}
		if len(a.Catalog.mu.dead) != maxDead || len(a.Catalog.mu.deadOrder) != maxDead {
			t.Fatalf("%d removed ids are remembered", len(a.Catalog.mu.dead))
		}
	})
}

// One Find reads for all who ask for the name meanwhile.
func TestFindIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		gets := 0
		table := mem.New()
		b := join(t, table, nil)
		b.create(t, "x", 1)
		store := fault.New(table, fault.Plan{})
		a := New(store, slog.New(slog.DiscardHandler), Options{Cluster: "c", Slots: 16, Poll: time.Second, Settings: settings(t, nil)})
		store.SetPlan(fault.Plan{Hook: func(c fault.Call) fault.Action {
			mu.Lock()
			defer mu.Unlock()
			gets++
			return fault.Action{Do: fault.Pass, Delay: time.Second}
		}})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got, err := a.Find(t.Context(), "x"); err != nil || got == nil {
					t.Error(err)
				}
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // one who does not wait spoils nothing for others
		defer cancel()
		if _, err := a.Find(ctx, "x"); !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
		wg.Wait()
		if gets != 1 {
			t.Errorf("%d reads", gets)
		}
		for range 3 {
			if _, err := a.Find(t.Context(), "y"); !errors.Is(err, ErrUnknown) {
				t.Error(err)
			}
		}
		if gets != 2 {
			t.Errorf("%d reads of an unknown name", gets-1)
		}
		time.Sleep(negativeTime + time.Millisecond)
		if _, err := a.Find(t.Context(), "y"); !errors.Is(err, ErrUnknown) || gets != 3 {
			t.Errorf("%v, %d reads after the negative answer is old", err, gets-1)
		}
	})
}

// Three agents change and follow topics over stores with all faults at once. When these end, all agree, and every change
// that was acknowledged is there: a topic of which the last acknowledged word was "created" exists.
func TestFaultsAtOnce(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { faultsAtOnce(t, seed) })
		})
	}
}

func faultsAtOnce(t *testing.T, seed uint64) {
	table := mem.New()
	ctx, cancel := context.WithCancel(t.Context())
	var agents []*agent
	var stores []*fault.Store
	var running, work sync.WaitGroup
	for n := range 3 {
		store := fault.New(table, fault.Plan{})
		a := join(t, store, nil)
		store.SetPlan(fault.Plan{Seed: seed + uint64(n)*1000, Rates: fault.All(fault.Rates{
			Delay: time.Millisecond, Jitter: 20 * time.Millisecond, Throttle: 0.05, Conflict: 0.1, Error: 0.05, Lost: 0.1, Retry: 0.05,
			Late: 0.05, Twice: 0.05, LateFor: 3 * time.Second, Stale: 0.2, Short: 0.3,
		})})
		agents, stores = append(agents, a), append(stores, store)
		running.Go(func() { a.Run(ctx) })
	}
	for n, a := range agents {
		rng := rand.New(rand.NewPCG(seed, uint64(n)))
		work.Go(func() { // names of its own, so that it knows what must be
			for i := range 12 {
				name := fmt.Sprintf("a%d-%d", n, i%3)
				exists := a.Lookup(name) != nil
				var err error
				switch {
				case !exists:
					_, err = a.Create(ctx, Spec{Name: name, Partitions: 1})
				case rng.IntN(2) == 0:
					err = a.Delete(ctx, name)
				default:
					_, err = a.AddPartitions(ctx, name, a.Lookup(name).Partitions()+1, false)
				}
				if err != nil && !errors.Is(err, ErrUnavailable) {
					if a2, e := a.refresh(ctx, name); e == nil && (a2 != nil) == exists {
						t.Errorf("%s: %v, and it is %+v", name, err, a2)
					}
				}
				// A name that all fight for.
				if _, err = a.Create(ctx, Spec{Name: "shared", Partitions: 1}); err == nil {
					_ = a.Delete(ctx, "shared")
				}
			}
		})
	}
	work.Wait()
	for _, s := range stores {
		s.SetPlan(fault.Plan{})
		s.Wait()
	}
	time.Sleep(5 * time.Second) // of the agents' polls: deletions are finished
	cancel()
	running.Wait()
	for _, a := range agents {
		agree(t, table, a)
	}
	page, err := table.Query(t.Context(), metastore.Query{PK: records.Cluster("c").TopicsPK()})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range page.Rows {
		if r, err := records.DecodeTopic(row.Item); err != nil || r.State != records.TopicActive {
			t.Errorf("%s is left %s, %v", row.SK, r.State, err)
		}
	}
}
