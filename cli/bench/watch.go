package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// window is what was seen between the end of the warm-up and the end of the run.
type window struct {
	from, to sight
	rss      struct{ sum, max, n float64 } // bytes, sampled each second
}

// rssEvery is the time between two looks at the agents' memory.
const rssEvery = time.Second

// watch looks at the counters when the warm-up is over, and again when the run is. If over is closed before, since enough was
// sent, the run is over when everything is answered: then all that was sent after the warm-up is in the window. Without
// a warm-up the first look was taken before anything began, and is in w. Where nobody sends and so over is nil, the window is no
// shorter than Duration, however late the first look was.
func (s *stage) watch(ctx context.Context, w *window, began time.Time, over <-chan struct{}) (err error) {
	if s.load.Warmup > 0 {
		s.live.say("warming up")
		if s.pause(ctx, began.Add(s.load.Warmup), over, w) == errOver {
			return fmt.Errorf("everything was sent within the warm-up of %v: raise --limit, or shorten --warmup", s.load.Warmup)
		}
		if w.from, err = s.sight(ctx); err != nil {
			return err
		}
	}
	w.rss.sum, w.rss.max, w.rss.n = 0, 0, 0
	s.live.say("measuring")
	end := began.Add(s.load.Warmup + s.load.Duration)
	if late := w.from.at.Add(s.load.Duration); over == nil && late.After(end) {
		end = late
	}
	err = s.pause(ctx, end, over, w)
	if err == errOver {
		err = s.settle(ctx)
	}
	if err != nil {
		return err
	}
	w.to, err = s.sight(ctx)
	w.sampleMemory(s.Agents)
	return err
}

// errOver ends a pause before its time.
var errOver = errors.New("everything was sent")

// pause waits for a moment and samples memory meanwhile.
func (s *stage) pause(ctx context.Context, until time.Time, over <-chan struct{}, w *window) error {
	end := time.NewTimer(time.Until(until))
	defer end.Stop()
	tick := time.NewTicker(rssEvery)
	defer tick.Stop()
	for {
		select {
		case <-end.C:
			return nil
		case <-tick.C:
			w.sampleMemory(s.Agents)
		case <-over:
			return errOver
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sampleMemory adds up what all agents have now; if one cannot be seen there is no sample.
func (w *window) sampleMemory(agents []Agent) {
	sum := 0.0
	for i, a := range agents {
		if again(agents[:i], a) {
			continue
		}
		n, ok := rssOf(a.PID)
		if !ok {
			return
		}
		sum += n
	}
	if sum > 0 {
		w.rss.sum += sum
		w.rss.max = max(w.rss.max, sum)
		w.rss.n++
	}
}

// sight reads the counters of agents and of the run.
func (s *stage) sight(ctx context.Context) (sight, error) {
	seen, err := look(ctx, s.Agents)
	seen.acked, seen.read = s.live.acked.Load(), s.live.read.Load()
	return seen, err
}

// took is the length of the window.
func (w *window) took() time.Duration { return w.to.at.Sub(w.from.at) }
