package simtest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	factsmeter "github.com/varvelog/varve/metastore/meter"
	"github.com/varvelog/varve/objstore"
	objmeter "github.com/varvelog/varve/objstore/meter"
)

// latencyResult is what a run has shown.
type latencyResult struct {
	// Of records: from when they were due until their clients had the answer; the request alone; and where the time went: in the client until
	// its request was sent, in the agent until the flush was cut, until it was durable, until its commit was asked for, until the client knew.
	due, request, client, cut, put, blocked, commit quantiles
	bytes                                           int64
	puts                                            objmeter.Snapshot
	units                                           factsmeter.Snapshot
	hedges                                          int
}

// quantiles counts durations of up to 10 s by tenths of milliseconds.
type quantiles struct {
	by []int32
	n  int
}

const quantileStep = 100 * time.Microsecond

func (q *quantiles) add(d time.Duration) {
	if q.by == nil {
		q.by = make([]int32, 10*time.Second/quantileStep)
	}
	q.by[min(int((d+quantileStep-1)/quantileStep), len(q.by)-1)]++
	q.n++
}

// at returns what a share of all does not exceed, in milliseconds.
func (q *quantiles) at(share float64) float64 {
	left := int(share * float64(q.n))
	for i, n := range q.by {
		if left -= int(n); left < 0 {
			return float64(i) * quantileStep.Seconds() * 1000
		}
	}
	return 0
}

func (q *quantiles) String() string {
	return fmt.Sprintf("%4.0f %4.0f %4.0f", q.at(.5), q.at(.99), q.at(.999))
}

// dollars returns what the log's requests cost for a GB: PUTs of bundles with their hedges, commits, heartbeats, snapshots.
func (r *latencyResult) dollars() float64 {
	return (r.puts.Dollars() + r.units.Total(func(factsmeter.Label) bool { return true }).Dollars) / (float64(r.bytes) / 1e9)
}

// flushes returns how many PUTs of bundles there were, hedges included.
func (r *latencyResult) flushes() float64 {
	return float64(r.puts.RequestsFor(objmeter.Put, objstore.PurposeWAL))
}

// perGiB returns how many PUTs of bundles a GiB took, hedges included.
func (r *latencyResult) perGiB() float64 { return r.flushes() / float64(r.bytes) * (1 << 30) }

// hedged returns how many of 100 bundles were put twice.
func (r *latencyResult) hedged() float64 {
	return 100 * float64(r.hedges) / (r.flushes() - float64(r.hedges))
}

// latencyRow is a run with what it is held to; 0: nothing.
type latencyRow struct {
	name                                         string
	run                                          latencyRun
	p50, p99, p999, dollars, putsPerGiB, flushes float64 // at most: of due in milliseconds; of a GB; flushes a second
}

// rewriteDollars is what a GB costs besides, when it is rewritten as segments of 64 MiB, as it is at this rate without packs: 16 PUTs a
// GiB, each linked by a transaction of 4 write units.
const rewriteDollars = (16*5e-6 + 16*4*0.625e-6) / 1.0737

func quickRun(span time.Duration) latencyRun {
	return latencyRun{flush: 100 * time.Millisecond, flushBytes: 4 << 20, rate: 42e6, record: 8 << 10, producers: 4, linger: 5 * time.Millisecond, span: span, seed: 1}
}

func defaultRun(span time.Duration) latencyRun {
	r := quickRun(span)
	r.flush, r.flushBytes = 250*time.Millisecond, 8<<20
	return r
}

func (r latencyRun) with(change func(*latencyRun)) latencyRun {
	change(&r)
	return r
}

