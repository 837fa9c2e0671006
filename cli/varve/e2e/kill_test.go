//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ack is what a producer was told: the number of a record in its partition, and its offset.
type ack struct {
	number, offset int64
}

// load is an idempotent producer that never stops by itself: numbered records, round-robin over partitions, acks=all.
// It keeps every acknowledgement.
type load struct {
	cl         *kgo.Client
	partitions int
	pause      time.Duration // between the records of a partition
	rate       int           // bytes a second to keep to instead; 0: none
	width      int           // of a record's last number, with zeros before it: about the bytes of a record
	stop       context.CancelFunc
	done       chan struct{}
	produced   atomic.Int64 // the highest number that was begun

	mu     sync.Mutex
	acked  [][]ack // by partition, in the order they came
	last   []int64 // by partition, the highest number acked
	failed []error // at most a few
}

// startLoad begins to produce. The pace is bounded, so that the check at the end stays short.
func startLoad(t *testing.T, addr, topic string, partitions int, opts ...kgo.Opt) *load {
	t.Helper()
	return startLoadEvery(t, time.Millisecond, addr, topic, partitions, opts...)
}

// startLoadEvery pauses between the records of a partition.
func startLoadEvery(t *testing.T, pause time.Duration, addr, topic string, partitions int, opts ...kgo.Opt) *load {
	t.Helper()
	l := &load{partitions: partitions, pause: pause, width: 100}
	l.start(t, addr, topic, opts...)
	return l
}

// start begins to produce, at the pace and with the sizes that are set.
func (l *load) start(t *testing.T, addr, topic string, opts ...kgo.Opt) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l.stop, l.done, l.acked, l.last = stop, make(chan struct{}), make([][]ack, l.partitions), make([]int64, l.partitions)
	l.cl = dial(t, addr, append(opts, kgo.DefaultProduceTopic(topic), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(2*time.Millisecond), kgo.MaxBufferedRecords(5000),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.MetadataMinAge(50*time.Millisecond))...)
	go l.run(ctx)
}

// loadValue is the value of a record.
func loadValue(partition int, number int64, width int) string {
	return fmt.Sprintf("%d %d %0*d", partition, number, width, number)
}

func (l *load) run(ctx context.Context) {
	defer close(l.done)
	begun, sent := time.Now(), 0
	for number := int64(0); ; number++ {
		l.produced.Store(number)
		for p := range l.partitions {
			r := &kgo.Record{Partition: int32(p), Value: []byte(loadValue(p, number, l.width))}
			sent += len(r.Value)
			// The record's own context never ends: what was begun is finished by flush.
			l.cl.Produce(context.Background(), r, func(r *kgo.Record, err error) { l.note(p, ack{number, r.Offset}, err) })
		}
		pause := l.pause
		if l.rate > 0 {
			pause = time.Duration(float64(sent)/float64(l.rate)*float64(time.Second)) - time.Since(begun)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (l *load) note(p int, a ack, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.acked[p] = append(l.acked[p], a)
		l.last[p] = max(l.last[p], a.number)
	} else if len(l.failed) < 10 {
		l.failed = append(l.failed, fmt.Errorf("partition %d, record %d: %w", p, a.number, err))
	}
}

// count returns how many records were acknowledged so far.
func (l *load) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, acks := range l.acked {
		n += len(acks)
	}
	return n
}

// finish stops and waits for the last acknowledgement.
func (l *load) finish(t *testing.T) {
	t.Helper()
	l.stop()
	<-l.done
	if err := l.cl.Flush(t.Context()); err != nil {
		t.Fatalf("flush: %v", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.failed {
		t.Errorf("a record was refused: %v", err)
	}
}

// check reads everything back: each acknowledged record is there exactly once, in order, at its offset, and nothing
// else is, for the producer gave up no record.
func (l *load) check(t *testing.T, addr, topic string) {
	t.Helper()
	got := byPartition(kgoClient{}.consume(t, addr, topic))
	for p, acks := range l.acked {
		records := got[int32(p)]
		if len(records) != len(acks) {
			t.Errorf("partition %d: %d records, %d were acknowledged", p, len(records), len(acks))
		}
		at := make(map[int64]string, len(records))
		for i, r := range records {
			at[r.offset] = string(r.value)
			if want := loadValue(p, int64(i), l.width); string(r.value) != want {
				t.Fatalf("partition %d: record %d is %.20q at offset %d, want %.20q: lost, twice or out of order", p, i, r.value, r.offset, want)
			}
		}
		for _, a := range acks {
			if want := loadValue(p, a.number, l.width); at[a.offset] != want {
				t.Fatalf("partition %d: record %d was acknowledged at offset %d, where %.20q is", p, a.number, a.offset, at[a.offset])
			}
		}
	}
}

// setting reads a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestKillLoop: one idempotent producer goes on while its agent is killed at random moments, some of them during its
// start, and started again on the same stores.
func TestKillLoop(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, a *agent) {
		rounds := setting(t, "VARVE_KILL_ROUNDS", 15)
		seed := setting(t, "VARVE_SEED", uint64(time.Now().UnixNano()))
		t.Logf("again: VARVE_SEED=%d VARVE_KILL_ROUNDS=%d", seed, rounds)
		rnd := rand.New(rand.NewPCG(seed, 0))
		const partitions = 4
		createTopic(t, a.addr, "kill", partitions)
		l := startLoad(t, a.addr, "kill", partitions)
		before := 0
		for range rounds {
			// At least one acknowledgement a round, or the loop would prove little.
			for n := l.count(); l.count() == n; {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Duration(rnd.IntN(700)) * time.Millisecond)
			a.kill(t)
			if rnd.IntN(3) == 0 {
				a.launch(t)
				time.Sleep(time.Duration(rnd.IntN(300)) * time.Millisecond)
				a.kill(t)
			}
			a.start(t)
			t.Logf("killed after %d acknowledgements more", l.count()-before)
			before = l.count()
		}
		l.finish(t)
		a.kill(t) // what was acknowledged last must survive as well
		a.start(t)
		l.check(t, a.addr, "kill")
		t.Logf("%d records acknowledged", l.count())
	})
}
