package bench

import (
	"slices"
	"testing"
	"time"
)

// What rewriting reads while records are served from memory is nothing that readers were served from.
func TestServedFromMemory(t *testing.T) {
	d := Series{
		`varve_kafka_sent_bytes_total{api="Fetch"}`:                       1000,
		`varve_s3_bytes_total{op="get",purpose="tail",result="ok"}`:       50,
		`varve_s3_bytes_total{op="get",purpose="catchup",result="ok"}`:    150,
		`varve_s3_bytes_total{op="get",purpose="rewrite",result="ok"}`:    900,
		`varve_s3_bytes_total{op="put",purpose="catchup",result="ok"}`:    7,
		`varve_s3_bytes_total{op="get",purpose="recover",result="other"}`: 7,
	}
	r := &Report{}
	now := time.Now()
	costs{r: r, d: d, w: window{from: sight{at: now}, to: sight{at: now.Add(time.Second)}}, gib: 1, gb: 1, known: true}.requests()
	i := slices.IndexFunc(r.Measures, func(m Measure) bool { return m.Name == "served_from_memory_percent" })
	if i < 0 || r.Measures[i].Value == nil || *r.Measures[i].Value != 80 {
		t.Errorf("%+v", r.Measures)
	}
}
