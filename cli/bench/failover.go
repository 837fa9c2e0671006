package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
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
	latencyGap       = "ack_gap"           // of a partition: the longest time between two acknowledgements around a strike
	latencyClient    = "open_to_all_ack"   // from the last step of the server until every partition has acknowledged: the client's part
)

// lastStep is the step after which the server serves.
const lastStep = "open"

// gap is the time between acknowledgements of a partition. It may be used by several goroutines.
type gap struct{ last, longest atomic.Int64 } // Unix time in ns; ns

// note takes an acknowledgement.
func (g *gap) note(now int64) {
	before := g.last.Swap(now)
	for before != 0 {
		most := g.longest.Load()
		if now-before <= most || g.longest.CompareAndSwap(most, now-before) {
			return
		}
	}
}

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
	partitions, all, gaps, client Histogram
	steps                         map[string]*Histogram
	counted                       *ledger
}

func (s *stage) failOver(ctx context.Context, f Fault) (*Report, error) {
	endless := s.load
	endless.Limit, endless.Duration, endless.Spread = 0, maxSpan, SpreadEach
	sending, stop := context.WithCancel(ctx)
	defer stop()
	s.gaps = make([]gap, s.load.Partitions)
	o := &outages{steps: map[string]*Histogram{}, counted: newLedger(s.Agents)}
	o.counted.look(ctx)
	var w window
	w.from = sight{at: time.Now(), series: o.counted.sum(), client: ownCPU(), box: readMachine()}
	began, err := s.startUntil(sending, ctx, endless)
	if err != nil {
		return nil, err
	}
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
	o.counted.look(ctx)
	w.to = sight{at: time.Now(), series: o.counted.sum(), client: ownCPU(), box: readMachine()}
	r := s.report("fail-over", w, s.live.acked.Load())
	r.measure("kills", float64(f.Times))
	footers, _ := w.to.series.Since(w.from.series).Sum("varve_replay_footers_total")
	r.maybe("footers_replayed_per_kill", footers/float64(f.Times), len(s.Agents) > 0)
	r.latency(latencyPartition, &o.partitions)
	r.latency(latencyEvery, &o.all)
	r.latency(latencyGap, &o.gaps)
	for _, name := range f.Names {
		r.latency("strike_to_"+name, o.steps[name])
	}
	if o.steps[lastStep] != nil {
		r.latency(latencyClient, &o.client)
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
		o.counted.look(ctx)
		for i := range s.gaps {
			s.gaps[i].longest.Store(0)
		}
		struck, err := f.Strike(ctx, round)
		if err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		if err := s.untilAcked(ctx, struck, &o.partitions); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		o.observe(s, f, round, struck)
		if err := f.Mend(ctx, round); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	return nil
}

// observe takes what a round has shown, in which every partition has acknowledged again just now.
func (o *outages) observe(s *stage, f Fault, round int, struck time.Time) {
	all := time.Since(struck)
	o.all.Observe(all)
	for i := range s.gaps {
		o.gaps.Observe(time.Duration(s.gaps[i].longest.Load()))
	}
	if f.Steps == nil {
		return
	}
	for name, after := range f.Steps(round, struck) {
		if h := o.steps[name]; h != nil {
			h.Observe(after)
		}
		if name == lastStep {
			o.client.Observe(all - after)
		}
	}
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
