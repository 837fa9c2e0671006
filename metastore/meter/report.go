package meter

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/varvelog/varve/metastore"
)

// Snapshot is what was counted since New.
type Snapshot struct {
	Counts       map[Label]Count
	SessionBytes int // of the largest session item written, key included; 0: none yet
}

// Snapshot returns the counts. The caller owns them.
func (s *Store) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Snapshot{Counts: maps.Clone(s.mu.counts), SessionBytes: s.mu.session}
}

// Total adds up what match says; nil adds all.
func (s Snapshot) Total(match func(Label) bool) Count {
	var t Count
	for _, l := range s.labels() {
		if match == nil || match(l) {
			c := s.Counts[l]
			t.Requests += c.Requests
			t.WriteUnits += c.WriteUnits
			t.ReadUnits += c.ReadUnits
			t.Dollars += c.Dollars
		}
	}
	return t
}

// Sub returns what happened between old and s, without labels under which nothing did.
func (s Snapshot) Sub(old Snapshot) Snapshot {
	d := Snapshot{Counts: map[Label]Count{}, SessionBytes: s.SessionBytes}
	for l, c := range s.Counts {
		o := old.Counts[l]
		c.Requests -= o.Requests
		c.WriteUnits -= o.WriteUnits
		c.ReadUnits -= o.ReadUnits
		c.Dollars -= o.Dollars
		if c.Requests != 0 {
			d.Counts[l] = c
		}
	}
	return d
}

// String is one line for each label, in order: for golden traces, where one request more is a diff.
func (s Snapshot) String() string {
	var b strings.Builder
	for _, l := range s.labels() {
		c := s.Counts[l]
		b.WriteString(l.Op + " " + string(l.Purpose) + " " + l.Result + ": " + strconv.FormatInt(c.Requests, 10) + " requests")
		for _, u := range []struct {
			n    float64
			name string
		}{{c.WriteUnits, " write units"}, {c.ReadUnits, " read units"}} {
			if u.n > 0 {
				b.WriteString(", " + strconv.FormatFloat(u.n, 'f', -1, 64) + u.name)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (s Snapshot) labels() []Label {
	return slices.SortedFunc(maps.Keys(s.Counts), func(a, b Label) int {
		return cmp.Or(cmp.Compare(a.Op, b.Op), cmp.Compare(a.Purpose, b.Purpose), cmp.Compare(a.Result, b.Result))
	})
}

var (
	requestsDesc = prometheus.NewDesc("varve_ddb_requests_total", "Requests to the metastore.", []string{"op", "kind", "purpose", "result"}, nil)
	unitsDesc    = prometheus.NewDesc("varve_ddb_units_total",
		"Request units of the metastore as DynamoDB charges them: read units for get and query, write units for the rest.",
		[]string{"op", "kind", "purpose", "result"}, nil)
	dollarsDesc = prometheus.NewDesc("varve_cost_dollars_total", "Cost of requests at list prices.",
		[]string{"purpose"}, prometheus.Labels{"service": "dynamodb"})
	pricesDesc = prometheus.NewDesc("varve_price_list_info", "1: the price list that dollars are counted by, and its date.",
		[]string{"list", "date"}, prometheus.Labels{"service": "dynamodb"})
	sessionDesc = prometheus.NewDesc("varve_session_item_bytes", "Size of the largest session item written, with key. From 1,024 on each commit costs two units; an alarm belongs at 900.", nil, nil)
)

// kind is which units an operation takes: they have a price each.
func kind(op string) string {
	if op == OpGet || op == OpQuery {
		return "read"
	}
	return "write"
}

// Describe implements prometheus.Collector.
func (s *Store) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsDesc, unitsDesc, dollarsDesc, pricesDesc, sessionDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *Store) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(pricesDesc, prometheus.GaugeValue, 1, "DynamoDB on demand, "+s.prices.Region, s.prices.Date)
	snap := s.Snapshot()
	dollars := map[metastore.Purpose]float64{}
	for _, l := range snap.labels() { // in order: sums of dollars that did not change are the same to the last bit
		c := snap.Counts[l]
		ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(c.Requests), l.Op, kind(l.Op), string(l.Purpose), l.Result)
		ch <- prometheus.MustNewConstMetric(unitsDesc, prometheus.CounterValue, c.ReadUnits+c.WriteUnits, l.Op, kind(l.Op), string(l.Purpose), l.Result)
		dollars[l.Purpose] += c.Dollars
	}
	for p, v := range dollars {
		ch <- prometheus.MustNewConstMetric(dollarsDesc, prometheus.CounterValue, v, string(p))
	}
	ch <- prometheus.MustNewConstMetric(sessionDesc, prometheus.GaugeValue, float64(snap.SessionBytes))
}
