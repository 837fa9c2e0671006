package bench

import (
	"context"
	"time"
)

// Produce loads the server with producers alone. readBack: what was written is read again after the measurement and checked;
// without, only the offsets of acknowledgements are.
func Produce(ctx context.Context, t Target, load Load, readBack bool, live *Live) (*Report, error) {
	s, err := newStage(ctx, t, load, live)
	if err != nil {
		return nil, err
	}
	r, err := s.produce(ctx, readBack)
	return r, s.leave(err)
}

func (s *stage) produce(ctx context.Context, readBack bool) (*Report, error) {
	w, err := s.measureProducers(ctx)
	if err != nil {
		return nil, err
	}
	r := s.report("produce", w, w.to.acked-w.from.acked)
	s.reportAnswers(r)
	if readBack {
		r.Verified, err = s.verify(ctx)
	} else {
		r.Verified, err = s.verifyEnds(ctx)
	}
	return r, err
}

// measureProducers runs the producers from beginning to end.
func (s *stage) measureProducers(ctx context.Context) (w window, err error) {
	if w.from, err = s.sight(ctx); err != nil {
		return w, err
	}
	began, err := s.start(ctx, s.load)
	if err != nil {
		return w, err
	}
	err = s.watch(ctx, &w, began, s.sent)
	if settled := s.settle(ctx); err == nil {
		err = settled
	}
	return w, err
}

// verifyEnds compares the ends of the log with what was acknowledged: for stores that keep nothing.
func (s *stage) verifyEnds(ctx context.Context) (v Verified, err error) {
	ends, err := s.ends(ctx)
	if err != nil {
		return v, err
	}
	for p, end := range ends {
		want := int64(0)
		for _, pr := range s.everyProducer() {
			want += int64(pr.numbers[p])
		}
		v.Records += min(want, end)
		v.Lost += max(0, want-end)
		v.Doubled += max(0, end-want)
	}
	return s.disorder(v), nil
}

// EndToEnd loads the server with producers, and with readers that wait for each record.
func EndToEnd(ctx context.Context, t Target, load Load, live *Live) (*Report, error) {
	s, err := newStage(ctx, t, load, live)
	if err != nil {
		return nil, err
	}
	r, err := s.endToEnd(ctx)
	return r, s.leave(err)
}

func (s *stage) endToEnd(ctx context.Context) (*Report, error) {
	tails, err := s.startTails(ctx, s.load.FanOut, s.starts())
	if err != nil {
		return nil, err
	}
	w, err := s.measureProducers(ctx)
	if err = tails.finish(ctx, s, err); err != nil {
		return nil, err
	}
	r := s.report("e2e", w, w.to.acked-w.from.acked)
	s.reportAnswers(r)
	consumed := tails.consumed(0)
	r.latency(latencyConsumed, consumed)
	s.afterAck(r, consumed)
	s.reportZones(r, tails)
	r.Verified = s.disorder(tails.verified(s.written()))
	return r, nil
}

// afterAck adds how much later a record is read than acknowledged, as far as percentiles can tell.
func (s *stage) afterAck(r *Report, consumed *Histogram) {
	var acked Histogram
	for _, p := range s.producers {
		acked.Merge(&p.answers.ackIntended)
	}
	s.later(r, "", consumed, &acked)
}

// later adds the difference of two distributions; what names the records.
func (s *stage) later(r *Report, what string, consumed, acked *Histogram) {
	after := func(q float64) float64 {
		return float64(consumed.Quantile(q)-acked.Quantile(q)) / float64(time.Millisecond)
	}
	known := s.load.Rate > 0 && consumed.Count() > 0 && acked.Count() > 0
	r.maybe("consumed_p50_minus_ack_p50"+what+"_ms", after(0.5), known)
	r.maybe("consumed_p99_minus_ack_p99"+what+"_ms", after(0.99), known)
}

// Consume writes a backlog, and reads it again and again.
func Consume(ctx context.Context, t Target, load Load, live *Live) (*Report, error) {
	s, err := newStage(ctx, t, load, live)
	if err != nil {
		return nil, err
	}
	r, err := s.consume(ctx)
	return r, s.leave(err)
}

