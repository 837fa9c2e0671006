package bench

import (
	"context"
	"time"
)

// IdleCost looks at a server that has nothing to do, or a trickle (the rate of the load), with a topic of so many partitions.
// Its agents must be visible.
func IdleCost(ctx context.Context, t Target, load Load, live *Live) (*Report, error) {
	before, err := look(ctx, t.Agents)
	if err != nil {
		return nil, err
	}
	s, err := newStage(ctx, t, load, live)
	if err != nil {
		return nil, err
	}
	r, err := s.idle(ctx, before)
	return r, s.leave(err)
}

func (s *stage) idle(ctx context.Context, before sight) (r *Report, err error) {
	var w window
	if s.load.Rate > 0 {
		w, err = s.measureProducers(ctx)
	} else if w.from, err = s.sight(ctx); err == nil {
		err = s.watch(ctx, &w, time.Now(), nil)
	}
	if err != nil {
		return nil, err
	}
	r = s.report("idle-cost", w, w.to.acked-w.from.acked)
	d := w.to.series.Since(w.from.series)
	hours := w.took().Hours()
	seen := len(s.Agents) > 0
	for _, c := range idleCounters {
		rest, _ := d.Sum(c.counter)
		for _, purpose := range c.purposes {
			n, _ := d.Sum(c.counter, `purpose="`+purpose+`"`)
			rest -= n
			r.maybe(c.prefix+"_"+purpose+"_per_hour", n/hours, seen)
		}
		r.maybe(c.prefix+"_else_per_hour", rest/hours, seen)
	}
	dollars, _ := d.Sum("varve_cost_dollars_total")
	r.set("dollars_per_month", dollars/hours*hoursPerMonth, seen)
	cpu, ok := d.Sum("process_cpu_seconds_total")
	r.maybe("cpu_percent", cpu/w.took().Seconds()*100, ok)
	const rss = "process_resident_memory_bytes"
	held, ok := w.to.series.Sum(rss)
	first, _ := before.series.Sum(rss)
	r.maybe("agents_rss_mib", held/(1<<20), ok)
	r.maybe("agents_rss_bytes_per_partition", (held-first)/float64(s.load.Partitions), ok)
	if s.load.Rate > 0 {
		s.reportAnswers(r)
	}
	r.Verified, err = s.verify(ctx)
	return r, err
}

// idleCounters are what an idle agent is asked for, by purpose.
var idleCounters = []struct {
	prefix, counter string
	purposes        []string
}{
	{"s3", "varve_s3_requests_total", []string{"wal", "snapshot", "pack", "segment", "tail", "catchup", "recover", "gc"}},
	{"ddb", "varve_ddb_requests_total", []string{"commit", "heartbeat", "slot", "topic", "group", "offsets", "poll"}},
	{"ddb_units", "varve_ddb_units_total", []string{"commit", "heartbeat", "slot", "topic", "group", "offsets", "poll"}},
}
