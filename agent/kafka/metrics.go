package kafka

import (
	"errors"
	"io"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// metrics of a server. Labels are keys of the table and Kafka's error codes, never what a client chose.
type metrics struct {
	connections prometheus.Gauge
	panics      prometheus.Counter
	ends        *prometheus.CounterVec // by reason
	across      *prometheus.CounterVec // bytes, by zones
}

// keyMetrics are those of one API.
type keyMetrics struct {
	inFlight  prometheus.Gauge
	bytesIn   prometheus.Counter
	bytesOut  prometheus.Counter
	seconds   prometheus.Observer // counts the requests too
	throttled prometheus.Counter  // seconds
	waited    prometheus.Counter  // likewise, in ms, of all APIs that draw on the same bytes

	errors *prometheus.CounterVec
	name   string
	mu     sync.Mutex
	byCode map[int16]prometheus.Counter // bounded by the codes there are
}

func newMetrics(apis []api, reg prometheus.Registerer) *metrics {
	const api = "api"
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "varve_kafka_" + name, Help: help}, labels)
	}
	inFlight := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "varve_kafka_requests_in_flight",
		Help: "Requests admitted whose answer is not written."}, []string{api})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "varve_kafka_request_seconds",
		Help:    "Time from the first byte of a request to the end of the write of its answer.",
		Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .3, .5, 1, 2, 5, 10, 30}}, []string{api})
	in := counter("received_bytes_total", "Bytes of requests.", api)
	out := counter("sent_bytes_total", "Bytes of answers.", api)
	throttled := counter("throttle_seconds_total", "Time that requests waited for room before they were read.", api)
	errs := counter("errors_total", "Error codes in answers, also those of single partitions.", api, "code")
	m := &metrics{
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "varve_kafka_connections", Help: "Open connections."}),
		panics:      prometheus.NewCounter(prometheus.CounterOpts{Name: "varve_kafka_panics_total", Help: "Connections closed by a fault of the server."}),
		ends:        counter("connections_closed_total", "Connections closed, by reason.", "reason"),
	}
	m.across = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "varve_xzone_bytes_total",
		Help: "Bytes to and from clients that say they are in another zone."}, []string{"src", "dst", "purpose"})
	waited := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "varve_throttle_ms_total",
		Help: "Time that requests waited for room before they were read, in ms: Produce in the agent's buffer, all others in the reserve."}, []string{"kind"})
	for i := range apis {
		name, kind := apis[i].name, "reserve"
		if apis[i].key == keyProduce {
			kind = "buffer"
		}
		apis[i].m = &keyMetrics{
			inFlight: inFlight.WithLabelValues(name), seconds: seconds.WithLabelValues(name),
			bytesIn: in.WithLabelValues(name), bytesOut: out.WithLabelValues(name),
			throttled: throttled.WithLabelValues(name), waited: waited.WithLabelValues(kind), errors: errs, name: name, byCode: map[int16]prometheus.Counter{},
		}
	}
	if reg != nil {
		reg.MustRegister(m.connections, m.panics, m.ends, m.across, waited, inFlight, seconds, in, out, throttled, errs)
	}
	return m
}

// closed counts the end of a connection.
func (m *metrics) closed(err error) {
	reason := "network"
	for _, r := range []struct {
		err    error
		reason string
	}{
		{io.EOF, "client"}, {errOver, "server"}, {errDrained, "shutdown"}, {errIdle, "idle"}, {errVersion, "version"},
		{errSize, "size"}, {errMalformed, "malformed"}, {errPanic, "panic"},
	} {
		if errors.Is(err, r.err) {
			reason = r.reason
			break
		}
	}
	m.ends.WithLabelValues(reason).Inc()
}

// held counts what a request waited for room.
func (k *keyMetrics) held(d time.Duration) {
	k.throttled.Add(d.Seconds())
	k.waited.Add(float64(d) / float64(time.Millisecond))
}

// observe counts a request whose answer was written.
func (k *keyMetrics) observe(d time.Duration, size int64) {
	k.seconds.Observe(d.Seconds())
	k.bytesOut.Add(float64(size))
}

// fail counts an error code of an answer.
func (k *keyMetrics) fail(code int16) {
	if code == codeNone {
		return
	}
	k.mu.Lock()
	c, ok := k.byCode[code]
	if !ok {
		c = k.errors.WithLabelValues(k.name, strconv.Itoa(int(code)))
		k.byCode[code] = c
	}
	k.mu.Unlock()
	c.Inc()
}

// count counts the error codes of a response.
func (k *keyMetrics) count(resp kmsg.Response) {
	if r, ok := resp.(*kmsg.MetadataResponse); ok { // large, and frequent
		for i := range r.Topics {
			k.fail(r.Topics[i].ErrorCode)
		}
		return
	}
	k.countIn(reflect.ValueOf(resp).Elem())
}

func (k *keyMetrics) countIn(v reflect.Value) {
	if f := v.FieldByName("ErrorCode"); f.IsValid() {
		k.fail(int16(f.Int()))
	}
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct {
			for j := range f.Len() {
				k.countIn(f.Index(j))
			}
		}
	}
}
