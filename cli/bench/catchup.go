package bench

import (
	"context"
	"slices"
	"time"
)

// The names of latencies and measures of CatchUp.
const (
	latencyBefore = "tail_before"
	latencyDuring = "tail_during"
	latencyAfter  = "tail_after"
	measureRatio  = "tail_p99_ratio"
)

// CatchUp writes a backlog, then follows the tail of a live load, in turns alone and beside a reader of the backlog, Load.Rounds times: how
// fast does that go, and who pays for it? ready, unless it is nil, is called before anything is read, and returns when the
// backlog is where it shall be read from.
func CatchUp(ctx context.Context, t Target, load Load, ready func(ctx context.Context, topic string) error, live *Live) (*Report, error) {
	s, err := newStage(ctx, t, load, live)
	if err != nil {
		return nil, err
	}
	r, err := s.catchUp(ctx, ready)
	return r, s.leave(err)
}

func (s *stage) catchUp(ctx context.Context, ready func(context.Context, string) error) (*Report, error) {
	if err := s.backlog(ctx); err != nil {
		return nil, err
	}
	d := drain{backlog: s.written()}
	var err error
	if d.ends, err = s.ends(ctx); err != nil {
		return nil, err
	}
	if ready != nil {
		s.live.say("waiting for the backlog to settle")
		if err := ready(ctx, s.topic); err != nil {
			return nil, err
		}
	}
	tails, err := s.startTails(ctx, s.load.FanOut, d.ends)
	if err != nil {
		return nil, err
	}
	err = s.drainBesideLoad(ctx, &d)
	if err = tails.finish(ctx, s, err); err != nil {
		return nil, err
	}
	r := s.report("catch-up", d.window, d.records)
	s.reportTails(r, tails)
	r.measure("drain_mib_per_s", s.rate(d.window, d.records))
	bytes, _ := d.to.series.Since(d.from.series).Sum("varve_s3_bytes_total", `op="get"`)
	gets, _ := d.to.series.Since(d.from.series).Sum("varve_s3_requests_total", `op="get"`)
	r.maybe("drain_mean_get_kib", bytes/gets/(1<<10), len(s.Agents) > 0 && gets > 0)
	r.Verified = d.found
	r.Verified.add(tails.verified(writtenBy(s.producers)))
	r.Verified = s.disorder(r.Verified)
	return r, nil
}

// reportTails adds how long records took to those who follow the tail. Phases are alone and beside in turns, and alone in the end. A ratio is
// that of a phase beside to the two around it.
func (s *stage) reportTails(r *Report, t *tails) {
	last := 2 * s.load.Rounds
	var during, after Histogram
	alone, beside, ratios := []float64{p99(t.consumed(0))}, []float64(nil), []float64(nil)
	for i := 1; i < last; i += 2 {
		here, next := t.consumed(i), t.consumed(i+1)
		around := t.consumed(i - 1)
		around.Merge(next)
		during.Merge(here)
		after.Merge(next)
		beside, alone = append(beside, p99(here)), append(alone, p99(next))
		if here.Count() > 0 && around.Count() > 0 {
			ratios = append(ratios, p99(here)/p99(around))
		}
	}
	r.latency(latencyBefore, t.consumed(0))
	r.latency(latencyDuring, &during)
	r.latency(latencyAfter, &after)
	r.spread(measureRatio, "", ratios)
	r.spread("tail_alone_p99", "_ms", alone)
	r.spread("tail_during_p99", "_ms", beside)
}

// p99 is the 99th percentile in milliseconds.
func p99(h *Histogram) float64 { return float64(h.Quantile(0.99)) / float64(time.Millisecond) }

// spread adds the median of some values, the lowest and the highest.
func (r *Report) spread(name, unit string, values []float64) {
	known := len(values) > 0
	if values = slices.Sorted(slices.Values(values)); !known {
		values = []float64{0}
	}
	last := len(values) - 1
	r.maybe(name+unit, (values[last/2]+values[(last+1)/2])/2, known)
	r.maybe(name+"_low"+unit, values[0], known)
	r.maybe(name+"_high"+unit, values[last], known)
}

// drain is what reading the backlog has shown: the window is that of the first round.
type drain struct {
	window
	ends    map[int32]int64 // of the backlog, by partition
	backlog map[stream]written
	records int64 // read in the window
	found   Verified
}

// drainBesideLoad writes at the rate of the load, reads the backlog in turns, and lets the producers stop.
func (s *stage) drainBesideLoad(ctx context.Context, d *drain) error {
	endless := s.load
	endless.Limit, endless.Duration = 0, maxSpan
	sending, stop := context.WithCancel(ctx)
	defer stop()
	began, err := s.startUntil(sending, ctx, endless)
	if err != nil {
		return err
	}
	err = s.turns(ctx, began, d)
	stop()
	if settled := s.settle(ctx); err == nil {
		err = settled
	}
	return err
}

// turns waits for the warm-up, and changes between a phase alone and one beside a reader of the backlog.
func (s *stage) turns(ctx context.Context, began time.Time, d *drain) error {
	at := began.Add(s.load.Warmup)
	s.turn(at)
	for round := 0; ; round++ {
		s.live.say("following the tail")
		if err := s.pause(ctx, at.Add(s.load.Duration), nil, &d.window); err != nil {
			return err
		}
		s.turn(time.Now())
		if round == s.load.Rounds {
			return nil
		}
		s.live.say("reading the backlog")
		if err := s.drain(ctx, d, round == 0); err != nil {
			return err
		}
		at = time.Now()
		s.turn(at)
	}
}

// turn ends a phase and begins the next one.
func (s *stage) turn(at time.Time) {
	all := append(slices.Clone(s.turned()), at.UnixNano())
	s.phases.Store(&all)
}

// drain reads the backlog to its end, again and again until a phase is over.
func (s *stage) drain(ctx context.Context, d *drain, measured bool) (err error) {
	end := time.Now().Add(s.load.Duration)
	if measured {
		if d.from, err = s.sight(ctx); err != nil {
			return err
		}
	}
	for again := true; again; again = time.Now().Before(end) {
		found, err := s.readBacklog(ctx, d)
		if err != nil {
			return err
		}
		d.found.add(found)
	}
	if measured {
		d.records = d.found.Records
		d.to, err = s.sight(ctx)
	}
	return err
}

// readBacklog reads the backlog once.
func (s *stage) readBacklog(ctx context.Context, d *drain) (Verified, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	r, err := s.newReader(0, s.run, s.topic, s.starts(), &s.live.read, nil)
	if err != nil {
		return Verified{}, err
	}
	defer r.cl.Close()
	r.until(d.ends)
	over := make(chan struct{})
	go func() {
		defer close(over)
		err = r.run(ctx)
	}()
	_ = s.pause(context.Background(), time.Now().Add(2*verifyTime), over, &d.window) // ends with the reader, whose context has an end
	<-over
	if err != nil {
		return Verified{}, err
	}
	return r.check.finish(d.backlog), nil
}
