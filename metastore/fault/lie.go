package fault

import (
	"context"
	"errors"
	"slices"

	"github.com/varvelog/varve/metastore"
)

// Lie is a way in which a store that calls itself compatible breaks the contract. The start-up probe must refuse each.
type Lie uint8

// The lies.
const (
	NoConditions   Lie = iota + 1 // applies every write, whatever its conditions
	NoOldItem                     // failed conditions come without the item
	TornTransact                  // a transaction that fails has applied the ops before the one that failed
	StaleRead                     // consistent reads return what the first read saw
	SilentTransact                // a transaction that fails says that it was applied
	FailedApplies                 // a failed condition changes the item all the same
	numLies
)

// Lies lists all of them.
func Lies() []Lie {
	var all []Lie
	for l := NoConditions; l < numLies; l++ {
		all = append(all, l)
	}
	return all
}

// String is the lie in words.
func (l Lie) String() string {
	if l == 0 || l >= numLies {
		return "no lie"
	}
	return [...]string{"", "no conditions", "no old item", "torn transaction", "stale read", "silent transaction", "failed write applies"}[l]
}

// Liar wraps inner in a store that lies in one way. It serves tests of whatever must find out.
func Liar(inner metastore.Store, lie Lie) metastore.Store {
	return &liar{Store: inner, lie: lie, first: New(inner, Plan{Hook: func(Call) Action { return Action{Do: Stale} }})}
}

type liar struct {
	metastore.Store
	lie   Lie
	first *Store // its history is what StaleRead answers from
}

// Get implements metastore.Store.
func (l *liar) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	if l.lie == StaleRead {
		return l.first.Get(ctx, key, metastore.Eventual)
	}
	return l.Store.Get(ctx, key, c)
}

// Query implements metastore.Store.
func (l *liar) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	if l.lie == StaleRead {
		q.Consistency = metastore.Eventual
		return l.first.Query(ctx, q)
	}
	return l.Store.Query(ctx, q)
}

// Write implements metastore.Store.
func (l *liar) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	if l.lie == NoConditions {
		op.If = nil
	}
	it, err := l.Store.Write(ctx, op)
	if l.lie == FailedApplies && errors.Is(err, metastore.ErrCondition) {
		op.If = nil
		_, _ = l.Store.Write(ctx, op)
	}
	return it, l.strip(err)
}

// Transact implements metastore.Store.
func (l *liar) Transact(ctx context.Context, ops []metastore.Op) error {
	if l.lie == NoConditions {
		ops = slices.Clone(ops)
		for i := range ops {
			ops[i].If = nil
		}
		ops = slices.DeleteFunc(ops, func(op metastore.Op) bool { return op.Kind == metastore.OpCheck })
		if len(ops) == 0 {
			return nil
		}
	}
	err := l.Store.Transact(ctx, ops)
	var failed *metastore.ConditionError
	if errors.As(err, &failed) {
		switch l.lie {
		case SilentTransact:
			return nil
		case TornTransact:
			for _, op := range ops[:failed.Index] {
				_, _ = l.Store.Write(ctx, op)
			}
		}
	}
	return l.strip(err)
}

// strip takes the old item out of err.
func (l *liar) strip(err error) error {
	var failed *metastore.ConditionError
	if l.lie != NoOldItem || !errors.As(err, &failed) {
		return err
	}
	return &metastore.ConditionError{Index: failed.Index, Key: failed.Key}
}
