package bench

import (
	"context"
	"sync"
	"time"
)

// tails are readers that follow the end of the log while it is written.
type tails struct {
	all  []*reader
	stop context.CancelFunc
	wg   sync.WaitGroup
	mu   sync.Mutex // guards err
	err  error
}

// startTails opens n readers of everything from some offsets on. finish must be called.
func (s *stage) startTails(ctx context.Context, n int, from map[int32]int64) (*tails, error) {
	t := &tails{}
	ctx, t.stop = context.WithCancel(ctx)
	for i := range n {
		r, err := s.newReader(i, s.run, s.topic, from, &s.live.read, s.phase)
		if err != nil {
			t.close()
			return nil, err
		}
		t.all = append(t.all, r)
	}
	for _, r := range t.all {
		t.wg.Go(func() {
			if err := r.run(ctx); err != nil {
				t.mu.Lock()
				defer t.mu.Unlock()
				t.err = err
			}
		})
	}
	return t, nil
}

// tailTime bounds how long readers may take for what is there when the last record was acknowledged.
const tailTime = time.Minute

// finish waits until the readers have seen the end of the log, unless err says that the run failed already. What they have not
// seen by tailTime is not there for them.
func (t *tails) finish(ctx context.Context, s *stage, err error) error {
	defer t.close()
	if err != nil {
		return err
	}
	ends, err := s.ends(ctx)
	if err != nil {
		return err
	}
	s.live.say("reading to the end")
	for _, r := range t.all {
		r.until(ends)
	}
	timer := time.AfterFunc(tailTime, t.stop)
	defer timer.Stop()
	t.wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == context.Canceled {
		return nil // tailTime was over: what is missing counts as lost
	}
	return t.err
}

// close ends the readers and waits.
func (t *tails) close() {
	t.stop()
	t.wg.Wait()
	for _, r := range t.all {
		r.cl.Close()
	}
}

// consumed is the latency to all readers in one phase.
func (t *tails) consumed(phase int) *Histogram {
	h := &Histogram{}
	for _, r := range t.all {
		if phase < len(r.consumed) {
			h.Merge(&r.consumed[phase])
		}
	}
	return h
}

// verified adds up what the readers have found.
func (t *tails) verified(all map[stream]written) (v Verified) {
	for _, r := range t.all {
		v.add(r.check.finish(all))
	}
	return v
}
