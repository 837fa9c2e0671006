package storetest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/varvelog/varve/metastore"
)

// Seed is the seed of a random test: VARVE_SEED if it is set, else the clock. It is printed.
func Seed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("VARVE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("VARVE_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("VARVE_SEED=%d", seed)
	return seed
}

// Agree applies the same random operations to both stores, one at a time, and wants the same answers: items, old items,
// kinds of errors, pages put together. Few keys, attributes and values, so that operations meet.
func Agree(t *testing.T, seed uint64, steps int, a, b metastore.Store) {
	r := &random{rand: mathrand.New(mathrand.NewPCG(seed, 0)), pk: "agree/" + rand.Text()}
	for step := range steps {
		what, run := r.step(t)
		got, want := run(b), run(a)
		if got != want {
			t.Fatalf("step %d: %s\nfirst store:  %s\nsecond store: %s", step, what, want, got)
		}
	}
}

type random struct {
	rand *mathrand.Rand
	pk   string
}

// step draws an operation: its description, and a function that runs it on a store and describes the answer.
func (r *random) step(t *testing.T) (string, func(metastore.Store) string) {
	ctx := t.Context()
	switch n := r.rand.IntN(10); {
	case n < 5:
		op := r.op(false)
		return fmt.Sprintf("write %+v", op), func(s metastore.Store) string {
			it, err := s.Write(ctx, op)
			return describe(it) + outcome(err)
		}
	case n < 7:
		ops := r.ops()
		return fmt.Sprintf("transact %+v", ops), func(s metastore.Store) string { return outcome(s.Transact(ctx, ops)) }
	case n < 9:
		key := r.key()
		return fmt.Sprintf("get %v", key), func(s metastore.Store) string {
			it, err := s.Get(ctx, key, metastore.Consistent)
			return describe(it) + outcome(err)
		}
	}
	q := metastore.Query{PK: r.pk, Prefix: r.pick("", "", "a", "ab", "b"), After: r.pick("", "", "a", "aa", "b"), Limit: r.rand.IntN(4), Consistency: metastore.Consistent}
	return fmt.Sprintf("query %+v", q), func(s metastore.Store) string {
		q, out := q, ""
		for {
			page, err := s.Query(ctx, q)
			for _, row := range page.Rows {
				out += fmt.Sprintf("%q %s; ", row.SK, describe(row.Item))
			}
			if q.After = page.Next; err != nil || q.After == "" {
				return out + outcome(err)
			}
		}
	}
}

func (r *random) pick(of ...string) string { return of[r.rand.IntN(len(of))] }

func (r *random) key() metastore.Key {
	return metastore.Key{PK: r.pk, SK: r.pick("a", "aa", "ab", "abc", "b", "ba", "é")}
}

func (r *random) attr() string { return r.pick("n", "m", "s", "size") }

func (r *random) value() metastore.Value {
	switch r.rand.IntN(8) {
	case 0:
		return metastore.S(r.pick("", "1", "x"))
	case 1:
		return metastore.B([]byte(r.pick("", "1", "\xff")))
	case 2:
		return metastore.N([]int64{minInt, maxInt, 1 << 53}[r.rand.IntN(3)])
	}
	return metastore.N(r.rand.Int64N(4))
}

func (r *random) conds() (conds []metastore.Cond) {
	for range r.rand.IntN(3) {
		conds = append(conds, metastore.Cond{Attr: r.attr(), Cmp: metastore.Cmp(1 + r.rand.IntN(10)), Value: r.value()})
	}
	return conds
}

func (r *random) op(check bool) metastore.Op {
	op := metastore.Op{Key: r.key(), If: r.conds()}
	n := 5
	if check {
		n = 6
	}
	switch r.rand.IntN(n) {
	case 0:
		op.Kind, op.Set = metastore.OpPut, metastore.Item{r.attr(): r.value(), r.attr(): r.value()}
	case 1:
		op.Kind = metastore.OpDelete
	case 5:
		op.Kind = metastore.OpCheck
		op.If = append(op.If, metastore.Cond{Attr: r.attr(), Cmp: metastore.Cmp(1 + r.rand.IntN(10)), Value: r.value()})
	default:
		op.Kind, op.Set, op.Add = metastore.OpUpdate, metastore.Item{}, map[string]int64{}
		for _, a := range []string{"n", "m", "s", "size"} {
			switch r.rand.IntN(6) {
			case 0, 1:
				op.Set[a] = r.value()
			case 2:
				op.Add[a] = r.rand.Int64N(5) - 2
			case 3:
				op.Remove = append(op.Remove, a)
			}
		}
	}
	return op
}

func (r *random) ops() []metastore.Op {
	ops := make([]metastore.Op, 1+r.rand.IntN(4))
	for i := range ops {
		ops[i] = r.op(true)
	}
	return ops
}

func describe(it metastore.Item) string {
	if it == nil {
		return "no item"
	}
	out := "{"
	for _, a := range slices.Sorted(maps.Keys(it)) {
		out += fmt.Sprintf("%s:%v ", a, it[a])
	}
	return out + "}"
}

// outcome is the kind of err, and what a failed condition tells.
func outcome(err error) string {
	var failed *metastore.ConditionError
	if errors.As(err, &failed) {
		return fmt.Sprintf(" condition of op %d on %s, old %s", failed.Index, failed.Key, describe(failed.Old))
	}
	for _, kind := range []error{
		metastore.ErrNotFound, metastore.ErrConflict, metastore.ErrThrottled, metastore.ErrRefused, metastore.ErrTooLarge, metastore.ErrUnknown,
	} {
		if errors.Is(err, kind) {
			return " " + kind.Error()
		}
	}
	if err != nil {
		return " other error: " + err.Error()
	}
	return " ok"
}
