package simtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/metastore"
	factmeter "github.com/varvelog/varve/metastore/meter"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/hedge"
	objmeter "github.com/varvelog/varve/objstore/meter"
)

// book is what one agent asked of its stores and got from clients, as counted there and at the client, without a look at a counter of its own.
type book struct {
	zone  string
	facts metastore.Store     // what the table holds, without asking for it
	held  func(bytes float64) // hears of each slow PUT of the log when it begins; nil: nobody

	mu      sync.Mutex
	sums    map[string]map[string]float64 // by counter, then by labels
	keys    map[string]int                // PUTs of the log, by key
	slow    int                           // of so many PUTs of the log one takes two seconds
	late    map[string]bool               // those
	bundles float64                       // bytes of the log
	runs    float64
	data    float64        // bytes of batches in the log
	footers map[string]int // GETs of footers of the log for a take-over, by key and minute
	gets    map[string]int // GETs that somebody waits for, by what was read and the minute
	won     float64        // second PUTs of what was slow
	session float64        // bytes of the largest session item
	fences  float64
}

func newBook(zone string, facts metastore.Store) *book {
	return &book{zone: zone, facts: facts, slow: 50, sums: map[string]map[string]float64{}, keys: map[string]int{}, late: map[string]bool{}, footers: map[string]int{}, gets: map[string]int{}}
}

// stores are the ways of an agent to its stores: the program's own counters, and below them the book.
func (b *book) stores(p *process) agent.Stores {
	o := objmeter.New(&objectBook{p.objects, b}, objmeter.Prices{}).In(b.zone)
	h, f := hedge.New(o), factmeter.New(&factBook{p.facts, b}, factmeter.ListPrices())
	return agent.Stores{Objects: h, Facts: f, Collectors: []prometheus.Collector{o, h, f}}
}

func (b *book) add(counter string, n float64, labels ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sums[counter] == nil {
		b.sums[counter] = map[string]float64{}
	}
	b.sums[counter][strings.Join(labels, " ")] += n
}

// of returns what should be counted.
func (b *book) of(counter string) map[string]float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.sums[counter])
}

// again is how many requests were sent once more than there are keys.
func again(keys map[string]int) (n float64) {
	for _, sent := range keys {
		n += float64(sent - 1)
	}
	return n
}

// hedges are the second requests, and of those the ones that came first or in vain. Those of GETs come in vain here: all take equally long.
func (b *book) hedges(puts, gets float64) map[string]float64 {
	all := map[string]float64{}
	if again(b.keys) > 0 {
		all["put"] = puts
	}
	if again(b.gets) > 0 {
		all["get"] = gets
	}
	for op, n := range all {
		if n == 0 {
			delete(all, op) // it shows once it has happened
		}
	}
	return all
}

// one is a counter without labels.
func one(v float64) map[string]float64 { return map[string]float64{"": v} }

type objectBook struct {
	objstore.Store
	b *book
}

// call counts one request to the bucket, at list prices.
func (o *objectBook) call(ctx context.Context, op string, bytes int, dollars float64, err error) {
	result := "ok"
	for is, name := range map[error]string{objstore.ErrNotFound: "not_found", objstore.ErrUnknown: "unknown", objstore.ErrRange: "range"} {
		if errors.Is(err, is) {
			result = name
		}
	}
	purpose := string(objstore.PurposeOf(ctx))
	o.b.add("varve_s3_requests_total", 1, op, "standard", o.b.zone, purpose, result)
	o.b.add("varve_s3_bytes_total", float64(bytes), op, "standard", o.b.zone, purpose, result)
	o.b.add("varve_cost_dollars_total", dollars, "s3", purpose)
}

func (o *objectBook) Put(ctx context.Context, key string, body []byte) error {
	if strings.Contains(key, "/w/") && o.b.bundle(key, body) {
		if o.b.held != nil {
			o.b.held(float64(len(body)))
		}
		select {
		case <-time.After(2 * time.Second): // another PUT of the same key overtakes it
		case <-ctx.Done():
		}
	}
	err := o.Store.Put(ctx, key, body)
	o.call(ctx, "put", len(body), 5e-6, err)
	return err
}

