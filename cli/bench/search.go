package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Criterion says which rates Search takes for stable.
const Criterion = "stable: every record is acknowledged and verified, and those meant for the last third of the time wait on average " +
	"at most 2 % of the time between (or 100 ms) longer than those meant for the first third"

// Trial is one rate that Search has tried.
type Trial struct {
	Rate   float64 `json:"rate_per_s"`   // that was asked for; 0: as fast as records were answered
	Got    float64 `json:"got_per_s"`    // records acknowledged a second
	Growth float64 `json:"growth_ms"`    // see Criterion; 0 if there was no intended time
	P99    float64 `json:"p99_ms"`       // from the intended time to the acknowledgement, else from the call
	Stable bool    `json:"stable"`       // by Criterion
	Lost   int64   `json:"not_in_place"` // records that were lost, doubled, reordered, damaged or failed
}

// The names of measures that Search reads and adds.
const (
	measureGrowth = "lag_growth_ms"
	measureStable = "stable_rate_per_s"
	measureRefuse = "unstable_rate_per_s"
)

// Bounds of a search.
const (
	maxTrials  = 14
	maxWhole   = 5    // runs of the whole time
	searchUp   = 1.6  // between two rates, until one is not stable,
	searchDown = 2    // and until one is: a rate that is far too high takes long to be answered
	searchFrom = 1000 // records a second, if a closed loop had none
	searchGap  = 1.04 // between them, at the end
	leastDrift = 100 * time.Millisecond
)

// Search looks for the highest rate that a server keeps up with, by trials of half of the load's warm-up and duration, and reports
// a whole run at that rate. run does one run of a load. The Limit of load is what all of them may write together; a search that needs more
// fails before it has written that.
func Search(ctx context.Context, load Load, live *Live, run func(context.Context, Load) (*Report, error)) (*Report, error) {
	s := search{load: load, live: live, run: run}
	r, err := s.try(ctx, 0, 2)
	if err != nil {
		return nil, err
	}
	s.hunt.guess(s.trials[0].Got)
	for len(s.trials) < maxTrials && !s.hunt.found() {
		if _, err = s.try(ctx, s.hunt.next(), 2); err != nil {
			return nil, err
		}
		s.hunt.tell(s.last())
	}
	// A longer run may show what a short one did not, by little or by much.
	for n, gap := 0, searchGap; n < maxWhole && s.hunt.low > 0; n, gap = n+1, gap*gap*gap {
		if r, err = s.try(ctx, s.hunt.low, 1); err != nil {
			return nil, err
		}
		if s.last().Stable {
			r.Criterion, r.Trials = Criterion, s.trials
			r.measure(measureStable, s.hunt.low)
			r.maybe(measureRefuse, s.hunt.high, s.hunt.high > 0)
			return r, nil
		}
		s.hunt.high, s.hunt.low = s.hunt.low, math.Floor(s.hunt.low/gap)
	}
	return nil, fmt.Errorf("no rate was stable, down to %.0f records a second; %s", s.last().Rate, Criterion)
}

// search is a Search under way.
type search struct {
	load   Load
	live   *Live
	run    func(context.Context, Load) (*Report, error)
	hunt   hunt
	trials []Trial
	wrote  float64 // bytes of values, at the most
}

func (s *search) last() Trial { return s.trials[len(s.trials)-1] }

// try runs at a rate, for that part of the time. Records that failed make the rate one that is not stable, and no report.
func (s *search) try(ctx context.Context, rate float64, part time.Duration) (*Report, error) {
	l := s.load
	l.Rate, l.Warmup, l.Duration = rate, s.load.Warmup/part, s.load.Duration/part
	if err := s.ration(&l); err != nil {
		return nil, err
	}
	s.live.search(len(s.trials)+1, rate)
	r, err := s.run(ctx, l)
	s.count(l, r)
	var failed *failedError
	switch {
	case err == nil:
		s.trials = append(s.trials, trialOf(rate, r))
	case rate > 0 && errors.As(err, &failed) && ctx.Err() == nil:
		s.trials, err = append(s.trials, Trial{Rate: rate, Lost: int64(failed.n)}), nil
	}
	return r, err
}

// ration gives a run what is left to write, if that is enough for it. Times of sending are random, so that some need a little more.
func (s *search) ration(l *Load) error {
	if s.load.Limit == 0 {
		return nil
	}
	left := float64(s.load.Limit) - s.wrote
	if left < 1 || writes(*l, l.Rate)*1.1 > left {
		return fmt.Errorf("%d trials have written %.1f GiB, and one at %.0f records a second would pass the limit of %.1f GiB: raise --limit, or shorten --duration",
			len(s.trials), s.wrote/(1<<30), l.Rate, float64(s.load.Limit)/(1<<30))
	}
	l.Limit = int64(left)
	return nil
}

// count adds what a run has written: what it was to write, or, if nobody knew, what was answered.
func (s *search) count(l Load, r *Report) {
	rate := l.Rate
	if rate == 0 && r != nil {
		rate, _ = r.Get("records_per_s")
	}
	s.wrote += writes(l, rate)
}

// writes is how many bytes of values a run at a rate has.
func writes(l Load, rate float64) float64 {
	return rate * (l.Warmup + l.Duration).Seconds() * float64(l.Size)
}

// trialOf judges a run.
func trialOf(rate float64, r *Report) Trial {
	v := r.Verified
	t := Trial{Rate: rate, Lost: v.Lost + v.Doubled + v.Reordered + v.Damaged + v.Failed}
	t.Got, _ = r.Get("records_per_s")
	growth, known := r.Get(measureGrowth)
	for _, l := range r.Latencies {
		if l.Count > 0 && (l.Name == latencyIntended || l.Name == latencySent && t.P99 == 0) {
			t.P99 = l.P99
		}
	}
	if known {
		t.Growth = growth
	}
	between := time.Duration(r.Seconds * 2 / 3 * float64(time.Second))
	most := max(leastDrift, between/50)
	t.Stable = rate > 0 && t.Lost == 0 && t.Growth <= float64(most)/float64(time.Millisecond) // not known: so few records do not pile up
	return t
}

// hunt is where a search stands.
type hunt struct {
	low, high float64 // the highest rate that was stable, and the least above it that was not; 0: none
	start     float64
}

// guess begins below what a closed loop reached: its batches are fuller than those of records that come at their time.
func (h *hunt) guess(closed float64) {
	if h.start = math.Floor(closed * 0.8); closed == 0 {
		h.start = searchFrom
	}
	h.start = max(1, h.start)
}

// next is the rate to try.
func (h *hunt) next() float64 {
	switch {
	case h.low == 0 && h.high == 0:
		return h.start
	case h.high == 0:
		return math.Ceil(h.low * searchUp)
	case h.low == 0:
		return max(1, math.Floor(h.high/searchDown))
	}
	return max(h.low+1, math.Floor(math.Sqrt(h.low*h.high)))
}

func (h *hunt) tell(t Trial) {
	if t.Stable {
		h.low = max(h.low, t.Rate)
	} else {
		h.high = t.Rate
	}
}

// found reports whether the two are near each other, or nothing is left to try.
func (h *hunt) found() bool {
	return h.low > 0 && h.high > 0 && h.high <= max(h.low*searchGap, h.low+1) || h.low == 0 && h.high > 0 && h.high <= 1
}
