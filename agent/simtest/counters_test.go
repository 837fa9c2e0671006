package simtest

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// counter is one that an agent must have, its labels, and what it must say after what is in the book; nil: that it is there.
type counter struct {
	name, labels string
	want         func(b *book) map[string]float64
	sum          func(b *book) map[string]float64 // of a histogram
}

// theCounters are those of the design, each held to requests that were counted at the stores and at the client.
func theCounters() []counter {
	of := func(name, labels string) counter {
		return counter{name: name, labels: labels, want: func(b *book) map[string]float64 { return b.of(name) }}
	}
	flushes := func(b *book) map[string]float64 { return one(float64(len(b.keys))) }
	none := func(*book) map[string]float64 { return one(0) }
	return []counter{
		of("varve_s3_requests_total", "op class zone purpose result"),
		of("varve_s3_bytes_total", "op class zone purpose result"),
		of("varve_ddb_requests_total", "op kind purpose result"),
		of("varve_ddb_units_total", "op kind purpose result"),
		of("varve_xzone_bytes_total", "src dst purpose"),
		of("varve_cost_dollars_total", "service purpose"),
		{name: "varve_price_list_info", labels: "service list date"},
		{name: "varve_flush_bytes", want: flushes, sum: func(b *book) map[string]float64 { return one(b.bundles) }},
		{name: "varve_flush_runs", want: flushes, sum: func(b *book) map[string]float64 { return one(b.runs) }},
		{name: "varve_flush_wait_ms", want: func(b *book) map[string]float64 { return one(float64(len(b.keys) - 1)) }}, // nothing is before the first
		{name: "varve_flush_put_ms", want: flushes},
		{name: "varve_flush_blocked_ms", want: flushes},
		{name: "varve_flush_commit_ms"},
		{name: "varve_commit_flushes", sum: flushes},
		{name: "varve_flush_in_flight", want: none},
		{name: "varve_hedge_sent_total", labels: "op", want: func(b *book) map[string]float64 { return b.hedges(again(b.keys), again(b.gets)) }},
		{name: "varve_hedge_won_total", labels: "op", want: func(b *book) map[string]float64 { return b.hedges(b.won, 0) }},
		{name: "varve_hedge_wasted_total", labels: "op", want: func(b *book) map[string]float64 { return b.hedges(again(b.keys)-b.won, again(b.gets)) }},
		{name: "varve_buffer_bytes", labels: "kind"},
		{name: "varve_throttle_ms_total", labels: "kind", want: func(*book) map[string]float64 { return map[string]float64{"buffer": 0, "reserve": 0} }},
		{name: "varve_unsegmented_bytes", want: func(b *book) map[string]float64 { return one(b.data) }},
		{name: "varve_unsegmented_seconds"},
		{name: "varve_replay_footers_total", want: func(b *book) map[string]float64 { return one(float64(len(b.footers))) }},
		{name: "varve_gc_lag_objects"}, {name: "varve_gc_lag_bytes"}, {name: "varve_gc_lag_seconds"},
		{name: "varve_failover_ms", labels: "step"},
		{name: "varve_session_item_bytes", want: func(b *book) map[string]float64 { return one(b.session) }},
	}
}

// check holds an agent's counters to its book, but those that are named in except.
func (b *book) check(t *testing.T, p *process, except ...string) map[string]family {
	t.Helper()
	synctest.Wait()
	got := gather(t, p.agent)
	for _, c := range theCounters() {
		f, there := got[c.name]
		if strings.Contains(strings.Join(except, " "), c.name) {
			continue
		}
		if !there && (c.want == nil || len(c.want(b)) > 0) {
			t.Errorf("%s: %s is not there", p.name, c.name)
			continue
		}
		if there && f.labels != c.labels {
			t.Errorf("%s: %s has the labels %q, want %q", p.name, c.name, f.labels, c.labels)
		}
		if c.want != nil && !near(f.values, c.want(b)) {
			t.Errorf("%s: %s:%s", p.name, c.name, differ(f.values, c.want(b)))
		}
		if c.name == "varve_buffer_bytes" && f.values["in_flight"] != 0 {
			t.Errorf("%s: %v bytes are in flight at rest", p.name, f.values["in_flight"])
		}
		if c.sum != nil && !near(f.sums, c.sum(b)) {
			t.Errorf("%s: the sum of %s:%s", p.name, c.name, differ(f.sums, c.sum(b)))
		}
	}
	return got
}

