package storetest

import (
	"errors"

	"github.com/varvelog/varve/metastore"
)

func getAbsent(t *table) {
	for _, c := range []metastore.Consistency{metastore.Consistent, metastore.Eventual} {
		it, err := t.store.Get(t.Context(), t.key("nobody"), c)
		if !errors.Is(err, metastore.ErrNotFound) || it != nil {
			t.Errorf("got %v, %v", it, err)
		}
	}
}

// What a caller does to the maps it got or gave changes nothing in the store.
func getOwned(t *table) {
	want := item{"x": num(1)}
	given := want.Clone()
	t.must(t.put("a", given))
	given["x"] = num(2)
	t.is("a", want)
	t.get("a")["x"] = num(3)
	t.is("a", want)
	t.must(t.update("a", item{"x": num(1)}))["x"] = num(4)
	t.is("a", want)
	var failed *metastore.ConditionError
	if errors.As(t.fails(t.del("a", itemAbsent), metastore.ErrCondition), &failed) {
		failed.Old["x"] = num(5)
	}
	t.is("a", want)
	page, err := t.store.Query(t.Context(), metastore.Query{PK: t.pk, Consistency: metastore.Consistent})
	if err != nil || len(page.Rows) != 1 {
		t.Fatalf("query: %v, %v", page, err)
	}
	page.Rows[0].Item["x"] = num(6)
	t.is("a", want)
}

func putReplaces(t *table) {
	t.must(t.put("a", item{"x": num(1), "y": str("old")}))
	t.must(t.put("a", item{"x": num(2)}))
	t.is("a", item{"x": num(2)})
}

// An item may have no attribute but its key, and is there all the same.
func putEmpty(t *table) {
	t.must(t.put("a", nil))
	t.is("a", item{})
	t.must(t.put("b", item{"x": num(1)}))
	t.must(metastore.Op{Kind: metastore.OpUpdate, Key: t.key("b"), Remove: []string{"x"}})
	t.is("b", item{})
	t.fails(t.put("b", nil, itemAbsent), metastore.ErrCondition)
}

func updateChanges(t *table) {
	t.must(t.put("a", item{"x": num(1), "y": str("y"), "z": bin("z"), "n": num(40)}))
	got := t.must(metastore.Op{
		Kind: metastore.OpUpdate, Key: t.key("a"),
		Set: item{"x": str("now a string"), "new": num(1)}, Add: map[string]int64{"n": 2}, Remove: []string{"y", "never there"},
	})
	want := item{"x": str("now a string"), "new": num(1), "z": bin("z"), "n": num(42)}
	if !same(got, want) {
		t.Errorf("returned %v, want %v", got, want)
	}
	t.is("a", want)
}

func updateCreates(t *table) {
	t.fails(t.update("a", item{"x": num(1)}, itemExists), metastore.ErrCondition)
	t.is("a", nil)
	t.must(t.update("a", item{"x": num(1)}))
	t.is("a", item{"x": num(1)})
	t.must(t.update("b", item{"x": num(1)}, itemAbsent, metastore.Cond{Attr: "x", Cmp: metastore.Absent}))
	t.is("b", item{"x": num(1)})
	t.must(metastore.Op{Kind: metastore.OpUpdate, Key: t.key("c"), Remove: []string{"x"}})
	t.is("c", item{})
}

func updateAdd(t *table) {
	for i, want := range []int64{5, 3, 3, -10} {
		it := t.must(t.add("a", "n", []int64{5, -2, 0, -13}[i]))
		if !same(it, item{"n": num(want)}) {
			t.Fatalf("after add %d: %v, want %d", i, it, want)
		}
	}
	t.is("a", item{"n": num(-10)})
	t.must(t.put("b", item{"s": str("s")}))
	t.must(t.add("b", "n", 0))
	t.is("b", item{"s": str("s"), "n": num(0)})
}

// A sum outside of int64, or with what is no number, is refused and changes nothing.
func updateAddRefused(t *table) {
	t.must(t.put("a", item{"max": num(maxInt - 1), "min": num(minInt + 1), "s": str("5")}))
	for attr, n := range map[string]int64{"max": 2, "min": -2, "s": 1} {
		op := t.add("a", attr, n)
		t.fails(op, metastore.ErrRefused)
		if err := t.store.Transact(t.Context(), []metastore.Op{t.put("b", nil), op}); !errors.Is(err, metastore.ErrRefused) {
			t.Errorf("transaction: %v", err)
		}
		op.If = []metastore.Cond{itemAbsent}
		t.failure(t.fails(op, metastore.ErrCondition), 0, op.Key, t.get("a"))
	}
	t.is("b", nil)
	t.must(t.add("a", "max", 1))
	t.must(t.add("a", "min", -1))
	t.is("a", item{"max": num(maxInt), "min": num(minInt), "s": str("5")})
}

func deleteItem(t *table) {
	t.must(t.del("a"))
	t.must(t.put("a", item{"x": num(1)}))
	t.fails(t.del("a", cond("x", metastore.Gt, num(1))), metastore.ErrCondition)
	t.is("a", item{"x": num(1)})
	t.must(t.del("a", cond("x", metastore.Eq, num(1))))
	t.is("a", nil)
	t.must(t.put("a", item{"y": num(2)}, itemAbsent))
	t.is("a", item{"y": num(2)})
}

func returnsItemAfter(t *table) {
	if it := t.must(t.put("a", item{"x": num(1), "y": str("")})); !same(it, item{"x": num(1), "y": str("")}) {
		t.Errorf("put returned %v", it)
	}
	if it := t.must(t.put("e", nil)); !same(it, item{}) {
		t.Errorf("put of nothing returned %v", it)
	}
	if it := t.must(t.update("a", item{"x": num(2)})); !same(it, item{"x": num(2), "y": str("")}) {
		t.Errorf("update returned %v", it)
	}
	if it := t.must(t.del("a")); it != nil {
		t.Errorf("delete returned %v", it)
	}
	if it := t.must(t.del("a")); it != nil {
		t.Errorf("delete of nothing returned %v", it)
	}
}

// Consistent reads see what was confirmed; eventual ones see some version of the same item.
func readYourWrites(t *table) {
	for i := range int64(20) {
		t.must(t.put("a", item{"x": num(i)}))
		t.is("a", item{"x": num(i)})
		page, err := t.store.Query(t.Context(), metastore.Query{PK: t.pk, Consistency: metastore.Consistent})
		if err != nil || len(page.Rows) != 1 || !same(page.Rows[0].Item, item{"x": num(i)}) {
			t.Fatalf("query after write %d: %v, %v", i, page, err)
		}
		it, err := t.store.Get(t.Context(), t.key("a"), metastore.Eventual)
		if err != nil && !errors.Is(err, metastore.ErrNotFound) {
			t.Fatal(err)
		}
		if x, _ := it["x"].Num(); err == nil && (x < 0 || x > i) {
			t.Fatalf("eventual read saw %d before it was written", x)
		}
	}
}
