package segment

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// SweepMetrics is what a Sweeper tells of itself: a prometheus.Collector.
type SweepMetrics struct {
	objects, bytes, failed prometheus.Counter
	waiting, last          *prometheus.Desc

	suspects atomic.Int64
	at       atomic.Int64 // s since 1970
}

func newSweepMetrics() *SweepMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &SweepMetrics{
		objects: counter("varve_sweep_orphans_total", "Objects that nothing named, queued for deletion."),
		bytes:   counter("varve_sweep_orphan_bytes_total", "Bytes of objects that nothing named, queued for deletion."),
		failed:  counter("varve_sweep_failures_total", "Looks for objects without a name that failed."),
		waiting: desc("varve_sweep_suspects", "Objects that looked like orphans at the last look of this agent and wait for the next one; also what is in the garbage queue."),
		last:    desc("varve_sweep_last_look_seconds", "When this agent went through the whole bucket last, in seconds since 1970; 0: not yet."),
	}
}

// looked notes that a look came to its end.
func (m *SweepMetrics) looked(at time.Time, suspects int) {
	m.suspects.Store(int64(suspects))
	m.at.Store(at.Unix())
}

// Describe implements prometheus.Collector.
func (m *SweepMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range []prometheus.Collector{m.objects, m.bytes, m.failed} {
		c.Describe(ch)
	}
	ch <- m.waiting
	ch <- m.last
}

// Collect implements prometheus.Collector.
func (m *SweepMetrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{m.objects, m.bytes, m.failed} {
		c.Collect(ch)
	}
	ch <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(m.suspects.Load()))
	ch <- prometheus.MustNewConstMetric(m.last, prometheus.GaugeValue, float64(m.at.Load()))
}