// bundle notes a PUT of the log, and reports whether it is to be slow.
func (b *book) bundle(key string, body []byte) (slow bool) {
	f, _, err := bundle.ParseTail(body, int64(len(body)))
	if err != nil {
		panic(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.keys[key]++; b.keys[key] > 1 {
		if b.late[key] {
			b.won++
		}
		return false
	}
	b.bundles += float64(len(body))
	b.runs += float64(len(f.Runs))
	for _, r := range f.Runs {
		b.data += float64(r.Len)
	}
	b.late[key] = len(b.keys)%b.slow == 0
	return b.late[key]
}

func (o *objectBook) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	got, err := o.Store.Get(ctx, key, r)
	o.call(ctx, "get", got.Len(), 0.4e-6, err)
	o.b.mu.Lock()
	defer o.b.mu.Unlock()
	purpose := objstore.PurposeOf(ctx)
	if purpose == objstore.PurposeTail || purpose == objstore.PurposeCatchup || purpose == objstore.PurposeRecover {
		o.b.gets[fmt.Sprint(key, r, time.Now().Truncate(time.Minute))]++
	}
	if purpose == objstore.PurposeRecover && strings.Contains(key, "/w/") {
		o.b.footers[fmt.Sprint(key, time.Now().Truncate(time.Minute))]++ // another take-over may read it again
	}
	return got, err
}

func (o *objectBook) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	got, err := o.Store.List(ctx, prefix, after, limit)
	o.call(ctx, "list", 0, 5e-6, err)
	return got, err
}

func (o *objectBook) Delete(ctx context.Context, keys ...string) error {
	err := o.Store.Delete(ctx, keys...)
	o.call(ctx, "delete", 0, 0, err)
	return err
}

type factBook struct {
	metastore.Store
	b *book
}

// size is that of an item as it is charged, 0 if there is none.
func (o *factBook) size(key metastore.Key) int {
	it, err := o.b.facts.Get(context.Background(), key, metastore.Consistent)
	if err != nil {
		return 0
	}
	return key.Size() + it.Size()
}

// started is how many units of so many bytes n has, at least one.
func started(n, unit int) float64 { return float64(max(1, (n+unit-1)/unit)) }

// call counts one request to the table.
func (o *factBook) call(ctx context.Context, op, kind string, units float64, err error) {
	result := "ok"
	for is, name := range map[error]string{
		metastore.ErrNotFound: "not_found", metastore.ErrUnknown: "unknown", metastore.ErrCondition: "condition", metastore.ErrConflict: "conflict",
	} {
		if errors.Is(err, is) {
			result = name
		}
	}
	purpose := string(metastore.PurposeOf(ctx))
	o.b.add("varve_ddb_requests_total", 1, op, kind, purpose, result)
	o.b.add("varve_ddb_units_total", units, op, kind, purpose, result)
	o.b.add("varve_cost_dollars_total", units*map[string]float64{"read": 0.125e-6, "write": 0.625e-6}[kind], "dynamodb", purpose)
}

func (o *factBook) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	it, err := o.Store.Get(ctx, key, c)
	n := 0
	if err == nil {
		n = key.Size() + it.Size()
	}
	o.call(ctx, "get", "read", started(n, 4<<10)*half(c), err)
	return it, err
}

// half is what an eventual read costs of a consistent one.
func half(c metastore.Consistency) float64 {
	if c == metastore.Consistent {
		return 1
	}
	return 0.5
}

func (o *factBook) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	page, err := o.Store.Query(ctx, q)
	n := 0
	for _, r := range page.Rows {
		n += metastore.Key{PK: q.PK, SK: r.SK}.Size() + r.Item.Size()
	}
	o.call(ctx, "query", "read", started(n, 4<<10)*half(q.Consistency), err)
	return page, err
}

