package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// endsEvery is how often a reader without news looks whether it has read everything.
const endsEvery = 300 * time.Millisecond

// groupEnds knows how far a member has to read, and how far it came.
type groupEnds struct {
	c     *Client
	group string
	spans map[spanKey]Span // From: where it begins if nothing was committed

	mu struct {
		sync.Mutex
		joined bool
		has    map[spanKey]bool
		next   map[spanKey]int64 // after the last record that was read
	}
}

func (c *Client) newGroupEnds(ctx context.Context, cfg GroupConfig) (*groupEnds, error) {
	e := &groupEnds{c: c, group: cfg.Group, spans: map[spanKey]Span{}}
	e.mu.has, e.mu.next = map[spanKey]bool{}, map[spanKey]int64{}
	for _, topic := range cfg.Topics {
		spans, err := c.spans(ctx, topic, ReadConfig{From: cfg.From, AtEnd: true, Committed: cfg.Committed})
		if err != nil {
			return nil, fmt.Errorf("join group %q: %w", cfg.Group, err)
		}
		for _, s := range spans {
			e.spans[spanKey{topic, s.Partition}] = s
		}
	}
	return e, nil
}

// options have the client tell what it is given.
func (e *groupEnds) options() []kgo.Opt {
	change := func(has bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, all map[string][]int32) { e.assigned(all, has) }
	}
	return []kgo.Opt{kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false))}
}

func (e *groupEnds) assigned(all map[string][]int32, has bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.joined = e.mu.joined || has
	for topic, parts := range all {
		for _, p := range parts {
			key := spanKey{topic, p}
			if delete(e.mu.next, key); has {
				e.mu.has[key] = true
			} else {
				delete(e.mu.has, key)
			}
		}
	}
}

func (e *groupEnds) read(r *kgo.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.next[spanKey{r.Topic, r.Partition}] = r.Offset + 1
}

// reached reports that nothing is left to read of what this member was given.
func (e *groupEnds) reached(ctx context.Context) (bool, error) {
	e.mu.Lock()
	joined := e.mu.joined
	var open []Span // of which nothing was read yet
	for key := range e.mu.has {
		s, next := e.spans[key], e.mu.next[key]
		if next == 0 && s.To > 0 {
			open = append(open, s)
		} else if next < s.To {
			joined = false
		}
	}
	e.mu.Unlock()
	if !joined || len(open) == 0 {
		return joined, nil
	}
	committed, err := e.c.admin.FetchOffsets(ctx, e.group)
	if err != nil {
		return false, fmt.Errorf("read what group %q has committed: %w", e.group, err)
	}
	for _, s := range open {
		at := s.From
		if o, ok := committed.Lookup(s.Topic, s.Partition); ok && o.At >= 0 {
			at = o.At
		}
		if at < s.To {
			return false, nil
		}
	}
	return true, nil
}
