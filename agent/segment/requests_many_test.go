package segment

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/varvelog/varve/metastore"
)

// tallyFacts counts requests to the table.
type tallyFacts struct {
	metastore.Store
	reads, writes, items atomic.Int64 // items: those that writes had
}

func (f *tallyFacts) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	f.reads.Add(1)
	return f.Store.Get(ctx, key, c)
}

func (f *tallyFacts) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	f.reads.Add(1)
	return f.Store.Query(ctx, q)
}

func (f *tallyFacts) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	f.writes.Add(1)
	f.items.Add(1)
	return f.Store.Write(ctx, op)
}

func (f *tallyFacts) Transact(ctx context.Context, ops []metastore.Op) error {
	f.writes.Add(1)
	f.items.Add(int64(len(ops)))
	return f.Store.Transact(ctx, ops)
}

// The same load costs the same requests, whether 10 partitions share it or 1,000 of 100,000 do: bundles and packs hold them all, and those
// that are idle cost nothing, also in the hour that follows.
func TestRequestsAtManyPartitions(t *testing.T) {
	few, many := requestsOf(t, 10, 10), requestsOf(t, 100_000, 1000)
	if many > few*11/10 {
		t.Errorf("%d requests at 1,000 of 100,000 partitions, %d at 10 of 10", many, few)
	}
}

// requestsOf writes 48 MiB to so many of all partitions, waits for an hour, and returns how many requests that takes.
func requestsOf(t *testing.T, all, active int) int {
	r := newRig(t)
	r.brief = true
	r.cfg = Config{RewriteBytes: leastRewrite}
	names := r.topic("a", all)
	store, facts := &countingStore{Store: r.inner, keys: r.keys}, &tallyFacts{Store: r.table}
	r.objects, r.facts = store, facts
	r.open()
	const flushes = 48
	for i := range flushes {
		for k := range active {
			r.again(names[k*(all/active)], 1<<20/active)
		}
		r.flush()
		if i%16 == 15 {
			r.round(time.Second)
			r.seq-- // it commits by itself
		}
	}
	for range 6 {
		r.round(10 * time.Minute)
	}
	if n := r.walRuns(); n != 0 {
		t.Errorf("%d runs are not packed", n)
	}
	puts, gets := flushes+int(store.puts.Load()), int(store.gets.Load())
	reads, items := int(facts.reads.Load()), int(facts.items.Load())
	t.Logf("%d of %d partitions: %d PUT, %d GET, %d reads and %d writes of the table", active, all, puts, gets, reads, items)
	return puts + gets + reads + items
}
