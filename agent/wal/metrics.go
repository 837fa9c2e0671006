package wal

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/varvelog/varve/objstore"
)

// Metrics are the log's counters. It is a prometheus.Collector.
type Metrics struct {
	bytes, runs, wait, putTime, commit, blocked, flushesPerCommit prometheus.Histogram
	inFlight                                                      prometheus.Gauge
	hedges, won, wasted, retries                                  *prometheus.CounterVec
	snapshotBytes, footers                                        prometheus.Counter
	all                                                           []prometheus.Collector
}

func newMetrics() *Metrics {
	m := &Metrics{}
	histogram := func(name, help string, start, factor float64, n int) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(start, factor, n)})
		m.all = append(m.all, h)
		return h
	}
	m.bytes = histogram("varve_flush_bytes", "Size of a WAL bundle in bytes.", 1<<10, 4, 9)
	m.runs = histogram("varve_flush_runs", "Runs, so partitions, in a WAL bundle.", 1, 4, 9)
	m.wait = histogram("varve_flush_wait_ms", "From the flush before to the cut of this one, in ms.", 1, 2, 14)
	m.putTime = histogram("varve_flush_put_ms", "From the cut of a bundle until it is durable, in ms.", 1, 2, 16)
	m.commit = histogram("varve_flush_commit_ms", "One conditional update of the session item, in ms.", 1, 2, 14)
	m.blocked = histogram("varve_flush_blocked_ms", "A durable bundle waiting for its commit, in ms.", 1, 2, 16)
	m.flushesPerCommit = histogram("varve_commit_flushes", "Bundles that one commit covers.", 1, 2, 7)
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "varve_flush_in_flight", Help: "Bundles cut and not committed."})
	m.hedges = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "varve_hedge_sent_total", Help: "Second requests for what was slow."}, []string{"op"})
	m.won = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "varve_hedge_won_total", Help: "Second requests that were done before the first."}, []string{"op"})
	m.wasted = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "varve_hedge_wasted_total", Help: "Second requests that were not needed, or failed too."}, []string{"op"})
	m.retries = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "varve_flush_retries_total", Help: "PUTs of bundles that did not succeed and were repeated."}, []string{"reason"})
	m.snapshotBytes = prometheus.NewCounter(prometheus.CounterOpts{Name: "varve_snapshot_bytes_total", Help: "Bytes of snapshots written."})
	m.footers = prometheus.NewCounter(prometheus.CounterOpts{Name: "varve_replay_footers_total", Help: "Footers read to open slots: what their last snapshots did not hold."})
	m.all = append(m.all, m.footers, m.inFlight, m.hedges, m.won, m.wasted, m.retries, m.snapshotBytes)
	return m
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all {
		c.Collect(ch)
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (m *Metrics) cut(f *flush) {
	m.inFlight.Inc()
	m.bytes.Observe(float64(f.body.Len()))
	m.runs.Observe(float64(len(f.footer.Runs)))
	if !f.before.IsZero() {
		m.wait.Observe(ms(f.cut.Sub(f.before)))
	}
}

// hedged counts a second PUT when the outcome is known.
func (m *Metrics) hedged(won bool) {
	m.hedges.WithLabelValues("put").Inc()
	if won {
		m.won.WithLabelValues("put").Inc()
	} else {
		m.wasted.WithLabelValues("put").Inc()
	}
}

func (m *Metrics) retried(err error) {
	reason := "unknown"
	switch {
	case errors.Is(err, objstore.ErrThrottled):
		reason = "throttled"
	case errors.Is(err, objstore.ErrRefused):
		reason = "refused"
	case errors.Is(err, objstore.ErrCorrupt):
		reason = "corrupt"
	}
	m.retries.WithLabelValues(reason).Inc()
}

func (m *Metrics) committed(flushes uint64, d time.Duration) {
	m.commit.Observe(ms(d))
	if flushes > 0 {
		m.flushesPerCommit.Observe(float64(flushes))
	}
}

func (m *Metrics) done(f *flush) {
	m.inFlight.Dec()
	m.putTime.Observe(ms(f.landed.Sub(f.cut)))
	m.blocked.Observe(ms(time.Since(f.landed)))
}

func (m *Metrics) snapshot(n int) { m.snapshotBytes.Add(float64(n)) }

// Replayed counts what a replay has read for this session.
func (m *Metrics) Replayed(s Stats) { m.footers.Add(float64(s.Footers)) }