// TestCounters: every counter is there with its labels, and says what was counted at the stores and at the client: of agents in two zones
// that write, are read, and of which one dies. What /metrics has stands in METRICS.md, and the other way round.
func TestCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 1)
		defer s.end()
		s.names = []string{"a", "b"}
		s.change = func(c *agent.Config) { c.SnapshotInterval = time.Hour }
		books := map[string]*book{}
		slow := atomic.Int64{}
		s.stores = func(p *process) agent.Stores {
			books[p.name] = newBook("zone-"+p.name, s.facts.Store)
			books[p.name].held = func(bytes float64) {
				slow.Add(1)
				if kinds := gather(t, p.agent)["varve_buffer_bytes"].values; kinds["in_flight"] < bytes || kinds["buffer"] < kinds["in_flight"] {
					t.Errorf("%s: %v while a bundle of %v bytes is in flight", p.name, kinds, bytes)
				}
			}
			return books[p.name].stores(p)
		}
		s.startAll()
		time.Sleep(3 * time.Minute) // until each leads its share
		parts := s.topic("t", 6)
		client := func(host string, from kgo.Offset) *kgo.Client {
			return s.client(host, kgo.ClientID("app,zone=zone-b"), kgo.Rack("zone-b"), kgo.WithHooks(clientBook{"zone-b", books}),
				kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(from))
		}
		s.exchange(client("before", kgo.NewOffset().AtStart()), parts, 120)
		s.litter(3, 500)
		time.Sleep(5 * time.Minute)
		objects, bytes := 0.0, 0.0
		for name, b := range books {
			got := b.check(t, s.agents[name])
			objects, bytes = objects+got["varve_gc_lag_objects"].values[""], bytes+got["varve_gc_lag_bytes"].values[""]
			if len(b.keys) < 50 || b.of("varve_xzone_bytes_total") == nil || got["varve_unsegmented_seconds"].values[""] < 300 {
				t.Errorf("%s: too little was seen: %d flushes, %v", name, len(b.keys), got["varve_unsegmented_seconds"])
			}
		}
		if objects != 3 || bytes != 500 {
			t.Errorf("%v objects of %v bytes are garbage, want 3 of 500", objects, bytes)
		}
		s.kill("a", false)
		time.Sleep(time.Minute)
		s.exchange(client("after", kgo.NewOffset().At(120)), parts, 10)
		time.Sleep(5 * time.Minute)
		b := books["b"]
		got := b.check(t, s.agents["b"], "varve_unsegmented_bytes") // those of a too
		if want := b.data + books["a"].data; got["varve_unsegmented_bytes"].values[""] != want {
			t.Errorf("%v bytes of a and b are in no segment, want %v", got["varve_unsegmented_bytes"].values[""], want)
		}
		steps := got["varve_failover_ms"].values
		if steps["fence"] != b.fences || steps["detect"] != b.fences || steps["seal"] != b.fences || b.fences != 1 || steps["assign"] < 1 || steps["open"] < 1 || len(b.footers) == 0 {
			t.Errorf("steps %v, %v fences, %v footers", steps, b.fences, len(b.footers))
		}
		for _, step := range []string{"detect", "fence", "seal", "assign", "open"} {
			if ms := got["varve_failover_ms"].sums[step]; ms <= 0 || ms > 60_000 { // whole, of a minute in all
				t.Errorf("%s took %v ms", step, ms)
			}
		}
		documented(t, got)
		if slow.Load() == 0 {
			t.Error("no bundle was seen in flight")
		}
	})
}

// exchange writes n records to each partition, one after the other, and reads them.
func (s *clusterSim) exchange(c *kgo.Client, parts []tp, n int) {
	s.t.Helper()
	for i := range n * len(parts) {
		p := parts[i%len(parts)]
		if err := c.ProduceSync(s.t.Context(), &kgo.Record{Topic: p.topic, Partition: p.partition, Value: fmt.Appendf(nil, "%d", i)}).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	for read := 0; read < n*len(parts); {
		fs := c.PollFetches(s.t.Context())
		if err := fs.Err(); err != nil {
			s.t.Fatal(err)
		}
		read += fs.NumRecords()
	}
}

// litter queues n objects of some bytes together to be deleted tomorrow.
func (s *clusterSim) litter(n int, bytes int64) {
	s.t.Helper()
	g := records.Garbage{NotBefore: time.Now().Add(24 * time.Hour).UnixMilli(), Bytes: bytes, ID: uuid.New()}
	for i := range n {
		g.Keys = append(g.Keys, fmt.Sprintf("varve/k/0000/%d", i))
	}
	cluster := records.Cluster("varve")
	op := metastore.Op{Kind: metastore.OpPut, Key: cluster.GarbageKey(g), Set: g.Item()}
	if _, err := s.facts.Store.Write(s.t.Context(), op); err != nil {
		s.t.Fatal(err)
	}
}

// seldom are counters that show only once what they count has happened.
const seldom = "varve_kafka_errors_total varve_flush_retries_total varve_hedge_wasted_total varve_group_lag_records varve_group_commit_age_seconds " +
	"varve_group_members varve_rewritten_objects_total varve_rewritten_bytes_total varve_store_probe varve_kafka_connections_closed_total varve_peer_gone_total varve_peer_refused_total"

// documented compares an agent's /metrics with the page about them.
func documented(t *testing.T, got map[string]family) {
	t.Helper()
	page, err := os.ReadFile("../console/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	_, below, _ := strings.Cut(string(page), "\n| kind | bytes |\n|---|---|\n")
	table, _, _ := strings.Cut(below, "\n\n")
	kinds := got["varve_buffer_bytes"].values
	for kind := range kinds {
		if !strings.Contains(table, "| `"+kind+"` |") || strings.Count(table, "\n")+1 != len(kinds) {
			t.Errorf("METRICS.md has other kinds of bytes than %v, or lacks %s:\n%s", kinds, kind, table)
		}
	}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) > 3 && strings.HasPrefix(strings.TrimSpace(cells[1]), "`varve_") {
			rows[strings.Trim(cells[1], " `")] = strings.ReplaceAll(strings.TrimSpace(cells[2]), ",", "")
		}
	}
	for name, f := range got {
		if labels, ok := rows[name]; !ok || labels != f.labels {
			t.Errorf("METRICS.md says %q of %s, which has the labels %q", labels, name, f.labels)
		}
	}
	for name := range rows {
		if _, there := got[name]; !there && !strings.Contains(seldom, name) {
			t.Errorf("METRICS.md has %s, which no agent has", name)
		}
	}
}
