package simtest

import (
	"maps"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What was acked is read back, at its offset, after a graceful stop and after a crash, time and again.
func TestNothingAckedIsLost(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.createTopic("orders", 4)
	acked := map[string]place{}
	producer := w.client(kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	for round := range 6 {
		maps.Copy(acked, w.produce(producer, "orders", round*500, 500))
		if round%2 == 0 {
			w.crash()
		} else {
			w.stop()
		}
		w.start()
	}
	got := w.consume("orders", len(acked))
	if !maps.Equal(got, acked) {
		t.Fatalf("%d records read, %d acked, and they differ", len(got), len(acked))
	}
}
