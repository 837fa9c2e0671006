package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/varvelog/varve/metastore"
)

// keysInOrder are sort keys in byte order, with equal prefixes and all lengths of UTF-8.
var keysInOrder = []string{"!", "A", "B", "a", "a\x00", "a!", "a#1", "a#10", "a#2", "aa", "ab", "b", "b#", "z", "é", "\uffff", "\U0001f600"}

// seed puts an item for each of keysInOrder, not in order, and neighbours under other partition keys.
func (t *table) seed() {
	for i := range keysInOrder {
		sk := keysInOrder[(i*7)%len(keysInOrder)]
		t.must(t.put(sk, item{"key": str(sk)}))
	}
	for _, pk := range []string{t.pk + "\x00", t.pk + "!", t.pk[:len(t.pk)-1]} {
		t.must(metastore.Op{Kind: metastore.OpPut, Key: metastore.Key{PK: pk, SK: "a"}, Set: item{"x": num(1)}})
	}
}

// all follows the pages of q to the end and returns the sort keys, after checking that each item is the one of its key.
func (t *table) all(q metastore.Query) []string {
	t.Helper()
	keys := []string{}
	for n := 0; ; n++ {
		page, err := t.store.Query(t.Context(), q)
		if err != nil {
			t.Fatalf("query %+v: %v", q, err)
		}
		if q.Limit > 0 && len(page.Rows) > q.Limit {
			t.Fatalf("page of %d rows, limit %d", len(page.Rows), q.Limit)
		}
		for _, r := range page.Rows {
			keys = append(keys, r.SK)
			if want := (item{"key": str(r.SK)}); !same(r.Item, want) {
				t.Errorf("item of %q is %v", r.SK, r.Item)
			}
		}
		if page.Next == "" {
			return keys
		}
		if n > 10*len(keysInOrder) || page.Next <= q.After {
			t.Fatalf("pages do not end: after %q comes %q", q.After, page.Next)
		}
		q.After = page.Next
	}
}

// queries runs q with and without consistency and with several limits, and wants the keys for which match holds.
func (t *table) queries(q metastore.Query, match func(sk string) bool) {
	t.Helper()
	want := []string{}
	for _, k := range keysInOrder {
		if match(k) {
			want = append(want, k)
		}
	}
	q.PK, q.Consistency = t.pk, metastore.Consistent
	for _, limit := range []int{0, 1, 2, 3, len(want), len(want) + 1, 1000} {
		q.Limit = limit
		if got := t.all(q); !slices.Equal(got, want) {
			t.Errorf("query prefix %q after %q limit %d: got %q, want %q", q.Prefix, q.After, limit, got, want)
		}
	}
}

func queryOrder(t *table) {
	t.seed()
	t.queries(metastore.Query{}, func(string) bool { return true })
}

func queryPrefix(t *table) {
	t.seed()
	for _, prefix := range []string{"a", "a#", "a#1", "a\x00", "b", "zz", "é", "\uffff", "\U0001f600", "nothing"} {
		t.queries(metastore.Query{Prefix: prefix}, func(sk string) bool { return strings.HasPrefix(sk, prefix) })
	}
}

// After need not be a key that is there, nor one with the prefix.
func queryAfter(t *table) {
	t.seed()
	for _, after := range []string{" ", "!", "a", "a#", "a#1", "a#11", "aa", "b", "y", "\uffff", "\U0001f600", "\U0001f601"} {
		t.queries(metastore.Query{After: after}, func(sk string) bool { return sk > after })
		for _, prefix := range []string{"a", "a#", "b", "nothing"} {
			t.queries(metastore.Query{Prefix: prefix, After: after}, func(sk string) bool { return sk > after && strings.HasPrefix(sk, prefix) })
		}
	}
}

// An item that comes or goes behind the place where the next page starts disturbs nothing, even the one named by After.
func queryPages(t *table) {
	t.seed()
	q := metastore.Query{PK: t.pk, Limit: 4, Consistency: metastore.Consistent}
	page, err := t.store.Query(t.Context(), q)
	if err != nil || page.Next == "" || len(page.Rows) == 0 {
		t.Fatalf("first page: %v, %v", page, err)
	}
	n := len(page.Rows)
	t.must(t.del(page.Next))
	t.must(t.del(page.Rows[0].SK))
	q.After = page.Next
	if got := t.all(q); !slices.Equal(got, keysInOrder[n:]) {
		t.Errorf("after %q: got %q, want %q", page.Next, got, keysInOrder[n:])
	}
	eventual := metastore.Query{PK: t.pk}
	if _, err := t.store.Query(t.Context(), eventual); err != nil {
		t.Errorf("eventual: %v", err)
	}
}

// More than a store puts into one page still comes whole and in order.
func queryLargePages(t *table) {
	big := str(strings.Repeat("x", 300_000))
	for i := range 8 {
		t.must(t.put(fmt.Sprint("big", i), item{"x": big}))
	}
	var got []string
	for after, n := "", 0; n < 100; n++ {
		page, err := t.store.Query(t.Context(), metastore.Query{PK: t.pk, After: after, Consistency: metastore.Consistent})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Rows {
			if !same(r.Item, item{"x": big}) {
				t.Errorf("item of %s is damaged", r.SK)
			}
			got = append(got, r.SK)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if want := []string{"big0", "big1", "big2", "big3", "big4", "big5", "big6", "big7"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func queryEmpty(t *table) {
	for _, q := range []metastore.Query{{}, {Prefix: "x"}, {After: "x"}, {Limit: 1}} {
		q.PK = t.pk
		if page, err := t.store.Query(t.Context(), q); err != nil || len(page.Rows) != 0 || page.Next != "" {
			t.Errorf("%+v: %v, %v", q, page, err)
		}
	}
	t.must(t.put("a", nil))
	t.must(t.del("a"))
	t.queries(metastore.Query{}, func(string) bool { return false })
}
