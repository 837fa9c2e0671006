package peer

import "github.com/prometheus/client_golang/prometheus"

// metrics of a mesh. Labels are ours, never what a stranger sent.
type metrics struct {
	links             prometheus.Gauge
	ping              prometheus.Histogram
	dials, gone, ends *prometheus.CounterVec
	strangers         *prometheus.CounterVec
	merged            prometheus.Counter
	in, out           prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "varve_peer_" + name, Help: help}, []string{label})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "varve_peer_" + name, Help: help})
	}
	m := &metrics{
		links: prometheus.NewGauge(prometheus.GaugeOpts{Name: "varve_peer_links", Help: "Links to other agents that are up."}),
		ping: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "varve_peer_ping_seconds", Help: "From a ping to its pong.",
			Buckets: prometheus.ExponentialBuckets(.0001, 2, 16)}),
		dials:     vec("dials_total", "Dials of other agents, by result.", "result"),
		gone:      vec("gone_total", "Sessions found gone by a redial.", "why"),
		ends:      vec("links_lost_total", "Links that ended, by reason.", "reason"),
		strangers: vec("refused_total", "Connections to the peer port that were not served, by reason.", "reason"),
		merged:    counter("notices_merged_total", "Notices that waited for a slow peer and went into a newer one."),
		in:        counter("received_bytes_total", "Bytes of frames received."),
		out:       counter("sent_bytes_total", "Bytes of frames sent."),
	}
	if reg != nil {
		reg.MustRegister(m.links, m.ping, m.dials, m.gone, m.ends, m.strangers, m.merged, m.in, m.out)
	}
	return m
}
