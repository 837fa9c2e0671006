package storetest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/varvelog/varve/metastore"
)

func valuesRoundTrip(t *table) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	want := item{
		"empty string": str(""), "empty bytes": bin(""), "zero": num(0), "all bytes": metastore.B(all), "nil bytes": metastore.B(nil),
		"unicode": str("é \u2028 \U0001f600 \x00 \" \\ <>&"), "long": str(strings.Repeat("x", 70_000)), "size": num(1), "state": str("reserved word"),
		"with.dot": num(1), "with space": num(2), "#n0": num(3), ":v0": num(4), "ä": num(5),
	}
	if it := t.must(t.put("put", want)); !same(it, want) {
		t.Errorf("put returned %v", it)
	}
	t.is("put", want)
	if it := t.must(t.update("update", want)); !same(it, want) {
		t.Errorf("update returned %v", it)
	}
	t.is("update", want)
	for a, v := range want {
		t.holds("put", cond(a, metastore.Eq, v), true)
		if _, isNum := v.Num(); !isNum {
			continue
		}
		t.must(t.add("put", a, 1))
	}
}

func numbersNearBounds(t *table) {
	for i, n := range []int64{maxInt, maxInt - 1, minInt, minInt + 1, 1<<53 + 1, -(1<<53 + 1), 1e18, -1e18, 1_000_000_000_000_000_001, 100, -1, 0} {
		sk := fmt.Sprint("n", i)
		t.must(t.put(sk, item{"n": num(n)}))
		t.is(sk, item{"n": num(n)})
		t.must(t.add(sk, "m", n))
		t.is(sk, item{"n": num(n), "m": num(n)})
	}
}

// Keys that look alike when glued together are different, and any UTF-8 will do.
func keysAreApart(t *table) {
	var keys []metastore.Key
	for _, k := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"a\x00", "b"}, {"a", "\x00b"}, {"a", "b"}, {"ä/#", "é"}, {"a", "B"}} {
		keys = append(keys, metastore.Key{PK: t.pk + k[0], SK: k[1]})
	}
	keys = append(keys,
		metastore.Key{PK: t.pk + strings.Repeat("p", metastore.MaxPK-len(t.pk)), SK: "s"},
		metastore.Key{PK: t.pk, SK: strings.Repeat("s", metastore.MaxSK)})
	for i, k := range keys {
		t.must(metastore.Op{Kind: metastore.OpPut, Key: k, Set: item{"i": num(int64(i))}, If: []metastore.Cond{itemAbsent}})
	}
	for i, k := range keys {
		it, err := t.store.Get(t.Context(), k, metastore.Consistent)
		if err != nil || !same(it, item{"i": num(int64(i))}) {
			t.Errorf("%.40s: %v, %v", k, it, err)
		}
	}
}

// An item of exactly MaxItem fits, one byte more does not, however it comes about.
func itemLimit(t *table) {
	fill := func(sk string, over int) item {
		n := metastore.MaxItem - t.key(sk).Size() - len("a") + over
		return item{"a": str(strings.Repeat("x", n))}
	}
	t.must(t.put("p", fill("p", 0)))
	t.fails(t.put("p", fill("p", 1)), metastore.ErrTooLarge)
	t.fails(t.update("p", item{"bbb": bin("12345")}), metastore.ErrTooLarge)
	t.is("p", fill("p", 0))
	t.must(t.update("u", fill("u", 0)))
	t.fails(t.update("u", fill("u", 1)), metastore.ErrTooLarge)
	t.is("u", fill("u", 0))
	err := t.store.Transact(t.Context(), []metastore.Op{t.put("other", nil), t.update("p", item{"bbb": bin("12345")})})
	if !errors.Is(err, metastore.ErrTooLarge) {
		t.Errorf("transaction: %v", err)
	}
	t.is("other", nil)
}