// latencyRows are the table. The first ones are the targets, as they were set: what the log makes of records that come on their own. In those that
// follow, clients have five requests under way, as franz-go and Kafka's own have if they are idempotent: while an answer takes long they send
// nothing, and after a flush they all send at once.
func latencyRows(span time.Duration) []latencyRow {
	quick, usual := quickRun(span), defaultRun(span)
	client := func(r latencyRun, linger time.Duration) latencyRun {
		return r.with(func(r *latencyRun) { r.inFlight, r.linger, r.span = 5, linger, span/3 })
	}
	lone := usual.with(func(r *latencyRun) { r.producers, r.record, r.linger = 1, 1<<10, 0 })
	return []latencyRow{
		{"quick", quick, 160, 365, 450, 0.0020, 0, 0},
		{"default", usual, 280, 535, 640, 0.0010, 135, 0},
		{"default, a record each second", lone.with(func(r *latencyRun) { r.each, r.span = time.Second, 40*span }), 55, 240, 0, 0, 0, 1.06},
		{"default, 4 records a second", lone.with(func(r *latencyRun) { r.rate, r.span = 4<<10, 8*span }), 65, 300, 0, 0, 0, 4.25},
		{"quick, 5 in flight, linger 5 ms", client(quick, 5*time.Millisecond), 200, 520, 0, 0.0020, 0, 0},
		{"quick, 5 in flight, linger 25 ms", client(quick, 25*time.Millisecond), 175, 450, 0, 0.0020, 0, 0},
		{"default, 5 in flight, linger 5 ms", client(usual, 5*time.Millisecond), 290, 740, 0, 0.0010, 0, 0},
		{"default, 5 in flight, linger 25 ms", client(usual, 25*time.Millisecond), 275, 660, 0, 0.0010, 0, 0},
	}
}

const latencyHead = "                                    | due to acked   | request        | client         | cut            | PUT            | blocked        | commit         | PUT/GiB, hedged, $/GB"

func (x *latencyResult) String() string {
	return fmt.Sprintf("| %v | %v | %v | %v | %v | %v | %v | %7.0f, %3.1f %%, %.5f", &x.due, &x.request, &x.client, &x.cut, &x.put, &x.blocked, &x.commit, x.perGiB(), x.hedged(), x.dollars())
}

// TestLatency holds what a record waits for, and what that costs, in virtual time, where both are the same in each run. VARVE_LATENCY=10m
// measures for so long (make latency prints the table).
func TestLatency(t *testing.T) {
	span, table := 3*time.Minute, &strings.Builder{}
	if s := os.Getenv("VARVE_LATENCY"); s != "" {
		var err error
		if span, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range latencyRows(span) {
		x := row.run.run(t)
		fmt.Fprintf(table, "%-35s %v\n", row.name, x)
		held := func(what string, got, most float64) {
			if most > 0 && got > most {
				t.Errorf("%s: %s: %.4g, want at most %v", row.name, what, got, most)
			}
		}
		held("p50", x.due.at(.5), row.p50)
		held("p99", x.due.at(.99), row.p99)
		held("p99.9", x.due.at(.999), row.p999)
		held("PUTs a GiB", x.perGiB(), row.putsPerGiB)
		held("PUTs a second", x.flushes()/row.run.span.Seconds(), row.flushes)
		if row.dollars > 0 {
			held("dollars a GB", x.dollars()+rewriteDollars, row.dollars)
		}
	}
	t.Logf("ms at p50, p99, p99.9\n%s\n%s", latencyHead, table)
}

// TestLatencyIsReproducible: two runs of a seed are the same, to the last record and request; another seed is another run.
func TestLatencyIsReproducible(t *testing.T) {
	show := func(seed uint64) string {
		x := quickRun(20 * time.Second).with(func(r *latencyRun) { r.seed, r.inFlight = seed, 5 }).run(t)
		return x.String() + x.puts.String()
	}
	if a, b := show(1), show(1); a != b || a == show(2) {
		t.Errorf("two runs:\n%s\n%s", a, b)
	}
}

// TestHedgesOfTheLog: second PUTs make the 99.9th percentile 0.40 of what it is without, and are at most 5.5 of 100.
func TestHedgesOfTheLog(t *testing.T) {
	run := quickRun(3 * time.Minute)
	with := run.run(t)
	run.unhedged = true
	without := run.run(t)
	t.Logf("%.0f ms instead of %.0f, %.2f %% more PUTs", with.due.at(.999), without.due.at(.999), with.hedged())
	if with.due.at(.999) > 0.4*without.due.at(.999) || with.hedged() > 5.5 || with.hedges == 0 {
		t.Error("want at most 0.40 of it, and 5.5 %")
	}
}
