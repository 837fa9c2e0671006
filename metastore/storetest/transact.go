package storetest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/varvelog/varve/metastore"
)

func (t *table) transact(ops ...metastore.Op) error { return t.store.Transact(t.Context(), ops) }

func transactAllKinds(t *table) {
	t.must(t.put("u", item{"x": num(1), "gone": num(1)}))
	t.must(t.put("d", item{"x": num(1)}))
	t.must(t.put("c", item{"x": num(1)}))
	up := metastore.Op{
		Kind: metastore.OpUpdate, Key: t.key("u"), Set: item{"y": str("new")}, Add: map[string]int64{"x": 1}, Remove: []string{"gone"},
		If: []metastore.Cond{itemExists},
	}
	err := t.transact(t.put("p", item{"x": num(1)}, itemAbsent), up, t.del("d", cond("x", metastore.Eq, num(1))),
		t.check("c", cond("x", metastore.Lt, num(2))), t.check("nobody", itemAbsent), t.del("nothing"), t.update("made", item{"z": num(1)}))
	if err != nil {
		t.Fatal(err)
	}
	t.is("p", item{"x": num(1)})
	t.is("u", item{"x": num(2), "y": str("new")})
	t.is("d", nil)
	t.is("c", item{"x": num(1)})
	t.is("nobody", nil)
	t.is("made", item{"z": num(1)})
}

func transactAllOrNothing(t *table) {
	t.must(t.put("a", item{"x": num(1)}))
	t.must(t.put("b", item{"x": num(1)}))
	good := []metastore.Op{t.put("new", item{"x": num(9)}), t.update("a", item{"x": num(9)}), t.del("b")}
	bad := t.check("c", itemExists)
	for i := range len(good) + 1 {
		ops := append(append(append([]metastore.Op(nil), good[:i]...), bad), good[i:]...)
		t.failure(t.transact(ops...), i, bad.Key, nil)
		t.is("new", nil)
		t.is("a", item{"x": num(1)})
		t.is("b", item{"x": num(1)})
	}
}

// The first op whose conditions do not hold is the one reported, with its item as it was before the transaction.
func transactReason(t *table) {
	for i := range 4 {
		t.must(t.put(fmt.Sprint(i), item{"x": num(int64(i))}))
	}
	no := cond("x", metastore.Eq, num(100))
	ops := []metastore.Op{t.update("0", item{"x": num(7)}), t.put("1", item{"x": num(7)}), t.put("2", nil, no), t.check("3", no), t.del("absent", no)}
	t.failure(t.transact(ops...), 2, t.key("2"), item{"x": num(2)})
	t.failure(t.transact(ops[3], ops[4], ops[0]), 0, t.key("3"), item{"x": num(3)})
	t.failure(t.transact(ops[0], ops[4], ops[2]), 1, t.key("absent"), nil)
	t.is("0", item{"x": num(0)})
}

func transactHundred(t *table) {
	ops := make([]metastore.Op, metastore.MaxTransact)
	for i := range ops {
		ops[i] = t.put(fmt.Sprintf("%03d", i), item{"x": num(int64(i))}, itemAbsent)
	}
	if err := t.transact(ops...); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 50, 99} {
		t.is(fmt.Sprintf("%03d", i), item{"x": num(int64(i))})
	}
	t.must(t.del("099"))
	t.failure(t.transact(ops...), 0, t.key("000"), item{"x": num(0)})
	ops[99], ops[0] = ops[0], ops[99]
	t.failure(t.transact(ops...), 1, t.key("001"), item{"x": num(1)})
	t.is("099", nil)
}

func transactRefused(t *table) {
	many := make([]metastore.Op, metastore.MaxTransact+1)
	for i := range many {
		many[i] = t.put(fmt.Sprintf("%03d", i), nil)
	}
	a := t.put("a", nil)
	for name, ops := range map[string][]metastore.Op{
		"none":             {},
		"101":              many,
		"same key twice":   {a, t.put("b", nil), t.del("a")},
		"check and change": {a, t.check("a", itemAbsent)},
		"check of nothing": {a, t.check("b")},
		"a bad op":         {a, t.update("b", nil)},
	} {
		if err := t.transact(ops...); !errors.Is(err, metastore.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.is("a", nil)
	t.is("000", nil)
}

func transactTooLarge(t *table) {
	var ops []metastore.Op
	for i := range 11 {
		ops = append(ops, t.put(fmt.Sprint(i), item{"x": str(strings.Repeat("x", 400_000))}))
	}
	if err := t.transact(ops...); !errors.Is(err, metastore.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	t.is("0", nil)
	if err := t.transact(ops[:10]...); err != nil {
		t.Errorf("10 large items: %v", err)
	}
}
