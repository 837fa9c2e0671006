package bench

import (
	"context"
	"fmt"
	"maps"
	"math"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Sizes of a reader's requests: what a consumer of much data would set.
const (
	fetchBytes          = 50 << 20
	fetchPartitionBytes = 8 << 20
)

// reader reads every partition of a topic from some offsets on, and checks what it sees. All of it belongs to the goroutine of
// run but read and position.
type reader struct {
	cl       *kgo.Client
	check    *checker
	phase    func(intended time.Time) int // of the run; nil, or below 0: it is not measured
	consumed []Histogram                  // by phase: from the intended time of sending to here
	crossed  []Histogram                  // likewise in the first, by the zone of the producer; empty: zones are not told apart
	service  requestTimes
	read     *atomic.Int64 // records
	wants    atomic.Pointer[map[int32]int64]
	at       map[int32]int64 // by partition: the offset after the last record seen
}

// newReader opens the nth client that reads topic from the offsets in from, by partition.
func (t Target) newReader(n int, run uint32, topic string, from map[int32]int64, read *atomic.Int64, phase func(time.Time) int) (*reader, error) {
	offsets := map[int32]kgo.Offset{}
	for p, at := range from {
		offsets[p] = kgo.NewOffset().At(at)
	}
	r := &reader{check: newChecker(run), phase: phase, read: read, at: maps.Clone(from)}
	r.service.key, r.service.counts = fetchKey, func(time.Time) bool { return true }
	if zones := t.zones(); len(zones) > 1 {
		r.crossed = make([]Histogram, len(zones))
	}
	cl, err := t.dial(t.zoneOf(n), kgo.WithHooks(&r.service), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(fetchBytes), kgo.FetchMaxPartitionBytes(fetchPartitionBytes))
	if err != nil {
		return nil, err
	}
	r.cl = cl
	return r, nil
}

// until tells the reader to end once it has seen everything below the offsets in ends.
func (r *reader) until(ends map[int32]int64) { r.wants.Store(&ends) }

// done reports whether everything that until asked for was seen.
func (r *reader) done() bool {
	ends := r.wants.Load()
	if ends == nil {
		return false
	}
	for p, end := range *ends {
		if r.at[p] < end {
			return false
		}
	}
	return true
}

// pollTime bounds one wait for records, so that a reader that has seen everything learns that it may end.
const pollTime = 100 * time.Millisecond

// run reads until it is done or ctx ends. Errors that the client does not repeat by itself end it.
func (r *reader) run(ctx context.Context) error {
	for !r.done() {
		pctx, cancel := context.WithTimeout(ctx, pollTime)
		fetches := r.cl.PollFetches(pctx)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, e := range fetches.Errors() {
			if e.Err != context.DeadlineExceeded {
				return fmt.Errorf("read partition %d: %w", e.Partition, e.Err)
			}
		}
		now, ends := time.Now(), r.wants.Load()
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			end := int64(math.MaxInt64) // beyond it writes somebody who still does
			if ends != nil {
				end = (*ends)[p.Partition]
			}
			r.see(p.Partition, p.Records, end, now)
		})
	}
	return nil
}

// see checks records of a partition up to an offset. Nothing in it is looked up for each record: what it costs, the server can't have.
func (r *reader) see(partition int32, records []*kgo.Record, end int64, now time.Time) {
	n := int64(0)
	for _, rec := range records {
		if rec.Offset >= end {
			break
		}
		n++
		s, ok := r.check.see(partition, rec.Value)
		if ok && r.phase != nil {
			r.note(now, s)
		}
	}
	if n > 0 {
		r.at[partition] = records[n-1].Offset + 1
		r.read.Add(n)
	}
}

// note observes how long a record took.
func (r *reader) note(now time.Time, s stamp) {
	intended := time.Unix(0, s.intended)
	phase := r.phase(intended)
	if phase < 0 {
		return
	}
	for len(r.consumed) <= phase {
		r.consumed = append(r.consumed, Histogram{})
	}
	r.consumed[phase].Observe(now.Sub(intended))
	if phase == 0 && len(r.crossed) > 0 {
		r.crossed[int(s.producer)%len(r.crossed)].Observe(now.Sub(intended))
	}
}
