//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestSeekByTime: every client finds the first record at or after a time, in every partition; a time beyond the last
// record finds the end.
func TestSeekByTime(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, addr string) {
		const partitions, each = 2, 300
		start := time.Now().Add(-time.Hour).Truncate(time.Second)
		createTopic(t, addr, "seek", partitions)
		var all []record
		for i := range each {
			for p := range partitions {
				all = append(all, record{partition: int32(p), offset: int64(i), millis: start.UnixMilli() + int64(10*i), value: fmt.Appendf(nil, "%d", i)})
			}
		}
		// In three batches, so that the place lies in the middle of one.
		for i := range 3 {
			n := len(all) / 3
			kgoClient{}.produce(t, addr, "seek", "zstd", all[i*n:(i+1)*n])
		}
		for _, c := range clients(t) {
			for _, first := range []int{0, 1, 155, each - 1, each} {
				t.Run(fmt.Sprintf("%s from record %d", c.name(), first), func(t *testing.T) {
					millis := start.UnixMilli() + int64(10*first) - 3 // between two records
					compareSuffix(t, c.consumeFrom(t, addr, "seek", millis), all, int64(first))
				})
			}
		}
	})
}

// compareSuffix wants the records of all from an offset on, per partition.
func compareSuffix(t *testing.T, got, all []record, first int64) {
	t.Helper()
	g := byPartition(got)
	for p, w := range byPartition(all) {
		w = w[first:]
		if len(g[p]) != len(w) {
			t.Errorf("partition %d: %d records, want %d", p, len(g[p]), len(w))
			continue
		}
		for i := range w {
			if diff := difference(g[p][i], w[i], w[i].offset); diff != "" {
				t.Fatalf("partition %d, record %d: %s", p, i, diff)
			}
		}
	}
}

// TestSeekToTheEnd: who starts at the end sees what comes after, and nothing before.
func TestSeekToTheEnd(t *testing.T) {
	onBrokers(t, func(t *testing.T, addr string) {
		createTopic(t, addr, "end", 1)
		old := []record{{value: []byte("a")}, {value: []byte("b")}, {value: []byte("c")}}
		kgoClient{}.produce(t, addr, "end", "none", old)
		if ends := (javaClient{sharedJava(t)}).ends(t, addr, "end"); ends[0] != 3 {
			t.Errorf("java: the end is at %d, want 3", ends[0])
		}
		cl := dial(t, addr, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"end": {0: kgo.NewOffset().AtEnd()}}))
		seen := make(chan *kgo.Record)
		go func() {
			defer close(seen)
			cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) { seen <- r })
		}()
		// The consumer may still be asking where the end is, so more than one record may have to come before it sees one.
		for i := int64(3); ; i++ {
			kgoClient{}.produce(t, addr, "end", "none", []record{{value: fmt.Appendf(nil, "new %d", i)}})
			select {
			case r := <-seen:
				if r.Offset < 3 || string(r.Value) != fmt.Sprintf("new %d", r.Offset) {
					t.Errorf("saw %q at offset %d", r.Value, r.Offset)
				}
				for range seen {
				}
				return
			case <-time.After(500 * time.Millisecond):
			}
		}
	})
}
