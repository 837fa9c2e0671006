package bench

import (
	"context"
	"time"
)

// The names of latencies and measures of CatchUp.
const (
	latencyBefore = "tail_before"
	latencyDuring = "tail_during"
)

// CatchUp writes a backlog, then follows the tail of a live load, and after a while reads the backlog beside it: how fast does
// that go, and who pays for it?
func CatchUp(ctx context.Context, t Target, load Load, live *Live) (*Report, error) {
	s, err := newStage(ctx, t, load, live)
	if err != nil {
		return nil, err
	}
	r, err := s.catchUp(ctx)
	return r, s.leave(err)
}

func (s *stage) catchUp(ctx context.Context) (*Report, error) {
	if err := s.backlog(ctx); err != nil {
		return nil, err
	}
	backlog := s.written()
	ends, err := s.ends(ctx)
	if err != nil {
		return nil, err
	}
	tails, err := s.startTails(ctx, s.load.FanOut, ends)
	if err != nil {
		return nil, err
	}
	w, records, err := s.drainBesideLoad(ctx, ends, backlog)
	if err = tails.finish(ctx, s, err); err != nil {
		return nil, err
	}
	r := s.report("catch-up", w.window, records)
	r.latency(latencyBefore, tails.consumed(phaseAlone))
	r.latency(latencyDuring, tails.consumed(phaseBeside))
	r.measure("drain_mib_per_s", s.rate(w.window, records))
	bytes, _ := w.to.series.Since(w.from.series).Sum("varve_s3_bytes_total", `op="get"`)
	gets, _ := w.to.series.Since(w.from.series).Sum("varve_s3_requests_total", `op="get"`)
	r.maybe("drain_mean_get_kib", bytes/gets/(1<<10), len(s.Agents) > 0 && gets > 0)
	r.Verified = w.found
	r.Verified.add(tails.verified(writtenBy(s.producers)))
	r.Verified = s.disorder(r.Verified)
	return r, nil
}

// drain is what reading the backlog has shown.
type drain struct {
	window
	found Verified
}

// drainBesideLoad writes at the rate of the load, waits for the warm-up and the time that is measured alone, reads the backlog
// up to ends, and lets the producers stop. It returns how many records the backlog has.
func (s *stage) drainBesideLoad(ctx context.Context, ends map[int32]int64, backlog map[stream]written) (d drain, n int64, err error) {
	endless := s.load
	endless.Limit, endless.Duration = 0, maxSpan
	sending, stop := context.WithCancel(ctx)
	defer stop()
	began, err := s.startUntil(sending, ctx, endless)
	if err != nil {
		return d, 0, err
	}
	s.live.say("following the tail")
	if err = s.pause(ctx, began.Add(s.load.Warmup+s.load.Duration), nil, &d.window); err == nil {
		n, err = s.drain(ctx, ends, backlog, &d)
	}
	stop()
	if settled := s.settle(ctx); err == nil {
		err = settled
	}
	return d, n, err
}

// drain reads the backlog once.
func (s *stage) drain(ctx context.Context, ends map[int32]int64, backlog map[stream]written, d *drain) (n int64, err error) {
	s.live.say("reading the backlog")
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	r, err := s.newReader(s.run, s.topic, s.starts(), &s.live.read, nil)
	if err != nil {
		return 0, err
	}
	defer r.cl.Close()
	r.until(ends)
	if d.from, err = s.sight(ctx); err != nil {
		return 0, err
	}
	s.drains.Store(time.Now().UnixNano())
	if err := r.run(ctx); err != nil {
		return 0, err
	}
	s.drained.Store(time.Now().UnixNano())
	if d.to, err = s.sight(ctx); err != nil {
		return 0, err
	}
	d.sampleMemory(s.Agents)
	d.found = r.check.finish(backlog)
	return d.found.Records, nil
}
