package agent

import "github.com/prometheus/client_golang/prometheus"

// gauges reads what the rooms hold when Prometheus asks.
type gauges struct {
	s                                  *session
	buffer, cacheUse, slots, committed *prometheus.Desc
}

// bufferHelp says what each kind of bytes is. METRICS.md says more of them.
const bufferHelp = "Bytes held in memory, by kind: buffer, of the budget (writes); in_flight, of these, bundles cut and not committed; cache; " +
	"pool, of all buffers in use; kept, buffers that wait for use."

func newGauges(s *session) *gauges {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &gauges{
		s:         s,
		buffer:    desc("varve_buffer_bytes", bufferHelp, "kind"),
		cacheUse:  desc("varve_cache_blocks_total", "Reads of blocks from the cache, by result.", "result"),
		slots:     desc("varve_slots_led", "Slots that this agent serves."),
		committed: desc("varve_committed_seq", "Last committed bundle of this session."),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.buffer, g.cacheUse, g.slots, g.committed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	stats := g.s.reader.Stats()
	gauge(g.buffer, float64(g.s.budget.Used()), "buffer")
	gauge(g.buffer, float64(g.s.wal.InFlight()), "in_flight")
	gauge(g.buffer, float64(stats.Bytes), "cache")
	gauge(g.buffer, float64(g.s.pool.Outstanding()), "pool")
	gauge(g.buffer, float64(g.s.pool.Kept()), "kept")
	for result, n := range map[string]int64{"hit": stats.Hits, "miss": stats.Misses, "joined": stats.Joined, "evicted": stats.Evicted} {
		ch <- prometheus.MustNewConstMetric(g.cacheUse, prometheus.CounterValue, float64(n), result)
	}
	open := 0
	_, serving := g.s.parts.Slots()
	for _, yes := range serving {
		if yes {
			open++
		}
	}
	gauge(g.slots, float64(open))
	gauge(g.committed, float64(g.s.wal.Committed()))
}
