package kafka

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// counterValue reads a counter or a gauge.
func counterValue(m prometheus.Metric) float64 {
	var d dto.Metric
	if err := m.Write(&d); err != nil {
		return -1
	}
	if d.Gauge != nil {
		return d.Gauge.GetValue()
	}
	return d.Counter.GetValue()
}

// TestMetrics: requests, bytes and errors are counted by API, and no label is a client's word.
func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := newWorld(t, option{before: func(s *Server) { s.metrics = newMetrics(s.apis, reg) }})
	c := w.dial()
	req := producing(9, "client-chosen", batch(t, 1, 1))
	call[*kmsg.ProduceResponse](c, req)
	call[*kmsg.ProduceResponse](c, req)
	call[*kmsg.FetchResponse](c, fetching(11, "client-chosen", 0))
	call[*kmsg.ListOffsetsResponse](c, listing(7, "client-chosen", tsLatest))
	call[*kmsg.MetadataResponse](c, metadataOf(9, "client-chosen"))
	_ = c.nc.Close()
	eventually(t, "closed", func() bool { return len(w.s.conns()) == 0 })
	got := map[string]float64{}
	families, err := reg.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.Metric {
			name := strings.TrimPrefix(f.GetName(), "varve_kafka_")
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	frame := float64(len(encode(req, 1)))
	for name, want := range map[string]float64{
		"request_seconds Produce": 2, "received_bytes_total Produce": 2 * frame, "errors_total Produce 3": 2, "errors_total Fetch 3": 1,
		"errors_total ListOffsets 3": 1, "errors_total Metadata 3": 1, "requests_in_flight Produce": 0, "requests_in_flight Fetch": 0,
		"connections": 0, "panics_total": 0, "connections_closed_total client": 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	if got["sent_bytes_total Produce"] == 0 {
		t.Error("no bytes sent")
	}
	for name := range got {
		if strings.Contains(name, "chosen") {
			t.Errorf("label %s", name)
		}
	}
}

// TestWaitsForRoomAreCounted: a Produce request that the agent's buffer has no room for, and nothing besides it.
func TestWaitsForRoomAreCounted(t *testing.T) {
	w := newWorld(t, option{budget: 64 << 10, auto: true})
	w.topic("t", 1)
	c := w.dial()
	w.budget.Take(64 << 10)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		call[*kmsg.ProduceResponse](c, producing(9, "t", batch(t, 1, 100)))
	}()
	eventually(t, "it waits", w.budget.Contended)
	time.Sleep(20 * time.Millisecond) // what is to be counted
	w.budget.Release(64 << 10)
	<-answered
	call[*kmsg.FetchResponse](c, fetching(11, "t", 0))
	produce, fetch := w.s.lookup(keyProduce).m, w.s.lookup(keyFetch).m
	if ms, s := counterValue(produce.waited), counterValue(produce.throttled); ms < 20 || math.Abs(ms-1000*s) > 1e-6 {
		t.Errorf("%v ms, %v s", ms, s)
	}
	if ms, s := counterValue(fetch.waited), counterValue(fetch.throttled); ms != 0 || s != 0 {
		t.Errorf("requests that waited for nothing: %v ms, %v s", ms, s)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "rdkafka": "rdkafka", "a\x1b[31m\n\x00\xff": "a?[31m???", strings.Repeat("x", 1000): strings.Repeat("x", maxClient),
	} {
		if got := printable([]byte(in)); got != want {
			t.Errorf("%q is printed as %q", in, got)
		}
	}
}