// What no store could do is refused, alike in all, and changes nothing.
func refused(t *table) {
	bad := func(change func(*metastore.Op)) metastore.Op {
		op := t.update("a", item{"x": num(1)})
		change(&op)
		return op
	}
	for name, op := range map[string]metastore.Op{
		"no kind":           bad(func(o *metastore.Op) { o.Kind = 0 }),
		"unknown kind":      bad(func(o *metastore.Op) { o.Kind = 9 }),
		"no pk":             bad(func(o *metastore.Op) { o.Key.PK = "" }),
		"no sk":             bad(func(o *metastore.Op) { o.Key.SK = "" }),
		"long pk":           bad(func(o *metastore.Op) { o.Key.PK = strings.Repeat("p", metastore.MaxPK+1) }),
		"long sk":           bad(func(o *metastore.Op) { o.Key.SK = strings.Repeat("s", metastore.MaxSK+1) }),
		"key not UTF-8":     bad(func(o *metastore.Op) { o.Key.SK = "\xff" }),
		"no value":          bad(func(o *metastore.Op) { o.Set = item{"x": {}} }),
		"string not UTF-8":  bad(func(o *metastore.Op) { o.Set = item{"x": str("\xff")} }),
		"no name":           bad(func(o *metastore.Op) { o.Set = item{"": num(1)} }),
		"long name":         bad(func(o *metastore.Op) { o.Set = item{strings.Repeat("n", metastore.MaxAttr+1): num(1)} }),
		"pk as attribute":   bad(func(o *metastore.Op) { o.Set = item{"pk": str("x")} }),
		"sk as attribute":   bad(func(o *metastore.Op) { o.Remove = []string{"sk"} }),
		"set and add":       bad(func(o *metastore.Op) { o.Add = map[string]int64{"x": 1} }),
		"set and remove":    bad(func(o *metastore.Op) { o.Remove = []string{"x"} }),
		"removed twice":     bad(func(o *metastore.Op) { o.Remove = []string{"y", "y"} }),
		"update of nothing": bad(func(o *metastore.Op) { o.Set = nil }),
		"put with add":      bad(func(o *metastore.Op) { o.Kind, o.Add = metastore.OpPut, map[string]int64{"y": 1} }),
		"delete with set":   bad(func(o *metastore.Op) { o.Kind = metastore.OpDelete }),
		"check alone":       t.check("a", itemAbsent),
		"no comparison":     bad(func(o *metastore.Op) { o.If = []metastore.Cond{{Attr: "x"}} }),
		"nothing to equal":  bad(func(o *metastore.Op) { o.If = []metastore.Cond{{Attr: "x", Cmp: metastore.Ne}} }),
		"condition on \"\"": bad(func(o *metastore.Op) { o.If = []metastore.Cond{{Cmp: metastore.Absent}} }),
		"many conditions": bad(func(o *metastore.Op) {
			for range metastore.MaxTerms {
				o.If = append(o.If, itemAbsent)
			}
		}),
	} {
		if _, err := t.store.Write(t.Context(), op); !errors.Is(err, metastore.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.is("a", nil)
	for name, q := range map[string]metastore.Query{
		"no pk": {}, "limit": {PK: t.pk, Limit: -1}, "prefix": {PK: t.pk, Prefix: strings.Repeat("x", metastore.MaxSK+1)}, "after": {PK: t.pk, After: "\xff"},
	} {
		if _, err := t.store.Query(t.Context(), q); !errors.Is(err, metastore.ErrRefused) {
			t.Errorf("query with bad %s: %v", name, err)
		}
	}
	if _, err := t.store.Get(t.Context(), metastore.Key{PK: t.pk}, metastore.Consistent); !errors.Is(err, metastore.ErrRefused) {
		t.Errorf("get without sk: %v", err)
	}
}

// A caller that gave up before it began is told that it does not know.
func cancelledContext(t *table) {
	t.must(t.put("a", item{"x": num(1)}))
	ctx := cancelled()
	_, err := t.store.Write(ctx, t.put("a", item{"x": num(2)}))
	t.unknown("write", err)
	t.unknown("transact", t.store.Transact(ctx, []metastore.Op{t.put("a", item{"x": num(3)})}))
	_, err = t.store.Get(ctx, t.key("a"), metastore.Consistent)
	t.unknown("get", err)
	_, err = t.store.Query(ctx, metastore.Query{PK: t.pk})
	t.unknown("query", err)
}

func (t *table) unknown(what string, err error) {
	t.Helper()
	if !errors.Is(err, metastore.ErrUnknown) {
		t.Errorf("%s: got %v, want unknown", what, err)
	}
	for _, e := range []error{metastore.ErrCondition, metastore.ErrRefused, metastore.ErrConflict, metastore.ErrThrottled, metastore.ErrNotFound} {
		if errors.Is(err, e) {
			t.Errorf("%s: %v is also %v", what, err, e)
		}
	}
}
