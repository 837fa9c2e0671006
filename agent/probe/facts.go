package probe

import (
	"errors"
	"slices"
	"sync"

	"github.com/varvelog/varve/metastore"
)

// racers create one item at once.
const racers = 8

// oneCreatorWins: of many who create one item at once exactly one succeeds, and the others are shown its item.
func oneCreatorWins(t *try) error {
	key := t.item("create")
	var errs [racers]error
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			_, errs[i] = t.facts.Write(t.ctx, metastore.Op{
				Kind: metastore.OpPut, Key: key, Set: metastore.Item{"racer": metastore.N(int64(i))}, If: []metastore.Cond{{Cmp: metastore.ItemAbsent}},
			})
		})
	}
	wg.Wait()
	var winners []int
	for i, err := range errs {
		if err == nil {
			winners = append(winners, i)
		}
	}
	if len(winners) > 1 {
		return lies(nil, "%d of %d creators of one item were told that they made it", len(winners), racers)
	}
	if other := slices.IndexFunc(errs[:], func(err error) bool { return err != nil && !errors.Is(err, metastore.ErrCondition) }); other >= 0 {
		return errs[other]
	}
	if len(winners) == 0 {
		return lies(nil, "none of %d creators of one item was told that it made it", racers)
	}
	made := metastore.Item{"racer": metastore.N(int64(winners[0]))}
	for _, err := range errs {
		if err != nil && !brings(err, made) {
			return lies(nil, "a failed condition does not bring the item as it is")
		}
	}
	return t.expect(key, made)
}

// conditionsHold: an update with a stale version changes nothing and brings the item; a read sees the last write.
func conditionsHold(t *try) error {
	key := t.item("update")
	write := func(kind metastore.OpKind, to int64, cond metastore.Cond) error {
		_, err := t.facts.Write(t.ctx, metastore.Op{Kind: kind, Key: key, Set: version(to), If: []metastore.Cond{cond}})
		return err
	}
	if err := write(metastore.OpPut, 2, metastore.Cond{Cmp: metastore.ItemAbsent}); err != nil {
		return unexpected(err, "creating an item")
	}
	if err := t.expect(key, version(2)); err != nil {
		return err
	}
	err := write(metastore.OpUpdate, 9, versionIs(1))
	switch {
	case err == nil:
		return lies(nil, "an update with a stale version was applied")
	case !errors.Is(err, metastore.ErrCondition):
		return err
	case !brings(err, version(2)):
		return lies(nil, "a failed condition does not bring the item as it is")
	}
	if err := t.expect(key, version(2)); err != nil {
		return err
	}
	if err := write(metastore.OpUpdate, 3, versionIs(2)); err != nil {
		return unexpected(err, "an update with the current version")
	}
	return t.expect(key, version(3))
}

// allOrNothing: a transaction in which one condition fails applies nothing, wherever the condition stands in it.
func allOrNothing(t *try) error {
	held, fresh := t.item("held"), t.item("fresh")
	if _, err := t.facts.Write(t.ctx, metastore.Op{Kind: metastore.OpPut, Key: held, Set: version(1)}); err != nil {
		return unexpected(err, "writing an item")
	}
	put := metastore.Op{Kind: metastore.OpPut, Key: fresh, Set: version(1), If: []metastore.Cond{{Cmp: metastore.ItemAbsent}}}
	update := func(from, to int64) metastore.Op {
		return metastore.Op{Kind: metastore.OpUpdate, Key: held, Set: version(to), If: []metastore.Cond{versionIs(from)}}
	}
	check := metastore.Op{Kind: metastore.OpCheck, Key: held, If: []metastore.Cond{versionIs(99)}}
	for _, ops := range [][]metastore.Op{{put, update(99, 5)}, {update(99, 5), put}, {put, check}} {
		err := t.facts.Transact(t.ctx, ops)
		switch {
		case err == nil:
			return lies(nil, "a transaction with a failing condition says that it was applied")
		case !errors.Is(err, metastore.ErrCondition):
			return err
		case !brings(err, version(1)):
			return lies(nil, "a failed condition in a transaction does not bring the item as it is")
		}
		if err := t.expect(fresh, nil); err != nil {
			return err
		}
		if err := t.expect(held, version(1)); err != nil {
			return err
		}
	}
	if err := t.facts.Transact(t.ctx, []metastore.Op{put, update(1, 2)}); err != nil {
		return unexpected(err, "a transaction whose conditions hold")
	}
	if err := t.expect(fresh, version(1)); err != nil {
		return err
	}
	return t.expect(held, version(2))
}

func version(n int64) metastore.Item { return metastore.Item{"v": metastore.N(n)} }

func versionIs(n int64) metastore.Cond {
	return metastore.Cond{Attr: "v", Cmp: metastore.Eq, Value: metastore.N(n)}
}

// expect reads key consistently: it must be want; nil: absent.
func (t *try) expect(key metastore.Key, want metastore.Item) error {
	got, err := t.facts.Get(t.ctx, key, metastore.Consistent)
	switch {
	case errors.Is(err, metastore.ErrNotFound) && want == nil:
		return nil
	case errors.Is(err, metastore.ErrNotFound):
		return lies(nil, "a consistent read does not see an item that was written before it began")
	case err != nil:
		return err
	case !same(got, want):
		return lies(nil, "a consistent read sees another state than the last write left, or a write that failed changed something")
	}
	return nil
}

// brings reports whether err is a failed condition that came with the item.
func brings(err error, item metastore.Item) bool {
	var failed *metastore.ConditionError
	return errors.As(err, &failed) && same(failed.Old, item)
}

func same(a, b metastore.Item) bool {
	if len(a) != len(b) {
		return false
	}
	for name, v := range a {
		if !v.Equal(b[name]) {
			return false
		}
	}
	return true
}

// unexpected is the error of a write on an item that nobody else has: a failed condition is a contradiction.
func unexpected(err error, what string) error {
	if errors.Is(err, metastore.ErrCondition) {
		return lies(err, "%s failed", what)
	}
	return err
}
