package cluster

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what a session does about sessions and slots.
type Metrics struct {
	steps                           *prometheus.HistogramVec
	opening, open, draining, frozen atomic.Int64
	version, live                   atomic.Int64
	slots, view, sessions           *prometheus.Desc
}

func newMetrics() *Metrics {
	return &Metrics{
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "varve_failover_ms", Help: "Steps of fail-overs and of moves of slots, in ms: detect, fence, seal, assign, open, hand_over.",
			Buckets: []float64{5, 20, 50, 100, 250, 500, 1000, 2000, 5000, 10_000, 30_000},
		}, []string{"step"}),
		slots:    prometheus.NewDesc("varve_cluster_slots", "Slots that this agent holds, by state.", []string{"state"}, nil),
		view:     prometheus.NewDesc("varve_cluster_view_version", "Version of the slot map that this agent acts on.", nil, nil),
		sessions: prometheus.NewDesc("varve_cluster_live_sessions", "Live sessions that this agent sees, itself included.", nil, nil),
	}
}

func (m *Metrics) observe(s Step, took time.Duration) {
	m.steps.WithLabelValues(string(s)).Observe(float64(took) / float64(time.Millisecond))
}

// count takes over what the core knows after a step.
func (m *Metrics) count(c *Core) {
	var opening, open, moving int64
	for _, h := range c.held {
		switch {
		case h.state == isOpen:
			open++
		case h.state > isOpen:
			moving++
		default:
			opening++
		}
	}
	m.opening.Store(opening)
	m.open.Store(open)
	m.draining.Store(moving)
	m.frozen.Store(int64(len(c.frozen)))
	m.version.Store(c.version)
	if c.view != nil {
		m.live.Store(int64(len(c.view.Nodes)))
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.steps.Describe(ch)
	ch <- m.slots
	ch <- m.view
	ch <- m.sessions
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.steps.Collect(ch)
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	gauge(m.slots, m.opening.Load(), "opening")
	gauge(m.slots, m.open.Load(), "open")
	gauge(m.slots, m.draining.Load(), "draining")
	gauge(m.slots, m.frozen.Load(), "frozen")
	gauge(m.view, m.version.Load())
	gauge(m.sessions, m.live.Load())
}
