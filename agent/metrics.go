package agent

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// collectorSet is the collectors of a session. It is a prometheus.Registerer, for the rooms, and drops out as a whole when the
// next session begins.
type collectorSet struct {
	mu  sync.Mutex
	all []prometheus.Collector
}

// Register adds a collector.
func (s *collectorSet) Register(c prometheus.Collector) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, c)
	return nil
}

// MustRegister adds collectors.
func (s *collectorSet) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		_ = s.Register(c) // never fails
	}
}

// Unregister does nothing: a session's collectors go with the session.
func (s *collectorSet) Unregister(prometheus.Collector) bool { return false }

// currentMetrics shows the collectors of the session that runs.
type currentMetrics struct{ set *atomic.Pointer[collectorSet] }

// Describe implements prometheus.Collector; it names nothing, because the session may change.
func (currentMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m currentMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.set.Load()
	if s == nil {
		return
	}
	s.mu.Lock()
	all := s.all
	s.mu.Unlock()
	for _, c := range all {
		c.Collect(ch)
	}
}
