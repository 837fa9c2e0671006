// Package storetest holds the rules of package metastore as tests: Run is run on every driver and every wrapper. Agree runs
// random operations on two stores, which must answer alike.
//
// The tests share no items, so that a store may be one table for all of them: each works under partition keys of its own.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"math"
	"testing"

	"github.com/varvelog/varve/metastore"
)

// Run checks every rule on stores from open, which is called once per rule and closes what it opened by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) metastore.Store) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) { r.check(newTable(t, open(t))) })
	}
}

// rules are all rules, in the order of the files they are in.
var rules = []struct {
	name  string
	check func(*table)
}{
	{"CondOnNumber", condOnNumber},
	{"CondOnString", condOnString},
	{"CondOnBytes", condOnBytes},
	{"CondOnAbsentAttribute", condOnAbsentAttribute},
	{"CondOnWrongType", condOnWrongType},
	{"CondOnItem", condOnItem},
	{"CondAllMustHold", condAllMustHold},
	{"CondOldItemOnFailure", condOldItemOnFailure},

	{"GetAbsent", getAbsent},
	{"GetOwned", getOwned},
	{"PutReplaces", putReplaces},
	{"PutEmpty", putEmpty},
	{"UpdateChanges", updateChanges},
	{"UpdateCreates", updateCreates},
	{"UpdateAdd", updateAdd},
	{"UpdateAddRefused", updateAddRefused},
	{"Delete", deleteItem},
	{"ReturnsItemAfter", returnsItemAfter},
	{"ReadYourWrites", readYourWrites},

	{"ValuesRoundTrip", valuesRoundTrip},
	{"NumbersNearBounds", numbersNearBounds},
	{"KeysAreApart", keysAreApart},
	{"ItemLimit", itemLimit},
	{"Refused", refused},
	{"CancelledContext", cancelledContext},

	{"QueryOrder", queryOrder},
	{"QueryPrefix", queryPrefix},
	{"QueryAfter", queryAfter},
	{"QueryPages", queryPages},
	{"QueryLargePages", queryLargePages},
	{"QueryEmpty", queryEmpty},

	{"TransactAllKinds", transactAllKinds},
	{"TransactAllOrNothing", transactAllOrNothing},
	{"TransactReason", transactReason},
	{"TransactHundred", transactHundred},
	{"TransactRefused", transactRefused},
	{"TransactTooLarge", transactTooLarge},

	{"RaceOfCreators", raceOfCreators},
	{"RaceOfCounters", raceOfCounters},
	{"RaceOfAdders", raceOfAdders},
	{"RaceOfTransfers", raceOfTransfers},
}

// Short names of the constructors.
var (
	str = metastore.S
	num = metastore.N
	bin = func(s string) metastore.Value { return metastore.B([]byte(s)) }
)

type item = metastore.Item

// table is a store under test and a partition key that nobody else uses.
type table struct {
	*testing.T
	store metastore.Store
	pk    string
}

func newTable(t *testing.T, s metastore.Store) *table {
	return &table{T: t, store: s, pk: "storetest/" + t.Name() + "/" + rand.Text()}
}

func (t *table) key(sk string) metastore.Key { return metastore.Key{PK: t.pk, SK: sk} }

func (t *table) put(sk string, it item, conds ...metastore.Cond) metastore.Op {
	return metastore.Op{Kind: metastore.OpPut, Key: t.key(sk), Set: it, If: conds}
}

func (t *table) update(sk string, set item, conds ...metastore.Cond) metastore.Op {
	return metastore.Op{Kind: metastore.OpUpdate, Key: t.key(sk), Set: set, If: conds}
}

func (t *table) add(sk, attr string, n int64) metastore.Op {
	return metastore.Op{Kind: metastore.OpUpdate, Key: t.key(sk), Add: map[string]int64{attr: n}}
}

func (t *table) del(sk string, conds ...metastore.Cond) metastore.Op {
	return metastore.Op{Kind: metastore.OpDelete, Key: t.key(sk), If: conds}
}

func (t *table) check(sk string, conds ...metastore.Cond) metastore.Op {
	return metastore.Op{Kind: metastore.OpCheck, Key: t.key(sk), If: conds}
}

// must applies op, or ends the test.
func (t *table) must(op metastore.Op) item {
	t.Helper()
	it, err := t.store.Write(t.Context(), op)
	if err != nil {
		t.Fatalf("write %s: %v", op.Key, err)
	}
	return it
}

// fails applies op and wants the error target.
func (t *table) fails(op metastore.Op, target error) error {
	t.Helper()
	_, err := t.store.Write(t.Context(), op)
	if !errors.Is(err, target) {
		t.Fatalf("write %s: got %v, want %v", op.Key, err, target)
	}
	return err
}

// is reads the item of sk consistently and wants it to be want, nil: absent.
func (t *table) is(sk string, want item) {
	t.Helper()
	if got := t.get(sk); !same(got, want) {
		t.Fatalf("%s is %v, want %v", sk, got, want)
	}
}

func (t *table) get(sk string) item {
	t.Helper()
	it, err := t.store.Get(t.Context(), t.key(sk), metastore.Consistent)
	if errors.Is(err, metastore.ErrNotFound) {
		return nil
	}
	if err != nil {
		t.Fatalf("get %s: %v", sk, err)
	}
	if it == nil {
		t.Fatalf("get %s: no item and no error", sk)
	}
	return it
}

// same reports whether both are absent or equal.
func same(a, b item) bool {
	return (a == nil) == (b == nil) && maps.EqualFunc(a, b, metastore.Value.Equal)
}

func cond(attr string, c metastore.Cmp, v metastore.Value) metastore.Cond {
	return metastore.Cond{Attr: attr, Cmp: c, Value: v}
}

var (
	itemExists = metastore.Cond{Cmp: metastore.ItemExists}
	itemAbsent = metastore.Cond{Cmp: metastore.ItemAbsent}
)

const (
	maxInt = math.MaxInt64
	minInt = math.MinInt64
)

// cancelled is a context that is over.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
