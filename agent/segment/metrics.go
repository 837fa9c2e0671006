package segment

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// Metrics is what a Room tells of itself: a prometheus.Collector.
type Metrics struct {
	objects, bytes  *prometheus.CounterVec
	extents, failed prometheus.Counter
	merged          prometheus.Counter
	damaged         prometheus.Counter
	unsegmented     *prometheus.Desc
	oldest          *prometheus.Desc
	lag             *prometheus.Desc
	lagBytes        *prometheus.Desc
	lagSeconds      *prometheus.Desc
	deleted         prometheus.Counter
	moves           prometheus.Counter
	expiredRecords  prometheus.Counter
	expiredBytes    prometheus.Counter

	mu struct {
		sync.Mutex
		tail  int64 // bytes in tails
		age   int64 // ms of the oldest record there
		queue backlog
	}
}

// backlog is what lies in the garbage queue of the shards that are looked after here.
type backlog struct {
	objects, bytes int64
	late           int64 // ms since the oldest of them could have been deleted
}

func newMetrics() *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &Metrics{
		objects:        prometheus.NewCounterVec(prometheus.CounterOpts{Name: "varve_rewritten_objects_total", Help: "Packs and segments written, by kind."}, []string{"kind"}),
		bytes:          prometheus.NewCounterVec(prometheus.CounterOpts{Name: "varve_rewritten_bytes_total", Help: "Bytes of packs and segments written, by kind."}, []string{"kind"}),
		extents:        counter("varve_extents_linked_total", "Segments that the table names."),
		merged:         counter("varve_segments_merged_total", "Small segments whose place larger ones have taken."),
		failed:         counter("varve_rewrite_failures_total", "Packs, segments or deletions that failed and are tried again."),
		damaged:        counter("varve_rewrite_damaged_total", "Partitions that could not be rewritten because stored records are damaged or gone. An alarm."),
		deleted:        counter("varve_gc_deleted_total", "Objects deleted from the garbage queue."),
		moves:          counter("varve_retention_moves_total", "Log starts moved because records were too old or a partition too large."),
		expiredRecords: counter("varve_retention_expired_records_total", "Records that log starts were moved past, counted by their offsets."),
		expiredBytes:   counter("varve_retention_expired_bytes_total", "Bytes of batches that log starts were moved past."),
		unsegmented:    desc("varve_unsegmented_bytes", "Bytes of led partitions that are in no segment yet."),
		oldest:         desc("varve_unsegmented_seconds", "Age of the oldest record of led partitions that is in no segment yet."),
		lag:            desc("varve_gc_lag_objects", "Objects in the garbage queue."),
		lagBytes:       desc("varve_gc_lag_bytes", "Bytes of objects in the garbage queue, as far as known."),
		lagSeconds:     desc("varve_gc_lag_seconds", "For how long the oldest object of the garbage queue could have been deleted."),
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{m.unsegmented, m.oldest, m.lag, m.lagBytes, m.lagSeconds} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
	m.mu.Lock()
	tail, age, q := m.mu.tail, m.mu.age, m.mu.queue
	m.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(m.unsegmented, float64(tail))
	gauge(m.oldest, float64(age)/1000)
	gauge(m.lag, float64(q.objects))
	gauge(m.lagBytes, float64(q.bytes))
	gauge(m.lagSeconds, float64(q.late)/1000)
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.objects, m.bytes, m.extents, m.merged, m.failed, m.damaged, m.deleted, m.moves, m.expiredRecords, m.expiredBytes}
}

func (m *Metrics) wrote(kind bundle.Kind, size int) {
	m.objects.WithLabelValues(kind.String()).Inc()
	m.bytes.WithLabelValues(kind.String()).Add(float64(size))
}

// expired counts a log start that retention has moved.
func (m *Metrics) expired(records, bytes int64) {
	m.moves.Inc()
	m.expiredRecords.Add(float64(records))
	m.expiredBytes.Add(float64(bytes))
}

func (m *Metrics) linked(*records.Extent) { m.extents.Inc() }

// see takes note of the tails.
func (m *Metrics) see(tails []Tail, l *ledger, now int64) {
	var bytes, age int64
	for i := range tails {
		bytes += tails[i].Bytes
		if tails[i].Runs > 0 {
			age = max(age, now-l.of(&tails[i]).since)
		}
	}
	m.mu.Lock()
	m.mu.tail, m.mu.age = bytes, age
	m.mu.Unlock()
}

func (m *Metrics) queued(b backlog) {
	m.mu.Lock()
	m.mu.queue = b
	m.mu.Unlock()
}
