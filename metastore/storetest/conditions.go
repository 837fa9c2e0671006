package storetest

import (
	"errors"
	"fmt"

	"github.com/varvelog/varve/metastore"
)

// cmps are the comparisons with a value, and whether each holds when the attribute is less, equal or greater.
var cmps = []struct {
	cmp   metastore.Cmp
	holds [3]bool
}{
	{metastore.Eq, [3]bool{false, true, false}},
	{metastore.Ne, [3]bool{true, false, true}},
	{metastore.Lt, [3]bool{true, false, false}},
	{metastore.Le, [3]bool{true, true, false}},
	{metastore.Gt, [3]bool{false, false, true}},
	{metastore.Ge, [3]bool{false, true, true}},
}

// compares puts values, which ascend, and compares each with each.
func (t *table) compares(values ...metastore.Value) {
	for i, have := range values {
		sk := fmt.Sprint("item", i)
		t.must(t.put(sk, item{"a": have}))
		for j, with := range values {
			order := 1
			if i < j {
				order = 0
			} else if i > j {
				order = 2
			}
			for _, c := range cmps {
				t.holds(sk, cond("a", c.cmp, with), c.holds[order])
			}
		}
	}
}

// holds checks whether c holds for the item of sk, which a write of another attribute then changes or not.
func (t *table) holds(sk string, c metastore.Cond, want bool) {
	t.Helper()
	_, err := t.store.Write(t.Context(), t.update(sk, item{"touched": num(1)}, c))
	switch {
	case want && err != nil:
		t.Errorf("%s: %q cmp %d %v does not hold: %v", sk, c.Attr, c.Cmp, c.Value, err)
	case !want && !errors.Is(err, metastore.ErrCondition):
		t.Errorf("%s: %q cmp %d %v holds: %v", sk, c.Attr, c.Cmp, c.Value, err)
	}
}

func condOnNumber(t *table) {
	t.compares(num(minInt), num(minInt+1), num(-10), num(-9), num(0), num(9), num(10), num(1<<53), num(1<<53+1), num(maxInt-1), num(maxInt))
}

func condOnString(t *table) {
	t.compares(str(""), str("10"), str("9"), str("A"), str("a"), str("a\x00"), str("aa"), str("b"), str("é"), str("\uffff"), str("\U0001f600"))
}

func condOnBytes(t *table) {
	t.compares(bin(""), bin("\x00"), bin("\x00\x00"), bin("\x01"), bin("\x7f"), bin("\x80"), bin("\xff"), bin("\xff\x00"))
}

// An absent attribute is neither less nor more nor equal, but it is different.
func condOnAbsentAttribute(t *table) {
	t.must(t.put("item", item{"b": num(1)}))
	t.must(t.update("bare", item{"b": num(1)}))
	for _, c := range cmps {
		for _, v := range []metastore.Value{num(0), num(-1), str(""), bin("")} {
			t.holds("item", cond("a", c.cmp, v), c.cmp == metastore.Ne)
		}
	}
	for attr, there := range map[string]bool{"a": false, "b": true} {
		t.holds("item", metastore.Cond{Attr: attr, Cmp: metastore.Exists}, there)
		t.holds("item", metastore.Cond{Attr: attr, Cmp: metastore.Absent}, !there)
	}
	// The same for an item that is not there; an update whose conditions hold creates it, so each has its own.
	for i, c := range cmps {
		t.holds(fmt.Sprint("no item", i), cond("a", c.cmp, num(0)), c.cmp == metastore.Ne)
	}
	t.holds("no item x", metastore.Cond{Attr: "a", Cmp: metastore.Exists}, false)
	t.holds("no item x", metastore.Cond{Attr: "a", Cmp: metastore.Absent}, true)
}

func condOnWrongType(t *table) {
	have := []metastore.Value{num(5), str("5"), bin("5")}
	for i, v := range have {
		sk := fmt.Sprint("item", i)
		t.must(t.put(sk, item{"a": v}))
		for j, with := range have {
			if i == j {
				continue
			}
			for _, c := range cmps {
				t.holds(sk, cond("a", c.cmp, with), c.cmp == metastore.Ne)
			}
		}
	}
}

func condOnItem(t *table) {
	t.fails(t.put("a", item{"x": num(1)}, itemExists), metastore.ErrCondition)
	t.must(t.put("a", item{}, itemAbsent))
	t.fails(t.put("a", item{"x": num(2)}, itemAbsent), metastore.ErrCondition)
	t.is("a", item{})
	t.must(t.put("a", item{"x": num(3)}, itemExists))
	t.fails(t.del("a", itemAbsent), metastore.ErrCondition)
	t.must(t.del("a", itemExists))
	t.fails(t.del("a", itemExists), metastore.ErrCondition)
	t.must(t.del("a", itemAbsent))
	t.is("a", nil)
}

func condAllMustHold(t *table) {
	t.must(t.put("a", item{"x": num(1), "y": num(2)}))
	yes, no := cond("x", metastore.Eq, num(1)), cond("y", metastore.Eq, num(1))
	for i, conds := range [][]metastore.Cond{{no}, {yes, no}, {no, yes}, {yes, itemExists, no}, {itemAbsent, yes}} {
		t.fails(t.update("a", item{"z": num(int64(i))}, conds...), metastore.ErrCondition)
	}
	t.is("a", item{"x": num(1), "y": num(2)})
	t.must(t.update("a", item{"z": num(1)}, yes, yes, itemExists, cond("y", metastore.Ge, num(2)), cond("y", metastore.Le, num(2))))
	t.is("a", item{"x": num(1), "y": num(2), "z": num(1)})
}

// Every failure brings the item as it is, nil if there is none.
func condOldItemOnFailure(t *table) {
	there := item{"v": num(7), "s": str(""), "b": bin("\x00\xff"), "t": str("x")}
	t.must(t.put("there", there))
	no := cond("v", metastore.Eq, num(8))
	for sk, want := range map[string]item{"there": there, "absent": nil} {
		for _, op := range []metastore.Op{t.put(sk, item{"n": num(1)}, no), t.update(sk, item{"n": num(1)}, no), t.del(sk, no)} {
			err := t.fails(op, metastore.ErrCondition)
			t.failure(err, 0, op.Key, want)
			err = t.store.Transact(t.Context(), []metastore.Op{op})
			t.failure(err, 0, op.Key, want)
		}
		op := t.check(sk, no)
		t.failure(t.store.Transact(t.Context(), []metastore.Op{op}), 0, op.Key, want)
		t.is(sk, want)
	}
}

// failure wants err to be a ConditionError of that content.
func (t *table) failure(err error, index int, key metastore.Key, old item) {
	t.Helper()
	var failed *metastore.ConditionError
	if !errors.As(err, &failed) || !errors.Is(err, metastore.ErrCondition) {
		t.Fatalf("got %v, want a failed condition", err)
	}
	if failed.Index != index || failed.Key != key {
		t.Errorf("op %d on %s failed, want op %d on %s", failed.Index, failed.Key, index, key)
	}
	if !same(failed.Old, old) {
		t.Errorf("old item of %s is %v, want %v", failed.Key, failed.Old, old)
	}
}