func (o *factBook) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	before := o.size(op.Key)
	it, err := o.Store.Write(ctx, op)
	after := o.size(op.Key)
	name := map[metastore.OpKind]string{metastore.OpPut: "put", metastore.OpDelete: "delete"}[op.Kind]
	if name == "" {
		name = "update"
	}
	if err != nil { // it would have been as large
		after = max(after, op.Key.Size()+op.Set.Size())
	}
	o.call(ctx, name, "write", started(max(before, after), 1<<10), err)
	if err == nil && strings.Contains(op.Key.PK, "/S#") {
		o.b.mu.Lock()
		defer o.b.mu.Unlock()
		o.b.session = max(o.b.session, float64(after))
		if op.Set[records.AttrState].Equal(metastore.S(string(records.Fenced))) {
			o.b.fences++
		}
	}
	return it, err
}

func (o *factBook) Transact(ctx context.Context, ops []metastore.Op) error {
	units := 0.0
	before := make([]int, len(ops))
	for i, op := range ops {
		before[i] = o.size(op.Key)
	}
	err := o.Store.Transact(ctx, ops)
	for i, op := range ops {
		units += 2 * started(max(before[i], o.size(op.Key)), 1<<10)
	}
	o.call(ctx, "transact", "write", units, err)
	return err
}

// clientBook counts what a client in some zone sends to and gets from the agents of others.
type clientBook struct {
	zone  string
	books map[string]*book // by host
}

func (c clientBook) count(meta kgo.BrokerMetadata, key, want int16, bytes int, to bool, purpose string) {
	b := c.books[meta.Host]
	if b == nil || key != want {
		return
	}
	src, dst := c.zone, b.zone
	if to {
		src, dst = dst, src
	}
	if src != dst {
		b.add("varve_xzone_bytes_total", float64(bytes), src, dst, purpose)
	} else {
		b.add("varve_xzone_bytes_total", 0, "other", b.zone, "produce")
	}
}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (c clientBook) OnBrokerWrite(meta kgo.BrokerMetadata, key int16, bytes int, _, _ time.Duration, _ error) {
	c.count(meta, key, 0, bytes, false, "produce")
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (c clientBook) OnBrokerRead(meta kgo.BrokerMetadata, key int16, bytes int, _, _ time.Duration, _ error) {
	c.count(meta, key, 1, bytes, true, "fetch")
}

// family is one counter of an agent, by labels in the order of their names in want.
type family struct {
	labels string
	values map[string]float64 // of a histogram its count
	sums   map[string]float64 // of a histogram
}

// gather is what /metrics of an agent has of ours.
func gather(t *testing.T, a *agent.Agent) map[string]family {
	t.Helper()
	families, err := a.Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]family{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "varve_") {
			continue
		}
		one := family{values: map[string]float64{}, sums: map[string]float64{}}
		for _, m := range f.Metric {
			var names, values []string
			for _, l := range m.Label {
				names = append(names, l.GetName())
			}
			order := orderOf(names)
			for _, name := range order {
				values = append(values, m.Label[slices.Index(names, name)].GetValue())
			}
			at := strings.Join(values, " ")
			one.labels = strings.Join(order, " ")
			one.values[at] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			one.sums[at] = m.GetHistogram().GetSampleSum()
		}
		all[f.GetName()] = one
	}
	return all
}

// orderOf puts labels into the order in which the table of counters has them.
func orderOf(names []string) (order []string) {
	for _, n := range []string{"op", "class", "service", "src", "dst", "kind", "zone", "purpose", "step", "state", "api", "code", "reason", "list", "date", "result"} {
		if slices.Contains(names, n) {
			order = append(order, n)
		}
	}
	for _, n := range names {
		if !slices.Contains(order, n) {
			order = append(order, n)
		}
	}
	return order
}

// near compares sums of dollars and the like.
func near(a, b map[string]float64) bool {
	return maps.EqualFunc(a, b, func(x, y float64) bool { return max(x-y, y-x) <= 1e-9*max(x, y) })
}

// differ says where they do.
func differ(got, want map[string]float64) string {
	var b strings.Builder
	for k := range want {
		if got[k] != want[k] {
			fmt.Fprintf(&b, "\n  %q: %v, want %v", k, got[k], want[k])
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			fmt.Fprintf(&b, "\n  %q: %v, want none", k, got[k])
		}
	}
	return b.String()
}