// backlog writes so many bytes as fast as they are answered.
func (s *stage) backlog(ctx context.Context) error {
	fill := s.load
	fill.Rate, fill.Limit, fill.Warmup, fill.Duration = 0, s.load.Backlog, 0, maxSpan
	if _, err := s.start(ctx, fill); err != nil {
		return err
	}
	s.live.say("writing the backlog")
	return s.settle(ctx)
}

func (s *stage) consume(ctx context.Context) (*Report, error) {
	if err := s.backlog(ctx); err != nil {
		return nil, err
	}
	ends, err := s.ends(ctx)
	if err != nil {
		return nil, err
	}
	var w window
	var one roundsOf
	if s.load.FanOut > 1 { // what one reader asks of the store is what all of them should
		if one, err = s.readers(ctx, 1, ends, &w); err != nil {
			return nil, err
		}
	}
	all, err := s.readers(ctx, s.load.FanOut, ends, &w)
	if err != nil {
		return nil, err
	}
	read := w.to.read - w.from.read
	r := s.report("consume", w, read)
	r.measure("mib_per_s_per_reader", s.rate(w, read)/float64(s.load.FanOut))
	r.measure("rounds", float64(all.rounds))
	s.reportGrowth(r, one, all)
	r.latency(latencyService, &all.service)
	r.Verified = all.found
	r.Verified.add(one.found)
	return r, nil
}

// reportGrowth adds how many more GETs a GiB of the log takes with all readers than with one.
func (s *stage) reportGrowth(r *Report, one, all roundsOf) {
	per := func(rounds roundsOf, readers int) float64 {
		return rounds.gets / (float64(rounds.found.Records) * float64(s.load.Size) / (1 << 30)) * float64(readers)
	}
	known := len(s.Agents) > 0
	r.maybe("get_per_gib_of_log", per(all, s.load.FanOut), known)
	if s.load.FanOut > 1 {
		r.maybe("get_per_gib_of_log_one_reader", per(one, 1), known)
		r.maybe("get_growth_with_fan_out_per_gib", per(all, s.load.FanOut)-per(one, 1), known)
	}
}

// readers reads everything again and again with so many readers, and looks at the counters from the end of the warm-up on.
func (s *stage) readers(ctx context.Context, n int, ends map[int32]int64, w *window) (all roundsOf, err error) {
	before, err := s.sight(ctx)
	if err != nil {
		return all, err
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	rounds := make(chan *roundsOf, n)
	for i := range n {
		go func() { rounds <- s.again(reading, i, ends, over) }()
	}
	if w.from, err = s.sight(ctx); err == nil {
		err = s.watch(ctx, w, time.Now(), nil)
	}
	close(over)
	if err != nil {
		cancel()
	}
	s.live.say("reading to the end")
	for range n {
		one := <-rounds
		if err == nil {
			err = one.err
		}
		all.found.add(one.found)
		all.service.Merge(&one.service)
		all.rounds += one.rounds
	}
	if err != nil {
		return all, err
	}
	after, err := s.sight(ctx)
	all.gets, _ = after.series.Since(before.series).Sum("varve_s3_requests_total", `op="get"`)
	return all, err
}

// roundsOf is what a reader that began again and again has seen.
type roundsOf struct {
	found   Verified
	service Histogram // of Fetch requests
	rounds  int
	gets    float64 // of all readers, from their beginning to their end
	err     error
}

// again is the nth reader: it reads everything from the beginning until over, and the round that it is in then to its end.
func (s *stage) again(ctx context.Context, n int, ends map[int32]int64, over <-chan struct{}) *roundsOf {
	all := &roundsOf{}
	for {
		r, err := s.newReader(n, s.run, s.topic, s.starts(), &s.live.read, nil)
		if err != nil {
			return &roundsOf{err: err}
		}
		r.until(ends)
		err = r.run(ctx)
		r.cl.Close()
		if err != nil {
			all.err = err
			return all
		}
		all.found.add(r.check.finish(s.written()))
		all.service.Merge(&r.service.h)
		all.rounds++
		select {
		case <-over:
			return all
		default:
		}
	}
}
