package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
	factmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/fault"
	"github.com/varvelog/varve/objstore/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var config = Config{Cluster: "c", Keys: objstore.Keys{Cluster: "c"}, Patience: 2 * time.Second}

func run(t *testing.T, objects objstore.Store, facts metastore.Store) Report {
	t.Helper()
	r, err := Run(t.Context(), config, objects, facts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// failed names the checks that a report finds fault with.
func failed(r Report) (names []string) {
	for _, f := range r.Findings {
		if f.Err != nil {
			names = append(names, f.Check)
		}
	}
	return names
}

// recorder remembers the keys of all items written.
type recorder struct {
	metastore.Store
	keys chan metastore.Key
}

func (r recorder) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	r.keys <- op.Key
	return r.Store.Write(ctx, op)
}

func (r recorder) Transact(ctx context.Context, ops []metastore.Op) error {
	for _, op := range ops {
		r.keys <- op.Key
	}
	return r.Store.Transact(ctx, ops)
}

func TestHonestStoresPassAndAreLeftEmpty(t *testing.T) {
	objects := mem.New()
	facts := recorder{factmem.New(), make(chan metastore.Key, 1000)}
	r := run(t, objects, facts)
	if names := failed(r); names != nil || r.Err() != nil {
		t.Errorf("failed: %v, %v", names, r.Err())
	}
	left, err := objects.List(t.Context(), "", "", 0)
	if err != nil || len(left) > 0 {
		t.Errorf("objects left: %v, %v", left, err)
	}
	close(facts.keys)
	for key := range facts.keys {
		if !strings.HasPrefix(key.PK, "c/PROBE#") {
			t.Errorf("wrote to %s", key)
		}
		if _, err := facts.Get(t.Context(), key, metastore.Consistent); !errors.Is(err, metastore.ErrNotFound) {
			t.Errorf("%s is left: %v", key, err)
		}
	}
}

// Each lie of a metastore is found by the check named here, and refuses the start in one line that says what to do.
func TestLyingMetastores(t *testing.T) {
	found := map[factfault.Lie]string{
		factfault.NoConditions: "metastore-create", factfault.NoOldItem: "metastore-update", factfault.TornTransact: "metastore-transact",
		factfault.StaleRead: "metastore-update", factfault.SilentTransact: "metastore-transact", factfault.FailedApplies: "metastore-update",
	}
	for _, lie := range factfault.Lies() {
		r := run(t, mem.New(), factfault.Liar(factmem.New(), lie))
		expectRefused(t, lie, r, found[lie])
	}
}

// Each lie of an object store is found by the check named here.
func TestLyingObjectStores(t *testing.T) {
	for _, lie := range fault.Lies() {
		r := run(t, fault.Liar(mem.New(), lie), factmem.New())
		if lie == fault.EmptyList {
			if names := failed(r); !slices.Equal(names, []string{"store-list"}) || r.Err() != nil {
				t.Errorf("%v: failed %v, error %v; want a warning", lie, names, r.Err())
			}
			continue
		}
		expectRefused(t, lie, r, "store-bytes")
	}
}

func expectRefused(t *testing.T, lie fmt.Stringer, r Report, check string) {
	t.Helper()
	if names := failed(r); check == "" || !slices.Contains(names, check) {
		t.Errorf("%v: failed %v, want %q among them", lie, names, check)
	}
	err := r.Err()
	if !errors.Is(err, ErrLies) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "use another store") {
		t.Errorf("%v: %v", lie, err)
	}
}

// A store that fails now and then is no liar, and is found honest in the end.
func TestFaultyStoresAreNoLiars(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			o, f := fault.Plan{Seed: seed}, factfault.Plan{Seed: seed}
			o.Rates[fault.Put] = fault.Rates{Throttle: 0.1, Error: 0.1, Lost: 0.1, Late: 0.05, LateFor: 50 * time.Millisecond}
			o.Rates[fault.Get] = fault.Rates{Jitter: time.Millisecond, Throttle: 0.02, Error: 0.02}
			f.Rates[factfault.Write] = factfault.Rates{Jitter: 3 * time.Millisecond, Throttle: 0.05, Error: 0.05, Lost: 0.05, Late: 0.05, LateFor: 20 * time.Millisecond}
			objects, facts := fault.New(mem.New(), o), factfault.New(factmem.New(), f)
			r := run(t, objects, facts)
			for _, finding := range r.Findings {
				if errors.Is(finding.Err, ErrLies) {
					t.Errorf("seed %d: %v", seed, finding)
				}
			}
			if r.Err() != nil {
				t.Errorf("seed %d: %v", seed, r.Err())
			}
			objects.Wait()
			facts.Wait()
		})
	}
}

// A store that is down is undecided within the patience, which refuses nothing; a store that refuses is named.
func TestStoresThatDoNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := fault.Plan{Hook: func(fault.Op, string) fault.Action { return fault.Action{Do: fault.Fail, Err: objstore.ErrThrottled} }}
		r := run(t, fault.New(mem.New(), o), factmem.New())
		if names := failed(r); !slices.Equal(names, []string{"store-bytes", "store-list"}) || !r.Findings[3].Undecided() || r.Err() != nil {
			t.Errorf("failed %v, error %v", names, r.Err())
		}
		if r.Took > 2*config.Patience {
			t.Errorf("took %v", r.Took)
		}
	})
	refuse := fault.Plan{Hook: func(fault.Op, string) fault.Action { return fault.Action{Do: fault.Fail, Err: objstore.ErrRefused} }}
	err := run(t, fault.New(mem.New(), refuse), factmem.New()).Err()
	if !errors.Is(err, objstore.ErrRefused) || errors.Is(err, ErrLies) || !strings.Contains(err.Error(), "give access") {
		t.Errorf("a store that refuses: %v", err)
	}
}

// One refusal is not believed: some stores refuse one of two PUTs that race.
func TestOneRefusalIsRepeated(t *testing.T) {
	once := fault.Plan{Hook: fault.Script(fault.Step{Op: fault.Put, N: 1, Action: fault.Action{Do: fault.Fail, Err: objstore.ErrRefused}})}
	if r := run(t, fault.New(mem.New(), once), factmem.New()); failed(r) != nil {
		t.Errorf("failed: %v", r.Findings)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, config, mem.New(), factmem.New()); !errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
}
