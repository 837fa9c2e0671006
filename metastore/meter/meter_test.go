package meter

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) metastore.Store { return New(mem.New(), ListPrices()) })
}

// sized returns an item that has n bytes together with key.
func sized(key metastore.Key, n int) metastore.Item {
	return metastore.Item{"a": metastore.S(strings.Repeat("x", n-key.Size()-1))}
}

func key(sk string) metastore.Key { return metastore.Key{PK: "pk", SK: sk} }

func put(sk string, n int, conds ...metastore.Cond) metastore.Op {
	return metastore.Op{Kind: metastore.OpPut, Key: key(sk), Set: sized(key(sk), n), If: conds}
}

var (
	exists = metastore.Cond{Cmp: metastore.ItemExists}
	absent = metastore.Cond{Cmp: metastore.ItemAbsent}
)

// units runs f and returns the units it cost.
func units(t *testing.T, s *Store, f func()) (write, read float64) {
	t.Helper()
	before := s.Snapshot()
	f()
	d := s.Snapshot().Sub(before).Total(nil)
	if d.Requests == 0 {
		t.Error("nothing was counted")
	}
	return d.WriteUnits, d.ReadUnits
}

func TestWriteUnits(t *testing.T) {
	s, ctx := New(mem.New(), ListPrices()), t.Context()
	write := func(op metastore.Op) func() { return func() { s.Write(ctx, op) } }
	update := func(sk string, set metastore.Item) metastore.Op {
		return metastore.Op{Kind: metastore.OpUpdate, Key: key(sk), Set: set}
	}
	del := func(sk string) metastore.Op { return metastore.Op{Kind: metastore.OpDelete, Key: key(sk)} }
	for _, step := range []struct {
		name string
		f    func()
		want float64
	}{
		{"put of 1 KB", write(put("a", 1024)), 1},
		{"put of a byte more", write(put("a", 1025)), 2},
		{"put of a small item over it", write(put("a", 10)), 2},
		{"again", write(put("a", 10)), 1},
		{"put of 10 KB", write(put("a", 10<<10)), 10},
		{"update of a small part", write(update("a", metastore.Item{"b": metastore.N(1)})), 11},
		{"failed put over it", write(put("a", 10, absent)), 11},
		{"failed put that would be larger", write(put("a", 20<<10, absent)), 20},
		{"delete", write(del("a")), 11},
		{"delete of nothing", write(del("a")), 1},
		{"failed delete of nothing", write(metastore.Op{Kind: metastore.OpDelete, Key: key("a"), If: []metastore.Cond{exists}}), 1},
		{"update that creates", write(update("u", sized(key("u"), 3000))), 3},
		{"refused", write(put("", 10)), 0},
		{"too large", write(put("big", metastore.MaxItem+1)), 0},
		{"transaction of 1 KB and 2 KB", func() { s.Transact(ctx, []metastore.Op{put("x", 1024), put("y", 2000)}) }, 6},
		{"transaction that updates a little of 2 KB", func() {
			s.Transact(ctx, []metastore.Op{update("y", metastore.Item{"b": metastore.N(1)})})
		}, 4},
		{"transaction with a check of 2 KB and a delete", func() {
			s.Transact(ctx, []metastore.Op{{Kind: metastore.OpCheck, Key: key("y"), If: []metastore.Cond{exists}}, del("x")})
		}, 6},
		{"failed transaction", func() { s.Transact(ctx, []metastore.Op{put("z", 1024), put("y", 10, absent)}) }, 6},
		{"the failed part changed nothing", write(put("z", 1024, absent)), 1},
	} {
		if got, read := units(t, s, step.f); got != step.want || read != 0 {
			t.Errorf("%s: %v write units and %v read units, want %v", step.name, got, read, step.want)
		}
	}
}

func TestReadUnits(t *testing.T) {
	s, ctx := New(mem.New(), ListPrices()), t.Context()
	for sk, n := range map[string]int{"a": 4096, "b": 4097, "c": 10} {
		if _, err := s.Write(ctx, put(sk, n)); err != nil {
			t.Fatal(err)
		}
	}
	get := func(sk string, c metastore.Consistency) func() { return func() { s.Get(ctx, key(sk), c) } }
	query := func(q metastore.Query) func() { return func() { q.PK = "pk"; s.Query(ctx, q) } }
	for name, step := range map[string]struct {
		f    func()
		want float64
	}{
		"4 KB":              {get("a", metastore.Consistent), 1},
		"4 KB, eventual":    {get("a", metastore.Eventual), .5},
		"a byte more":       {get("b", metastore.Consistent), 2},
		"absent":            {get("none", metastore.Consistent), 1},
		"absent, eventual":  {get("none", metastore.Eventual), .5},
		"query of all":      {query(metastore.Query{Consistency: metastore.Consistent}), 3},
		"query, eventual":   {query(metastore.Query{}), 1.5},
		"query of nothing":  {query(metastore.Query{Prefix: "x", Consistency: metastore.Consistent}), 1},
		"query of one page": {query(metastore.Query{Limit: 1, Consistency: metastore.Consistent}), 1},
	} {
		if write, got := units(t, s, step.f); got != step.want || write != 0 {
			t.Errorf("%s: %v read units and %v write units, want %v", name, got, write, step.want)
		}
	}
}

