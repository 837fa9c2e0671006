//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// five is an idempotent Java producer that keeps five small requests in flight on one connection.
var five = []string{"enable.idempotence=true", "max.in.flight.requests.per.connection=5", "batch.size=2000", "linger.ms=0"}

// numbered returns n records spread over partitions, each with its number.
func numbered(n, partitions int) []record {
	all := make([]record, n)
	for i := range all {
		all[i] = record{partition: int32(i % partitions), millis: time.Now().UnixMilli(), key: fmt.Appendf(nil, "%d", i), value: fmt.Appendf(nil, "record %d", i)}
	}
	return all
}

// TestIdempotentJavaProducerFiveInFlight: order and count hold with five requests in flight.
func TestIdempotentJavaProducerFiveInFlight(t *testing.T) {
	onBrokers(t, func(t *testing.T, addr string) {
		const partitions = 4
		createTopic(t, addr, "five", partitions)
		records := numbered(20_000, partitions)
		offsets := javaClient{sharedJava(t)}.produceWith(t, addr, "five", "lz4", records, five...)
		checkOffsets(t, offsets, records, 0)
		compare(t, kgoClient{}.consume(t, addr, "five"), records)
	})
}

// TestRestartBetween: what was written before a SIGTERM is there after it, and numbering goes on.
func TestRestartBetween(t *testing.T) {
	onStores(t, func(t *testing.T, a *agent) {
		const partitions = 3
		createTopic(t, a.addr, "restart", partitions)
		var want []record
		for round := range 3 {
			records := sample(uint64(round), partitions, time.Now().Add(-time.Minute))
			checkOffsets(t, kgoClient{}.produce(t, a.addr, "restart", "none", records), records, len(want)/partitions)
			want = append(want, records...)
			a.stop(t)
			a.start(t)
			compare(t, kgoClient{}.consume(t, a.addr, "restart"), want)
		}
	})
}

// TestRestartWhileJavaProduces: a SIGTERM in the middle of an idempotent producer's work, five requests in flight. The
// producer notices nothing but a delay: every record is acknowledged, once and in order.
func TestRestartWhileJavaProduces(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, a *agent) {
		const partitions, n = 2, 40_000
		createTopic(t, a.addr, "busy", partitions)
		records := numbered(n, partitions)
		java := javaClient{sharedJava(t)}
		done := make(chan []int64)
		go func() {
			defer close(done)
			done <- java.produceWith(t, a.addr, "busy", "none", records, append(five, "retry.backoff.ms=20", "reconnect.backoff.ms=20")...)
		}()
		written := waitWritten(t, a.addr, "busy", n/10)
		a.stop(t)
		a.start(t)
		checkOffsets(t, <-done, records, 0)
		compare(t, kgoClient{}.consume(t, a.addr, "busy"), records)
		t.Logf("stopped after %d of %d records", written, n)
	})
}

// waitWritten waits until the topic holds at least n records and returns how many it holds.
func waitWritten(t *testing.T, addr, topic string, n int64) int64 {
	t.Helper()
	admin := kadm.NewClient(dial(t, addr))
	defer admin.Close()
	for {
		ends, err := admin.ListEndOffsets(t.Context(), topic)
		if err == nil {
			err = ends.Error()
		}
		if err != nil {
			t.Fatalf("list end offsets of %s: %v", topic, err)
		}
		var sum int64
		ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
		if sum >= n {
			return sum
		}
		time.Sleep(5 * time.Millisecond)
	}
}
