package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Fault is what FailOver does to the server, again and again.
type Fault struct {
	Times int           // at least 1
	Every time.Duration // between the moment at which all is well again and the next time
	// Strike does it. It returns when it was done; from then on counts.
	Strike func(ctx context.Context, round int) (time.Time, error)
	// Steps says after each round how long after the strike the server was at which point; a point that is not in it was not
	// reached, or not seen. Names are all points that there are. Both may be nil.
	Names []string
	Steps func(round int, struck time.Time) map[string]time.Duration
	// Mend makes all well again after each round.
	Mend func(ctx context.Context, round int) error
}

// The names of latencies of FailOver. Those of steps are "strike_to_" and the step.
const (
	latencyPartition = "strike_to_ack"     // until a partition acknowledged a record that was sent afterwards
	latencyEvery     = "strike_to_all_ack" // until every partition has
)

// outageTime bounds the wait for a partition to come back.
const outageTime = 2 * time.Minute

// glance is the time between two looks at what was acknowledged: the resolution of the result.
const glance = time.Millisecond

// FailOver strikes a server under load. Every partition gets records all the time.
func FailOver(ctx context.Context, t Target, load Load, f Fault, live *Live) (*Report, error) {
	if f.Times < 1 || load.Rate == 0 {
		return nil, errors.New("a fail-over wants at least one time, and a rate")
	}
	s, err := newStage(ctx, t, load, live)
	if err != nil {
		return nil, err
	}
	r, err := s.failOver(ctx, f)
	return r, s.leave(err)
}

// outages is what the rounds have shown.
type outages struct {
	partitions, all Histogram
	steps           map[string]*Histogram
}

func (s *stage) failOver(ctx context.Context, f Fault) (*Report, error) {
	endless := s.load
	endless.Limit, endless.Duration, endless.Spread = 0, maxSpan, SpreadEach
	sending, stop := context.WithCancel(ctx)
	defer stop()
	from := time.Now()
	began, err := s.startUntil(sending, ctx, endless)
	if err != nil {
		return nil, err
	}
	o := &outages{steps: map[string]*Histogram{}}
	for _, name := range f.Names {
		o.steps[name] = &Histogram{}
	}
	err = s.rounds(ctx, f, o, began)
	stop()
	if settled := s.settle(ctx); err == nil {
		err = settled
	}
	if err != nil {
		return nil, err
	}
	var w window
	w.from.at, w.to.at = from, time.Now()
	s.Agents = nil // their counters began anew with each start
	r := s.report("fail-over", w, s.live.acked.Load())
	r.measure("kills", float64(f.Times))
	r.latency(latencyPartition, &o.partitions)
	r.latency(latencyEvery, &o.all)
	for _, name := range f.Names {
		r.latency("strike_to_"+name, o.steps[name])
	}
	r.Verified, err = s.verify(ctx)
	return r, err
}

// rounds strikes again and again.
func (s *stage) rounds(ctx context.Context, f Fault, o *outages, began time.Time) error {
	s.live.say("warming up")
	if err := s.untilAcked(ctx, began, nil); err != nil {
		return err
	}
	for round := range f.Times {
		s.live.say(fmt.Sprintf("round %d of %d", round+1, f.Times))
		if !sleepUntil(ctx, time.Now().Add(f.Every)) {
			return ctx.Err()
		}
		struck, err := f.Strike(ctx, round)
		if err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		if err := s.untilAcked(ctx, struck, &o.partitions); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		o.all.Observe(time.Since(struck))
		if f.Steps != nil {
			for name, after := range f.Steps(round, struck) {
				if h := o.steps[name]; h != nil {
					h.Observe(after)
				}
			}
		}
		if err := f.Mend(ctx, round); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return nil
}

// untilAcked waits until every partition has acknowledged a record that was sent after a moment, and observes how long each took.
func (s *stage) untilAcked(ctx context.Context, since time.Time, each *Histogram) error {
	waiting := map[int]bool{}
	for p := range s.load.Partitions {
		waiting[p] = true
	}
	for len(waiting) > 0 {
		for p := range waiting {
			if s.ackedAfter(p, since) {
				delete(waiting, p)
				if each != nil {
					each.Observe(time.Since(since))
				}
			}
		}
		if time.Since(since) > outageTime {
			return fmt.Errorf("%d of %d partitions acknowledged nothing for %v", len(waiting), s.load.Partitions, outageTime)
		}
		if !sleepUntil(ctx, time.Now().Add(glance)) {
			return ctx.Err()
		}
	}
	return nil
}

// ackedAfter reports whether a partition acknowledged a record that was sent after a moment.
func (s *stage) ackedAfter(partition int, since time.Time) bool {
	return slices.ContainsFunc(s.producers, func(p *producer) bool { return p.latest[partition].Load() > since.UnixNano() })
}
