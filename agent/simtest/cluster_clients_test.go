package simtest

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// workload is clients that run until stopped. Their hosts are their names.
type workload struct {
	s         *clusterSim
	producers []*producer
	ctx       context.Context
	cancel    context.CancelFunc
	over      []chan struct{}
}

type producer struct {
	name   string
	client *kgo.Client
	n      map[tp]int
}

func (s *clusterSim) workload() *workload {
	w := &workload{s: s}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	s.loads = append(s.loads, w)
	return w
}

// goes runs f until the workload is stopped.
func (w *workload) goes(f func()) {
	done := make(chan struct{})
	w.over = append(w.over, done)
	go func() {
		defer close(done)
		f()
	}()
}

// producerClient is idempotent and never gives up: every record is acked once the cluster is well.
func (s *clusterSim) producerClient(name string) *kgo.Client {
	s.t.Helper()
	c := s.client(name, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0), kgo.ProduceRequestTimeout(5*time.Second), kgo.MaxBufferedRecords(5000))
	// The client asks for its id with a lock held that every broker's goroutine wants: with two of them the bubble's clock would
	// stand still for ever. So it is asked for while there is nothing to send.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, _, err := c.ProducerID(ctx); err != nil {
		s.t.Fatalf("%s gets no producer id: %v\n%s", name, err, s.seen.play())
	}
	return c
}

// produce starts a producer that writes a few records at a time to random partitions.
func (w *workload) produce(name string, parts []tp, every time.Duration) {
	p := &producer{name: name, client: w.s.producerClient(name), n: map[tp]int{}}
	w.producers = append(w.producers, p)
	seed := w.s.rng.Uint64()
	w.goes(func() {
		for i := uint64(0); w.ctx.Err() == nil; i++ {
			at := parts[(seed+i*7)%uint64(len(parts))]
			for range 1 + (seed>>8+i*5)%4 {
				w.s.send(w.ctx, p, at)
			}
			if sleepFor(w.ctx, every+time.Duration(i%97)*time.Millisecond+time.Duration(seed%1009)) != nil {
				return
			}
		}
	})
}

// send produces one record. The answer goes to the history.
func (s *clusterSim) send(ctx context.Context, p *producer, at tp) {
	x := s.seen.begin(at, p.name, p.n[at])
	p.n[at]++
	// The client's own context never ends: a record that was begun is delivered.
	p.client.Produce(context.WithoutCancel(ctx), &kgo.Record{Topic: at.topic, Partition: at.partition, Value: []byte(x.value)}, func(r *kgo.Record, err error) {
		s.seen.end(x, r.Offset, err)
	})
}

// consume starts a reader from the begin of each partition, by assignment.
func (w *workload) consume(name string, parts []tp) {
	at := map[string]map[int32]kgo.Offset{}
	for _, p := range parts {
		if at[p.topic] == nil {
			at[p.topic] = map[int32]kgo.Offset{}
		}
		at[p.topic][p.partition] = kgo.NewOffset().At(0)
	}
	c := w.s.client(name, kgo.ConsumePartitions(at), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(500*time.Millisecond))
	w.goes(func() {
		for w.ctx.Err() == nil {
			asked := time.Since(w.s.begun)
			w.s.take(name, asked, c.PollFetches(w.ctx))
		}
	})
}

// take gives what was fetched to the history.
func (s *clusterSim) take(reader string, asked time.Duration, fs kgo.Fetches) {
	fs.EachError(func(topic string, partition int32, err error) {
		if ctxOver(err) || kgo.IsRetryableBrokerErr(err) {
			return
		}
		s.violation("%s of %s-%d: %v", reader, topic, partition, err)
	})
	fs.EachPartition(func(p kgo.FetchTopicPartition) {
		at := tp{p.Topic, p.Partition}
		for _, r := range p.Records {
			s.seen.read(reader, at, seenRecord{r.Offset, r.LeaderEpoch, string(r.Value)}, p.HighWatermark)
		}
		if n := len(p.Records); n > 0 {
			last := p.Records[n-1]
			s.seen.look(look{at, len(reader), asked, time.Since(s.begun), last.Offset, string(last.Value)})
		}
		if p.Err == nil && p.HighWatermark > 0 {
			s.seen.watermark(reader, at, p.HighWatermark)
		}
	})
}

func ctxOver(err error) bool {
	return err == context.Canceled || err == context.DeadlineExceeded || err == kgo.ErrClientClosed
}

// stop ends the workload: producers deliver what they have, within limit.
func (w *workload) stop(limit time.Duration) {
	w.s.t.Helper()
	w.halt()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, p := range w.producers {
		if err := p.client.Flush(ctx); err != nil {
			w.s.violation("V17: %s has records that were not acked %v after all was well: %d open: %v", p.name, limit, w.s.seen.open(), err)
		}
	}
	w.s.seen.mu.Lock()
	defer w.s.seen.mu.Unlock()
	for _, x := range w.s.seen.sends {
		if x.failed != nil {
			w.s.violation("V16: the client gave up on %s: %v", x.value, x.failed)
		}
	}
}

// halt ends the goroutines.
func (w *workload) halt() {
	w.cancel()
	for _, done := range w.over {
		<-done
	}
}

// readAll reads every partition to its end, and to every acked offset, as the log at the end.
func (s *clusterSim) readAll(parts []tp, limit time.Duration) {
	s.t.Helper()
	w := s.workload()
	ctx, cancel := context.WithTimeout(w.ctx, limit)
	defer cancel()
	want := map[tp]int64{}
	s.seen.mu.Lock()
	for _, x := range s.seen.sends {
		want[x.tp] = max(want[x.tp], x.offset+1)
	}
	s.seen.mu.Unlock()
	w.consume("final", parts)
	for {
		left := ""
		s.seen.mu.Lock()
		for _, p := range parts {
			if st := s.seen.state("final", p); st.next < max(want[p], st.hw) || st.hw == 0 && want[p] > 0 {
				left = fmt.Sprintf("%v: read to %d, high watermark %d, acked to %d", p, st.next, st.hw, want[p])
			}
		}
		s.seen.mu.Unlock()
		if left == "" {
			break
		}
		if err := sleepFor(ctx, 100*time.Millisecond); err != nil {
			s.violation("V1: the last reader is stuck: %s", left)
			break
		}
	}
	w.halt()
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	for _, p := range parts {
		s.seen.final[p] = append([]seenRecord{}, s.seen.state("final", p).got...)
	}
}
