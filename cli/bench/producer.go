package bench

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// slabBytes is how much memory a producer takes at once for the values of records, unless one record is larger.
const slabBytes = 1 << 20

// maxFailed bounds how many records of a producer may fail before it gives up.
const maxFailed = 1 << 16

// producer sends the records of one client. What is below "answers" belongs to the goroutine of the client that calls
// answered, all else to run, until the client is closed.
type producer struct {
	load    Load
	id, run uint32
	began   time.Time
	cl      *kgo.Client
	rng     *rand.Rand
	fill    []byte
	slab    []byte
	at      int32    // the partition that gets records now
	left    int      // how many more it gets
	numbers []uint64 // by partition: of the next record
	sent    *atomic.Int64
	acked   *atomic.Int64
	latest  []atomic.Int64     // by partition: when the record that was acknowledged last was handed to the client, Unix time in ns
	gaps    []gap              // those of the stage
	gone    context.CancelFunc // ends the run: there is no point in going on

	answers struct {
		ackIntended, ackSent, delay Histogram
		last                        []int64 // by partition: the offset acknowledged last
		failed                      map[stream]map[uint64]struct{}
		failures                    int
		disordered                  int64
		drift                       drift
		err                         error // the first
	}
	service requestTimes
}

// measured reports whether a moment is neither in the warm-up nor after the end.
func (p *producer) measured(at time.Time) bool {
	since := at.Sub(p.began)
	return since >= p.load.Warmup && since < p.load.Warmup+p.load.Duration
}

// send runs until the time is over or enough was sent, and leaves with records unanswered: they live on with theirs, which is
// the context of the run.
func (p *producer) send(ctx, theirs context.Context) {
	end := p.load.Warmup + p.load.Duration
	quota := int64(-1)
	if p.load.Limit > 0 {
		quota = max(1, p.load.Limit/int64(p.load.Size)/int64(p.load.Producers))
	}
	var when *schedule
	if p.load.Rate > 0 {
		when = newSchedule(p.load.Seed, uint64(p.id), p.load.Rate/float64(p.load.Producers))
	}
	for n := int64(0); n != quota && ctx.Err() == nil; n++ {
		due := time.Since(p.began)
		if when != nil {
			due = when.take()
		}
		if !sleepUntil(ctx, p.began.Add(min(due, end))) || due >= end {
			return
		}
		p.one(theirs, p.began.Add(due))
	}
}

// sleepUntil returns false if ctx ended first.
func sleepUntil(ctx context.Context, at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// one sends one record. It blocks while the client holds as many as it may.
func (p *producer) one(ctx context.Context, intended time.Time) {
	if p.left == 0 {
		p.at, p.left = p.rng.Int32N(int32(p.load.Partitions)), 1
		if p.load.Spread == SpreadSticky {
			p.left = p.load.batchRecords()
		}
	}
	p.left--
	value := p.carve()
	s := stamp{run: p.run, producer: p.id, number: p.numbers[p.at], intended: intended.UnixNano(), sent: time.Now().UnixNano()}
	s.write(value)
	p.numbers[p.at]++
	p.sent.Add(1)
	p.cl.Produce(ctx, &kgo.Record{Partition: p.at, Value: value}, p.answered)
}

// carve returns memory for one value, filled.
func (p *producer) carve() []byte {
	n := p.load.Size
	if len(p.slab) < n {
		p.slab = make([]byte, max(slabBytes, n))
	}
	value := p.slab[:n:n]
	p.slab = p.slab[n:]
	copy(value[MinRecord:], p.fill[MinRecord:])
	return value
}

// answered is called for each record, one after the other.
func (p *producer) answered(r *kgo.Record, err error) {
	now := time.Now()
	s, a := readStamp(r.Value), &p.answers
	if err != nil {
		p.failed(stream{p.id, r.Partition}, s.number, err)
		return
	}
	p.acked.Add(1)
	p.latest[r.Partition].Store(s.sent)
	if len(p.gaps) > 0 {
		p.gaps[r.Partition].note(now.UnixNano())
	}
	if p.load.Acks != AcksNone {
		if r.Offset <= a.last[r.Partition] {
			a.disordered++
		}
		a.last[r.Partition] = r.Offset
	}
	if p.measured(time.Unix(0, s.intended)) {
		a.ackIntended.Observe(time.Duration(now.UnixNano() - s.intended))
		a.drift.observe(time.Duration(s.intended-p.began.UnixNano())-p.load.Warmup, p.load.Duration, time.Duration(now.UnixNano()-s.intended))
		a.ackSent.Observe(time.Duration(now.UnixNano() - s.sent))
		a.delay.Observe(time.Duration(s.sent - s.intended))
	}
}

// failed notes a record that was not acknowledged.
func (p *producer) failed(id stream, number uint64, err error) {
	a := &p.answers
	if a.err == nil {
		a.err = err
	}
	if a.failed[id] == nil {
		a.failed[id] = map[uint64]struct{}{}
	}
	a.failed[id][number] = struct{}{}
	if a.failures++; a.failures == maxFailed {
		p.gone()
	}
}

// written is what p knows of its streams. To be called after the client is closed.
func (p *producer) written(into map[stream]written) {
	for partition, n := range p.numbers {
		if n > 0 {
			id := stream{p.id, int32(partition)}
			into[id] = written{sent: n, failed: p.answers.failed[id]}
		}
	}
}
