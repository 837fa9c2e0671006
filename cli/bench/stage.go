package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/client"
)

// stage is one run: its topic, who writes, who reads.
type stage struct {
	Target
	load      Load
	live      *Live
	c         *client.Client
	topic     string
	run       uint32
	producers []*producer    // of the last start
	before    []*producer    // of all starts before
	wg        sync.WaitGroup // of the producers' goroutines
	sent      chan struct{}  // closed when they have ended
	settled   bool           // their clients are closed
	gaps      []gap          // by partition; empty: nobody asks for them
	began     atomic.Int64   // the last start, Unix time in ns; 0: none yet
	phases    atomic.Pointer[[]int64]
}

// turned is when the phases of a run began that has several, one after the other, Unix times in ns. The last one is the end of all.
func (s *stage) turned() []int64 {
	if all := s.phases.Load(); all != nil {
		return *all
	}
	return nil
}

// phase is that of a record that was intended for a moment: below 0 in the warm-up, and after the end.
func (s *stage) phase(intended time.Time) int {
	at, began, turned := intended.UnixNano(), s.began.Load(), s.turned()
	if len(turned) == 0 {
		if since := time.Duration(at - began); began == 0 || since < s.load.Warmup || since >= s.load.Warmup+s.load.Duration {
			return -1
		}
		return 0
	}
	n := len(turned) - 1
	for n >= 0 && at < turned[n] {
		n--
	}
	if n > 2*s.load.Rounds {
		return -1
	}
	return n
}

// everyProducer is those of all starts.
func (s *stage) everyProducer() []*producer { return slices.Concat(s.before, s.producers) }