// A failed condition is charged for the item that it met, whoever put it there.
func TestSizeFromFailure(t *testing.T) {
	inner := mem.New()
	s := New(inner, ListPrices())
	s.Write(t.Context(), put("a", 10))
	inner.Write(t.Context(), put("a", 5000))
	for range 2 {
		if got, _ := units(t, s, func() { s.Write(t.Context(), put("a", 10, absent)) }); got != 5 {
			t.Errorf("%v units", got)
		}
	}
}

// A put or delete is charged for the item before, which the meter may have learned by reading it.
func TestSizeFromRead(t *testing.T) {
	inner := mem.New()
	inner.Write(t.Context(), put("a", 5000))
	s := New(inner, ListPrices())
	s.Get(t.Context(), key("a"), metastore.Consistent)
	if got, _ := units(t, s, func() { s.Write(t.Context(), put("a", 10)) }); got != 5 {
		t.Errorf("%v units", got)
	}
}

// failing is a store whose writes fail with err, if there is one.
type failing struct {
	metastore.Store
	err error
}

func (f *failing) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	if f.err != nil {
		return nil, fmt.Errorf("%w: as the test says", f.err)
	}
	return f.Store.Write(ctx, op)
}

func TestResultsAndPurposes(t *testing.T) {
	inner := &failing{Store: mem.New()}
	s := New(inner, ListPrices())
	ctx := metastore.WithPurpose(t.Context(), metastore.PurposeCommit)
	for _, err := range []error{metastore.ErrThrottled, metastore.ErrConflict, metastore.ErrRefused, metastore.ErrUnknown, metastore.ErrTooLarge, nil} {
		inner.err = err
		s.Write(ctx, put("a", 100))
	}
	s.Write(ctx, put("a", 100, absent))
	s.Get(t.Context(), key("none"), metastore.Consistent)
	want := `get other not_found: 1 requests, 1 read units
put commit condition: 1 requests, 1 write units
put commit conflict: 1 requests, 1 write units
put commit ok: 1 requests, 1 write units
put commit refused: 1 requests
put commit throttled: 1 requests
put commit too_large: 1 requests
put commit unknown: 1 requests, 1 write units
`
	if got := s.Snapshot().String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for i := range 100 {
		s.Get(metastore.WithPurpose(t.Context(), metastore.Purpose(fmt.Sprint("p", i))), key("a"), metastore.Eventual)
	}
	purposes := map[metastore.Purpose]bool{}
	for l := range s.Snapshot().Counts {
		purposes[l.Purpose] = true
	}
	if len(purposes) > maxPurposes {
		t.Errorf("%d purposes", len(purposes))
	}
}

func TestDollars(t *testing.T) {
	s := New(mem.New(), Prices{WriteMillion: 1e6, ReadMillion: 1e4})
	s.Write(t.Context(), put("a", 3000))
	s.Get(t.Context(), key("a"), metastore.Eventual)
	if got := s.Snapshot().Total(nil).Dollars; math.Abs(got-3.005) > 1e-9 {
		t.Errorf("%v dollars", got)
	}
	if p := ListPrices(); p.WriteMillion != 0.625 || p.ReadMillion != 0.125 || p.Date == "" {
		t.Errorf("%+v", p)
	}
}

func TestSizesAreBounded(t *testing.T) {
	s := New(mem.New(), ListPrices())
	for i := range 3 * maxSizes {
		s.remember(key(fmt.Sprint(i)), 1)
	}
	if n := len(s.mu.sizes); n > maxSizes {
		t.Errorf("%d sizes", n)
	}
}

func TestCollector(t *testing.T) {
	s := New(mem.New(), Prices{Date: "2026-11-01", Region: "here", WriteMillion: 1e6})
	ctx := metastore.WithPurpose(context.Background(), metastore.PurposeCommit)
	session := metastore.Key{PK: "varve/S#6ba7b810-9dad-11d1-80b4-00c04fd430c8", SK: "-"}
	for _, n := range []int{1500, 1100} { // an alarm must not miss the first because the second came before the next look
		op := metastore.Op{Kind: metastore.OpUpdate, Key: session, Set: sized(session, n)}
		if _, err := s.Write(ctx, op); err != nil {
			t.Fatal(err)
		}
	}
	s.Write(ctx, put("a", 100))
	s.Get(ctx, session, metastore.Eventual)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	want := map[string]float64{
		"varve_ddb_requests_total kind=write op=update purpose=commit result=ok": 2,
		"varve_ddb_units_total kind=write op=update purpose=commit result=ok":    4,
		"varve_ddb_requests_total kind=write op=put purpose=commit result=ok":    1,
		"varve_ddb_units_total kind=write op=put purpose=commit result=ok":       1,
		"varve_ddb_requests_total kind=read op=get purpose=commit result=ok":     1,
		"varve_ddb_units_total kind=read op=get purpose=commit result=ok":        0.5,
		"varve_cost_dollars_total purpose=commit service=dynamodb":               5,
		"varve_session_item_bytes": 1500,

		"varve_price_list_info date=2026-11-01 list=DynamoDB on demand, here service=dynamodb": 1,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