// newStage makes a topic for the run alone. leave must be called.
func newStage(ctx context.Context, t Target, load Load, live *Live) (*stage, error) {
	if err := load.Validate(); err != nil {
		return nil, err
	}
	live.size.Store(int64(load.Size))
	live.say("preparing")
	c, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	run := rand.Uint32()
	s := &stage{Target: t, load: load, live: live, c: c, run: run, topic: fmt.Sprintf("bench-%08x", run)}
	if err := createTopic(ctx, c, s.topic, load.Partitions); err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// leaveTime bounds the removal of the topic.
const leaveTime = 10 * time.Second

// leave takes the topic away, unless it shall be kept, also if the run was interrupted.
func (s *stage) leave(err error) error {
	defer s.c.Close()
	if s.load.Keep {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	if gone := s.c.DeleteTopic(ctx, s.topic); gone != nil && err == nil {
		return gone
	}
	return err
}

// start lets the producers begin. A Load with other values than that of the stage makes a backlog.
func (s *stage) start(ctx context.Context, load Load) (began time.Time, err error) {
	return s.startUntil(ctx, ctx, load)
}

// startUntil is start for producers that end with the context sending; records that were sent live on until ctx ends.
func (s *stage) startUntil(sending, ctx context.Context, load Load) (began time.Time, err error) {
	s.before, s.producers, s.sent = s.everyProducer(), nil, make(chan struct{})
	s.settled = false
	sending, cancel := context.WithCancel(sending)
	for i := range load.Producers {
		id := uint32(len(s.before) + i)
		rng := rand.New(rand.NewPCG(load.Seed, uint64(id)<<32|1))
		p := &producer{
			load: load, id: id, run: s.run, rng: rng, fill: filling(rng, load.Size), numbers: make([]uint64, load.Partitions),
			latest: make([]atomic.Int64, load.Partitions), gaps: s.gaps,
			sent: &s.live.sent, acked: &s.live.acked, gone: cancel,
		}
		p.service.key, p.service.counts = produceKey, p.measured
		p.answers.failed = map[stream]map[uint64]struct{}{}
		for range load.Partitions {
			p.answers.last = append(p.answers.last, -1)
		}
		if p.cl, err = s.dial(s.zoneOf(int(id)), append(load.options(s.topic), kgo.WithHooks(&p.service))...); err != nil {
			cancel()
			s.closeProducers()
			return began, err
		}
		s.producers = append(s.producers, p)
	}
	began = time.Now()
	s.began.Store(began.UnixNano())
	for _, p := range s.producers {
		p.began = began
		s.wg.Go(func() { p.send(sending, ctx) })
	}
	go func() {
		s.wg.Wait()
		cancel()
		close(s.sent)
	}()
	return began, nil
}

// flushTime bounds the wait for the last answers.
const flushTime = 2 * time.Minute

// settle waits for the producers and for every answer, and closes their clients. A second call does nothing.
func (s *stage) settle(ctx context.Context) error {
	<-s.sent
	if s.settled {
		return nil
	}
	s.settled = true
	s.live.say("waiting for answers")
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	var errs []error
	for _, p := range s.producers {
		if err := p.cl.Flush(ctx); err != nil {
			errs = append(errs, fmt.Errorf("wait for answers: %w", err))
			break
		}
	}
	s.closeProducers()
	for _, p := range s.producers {
		if err := p.answers.err; err != nil {
			return errors.Join(append(errs, &failedError{p.answers.failures, err})...)
		}
	}
	return errors.Join(errs...)
}

// failedError says how many records of a producer were not acknowledged, and why the first was not.
type failedError struct {
	n   int
	err error
}

func (f *failedError) Error() string { return fmt.Sprintf("%d records failed: %v", f.n, f.err) }

func (f *failedError) Unwrap() error { return f.err }

func (s *stage) closeProducers() {
	for _, p := range s.producers {
		p.cl.Close()
	}
}

// written is what all producers know. To be called after settle.
func (s *stage) written() map[stream]written { return writtenBy(s.everyProducer()) }

func writtenBy(producers []*producer) map[stream]written {
	all := map[stream]written{}
	for _, p := range producers {
		p.written(all)
	}
	return all
}

// starts are the offsets at which a topic that was just made begins.
func (s *stage) starts() map[int32]int64 {
	from := map[int32]int64{}
	for p := range s.load.Partitions {
		from[int32(p)] = 0
	}
	return from
}

// appearTime bounds the wait for one more record to appear, of those that were acknowledged before they were committed, as
// with acks=1.
const appearTime = 3 * time.Second

// ends returns the offset after the last record, by partition, once all that was acknowledged can be read, or no more appear.
func (s *stage) ends(ctx context.Context) (map[int32]int64, error) {
	want := map[int32]int64{}
	for id, w := range s.written() {
		want[id.partition] += int64(w.sent) - int64(len(w.failed))
	}
	var before map[int32]int64
	for since := time.Now(); ; {
		ends, err := endsOf(ctx, s.c, s.topic)
		if err != nil {
			return nil, err
		}
		there := true
		for p, n := range want {
			there = there && ends[p] >= n
		}
		if !maps.Equal(ends, before) {
			since, before = time.Now(), ends
		}
		if there || time.Since(since) > appearTime || !sleepUntil(ctx, time.Now().Add(10*time.Millisecond)) {
			return ends, ctx.Err()
		}
	}
}

// verifyTime bounds the reading back of everything.
const verifyTime = 10 * time.Minute

// verify reads everything back, once.
func (s *stage) verify(ctx context.Context) (v Verified, err error) {
	s.live.say("verifying")
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	ends, err := s.ends(ctx)
	if err != nil {
		return v, err
	}
	r, err := s.newReader(0, s.run, s.topic, s.starts(), &s.live.read, nil)
	if err != nil {
		return v, err
	}
	defer r.cl.Close()
	r.until(ends)
	if err := r.run(ctx); err != nil {
		return v, fmt.Errorf("read everything back: %w", err)
	}
	return s.disorder(r.check.finish(s.written())), nil
}

// disorder adds what the acknowledgements alone have shown.
func (s *stage) disorder(v Verified) Verified {
	for _, p := range s.everyProducer() {
		v.Reordered += p.answers.disordered
	}
	return v
}
