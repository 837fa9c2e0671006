package group

import (
	"context"
	"maps"
	"sync"
	"time"
)

// The bounds of what is kept of groups that left memory, so that whoever watches them sees that nobody reads any more.
const (
	maxResting      = 1000
	maxRestingParts = 100_000 // of all of them
)

// Progress is how far a group has come. Its map is never changed.
type Progress struct {
	Group   string
	Members int
	Last    time.Time // of the last commit, to the second; zero: none
	Offsets map[Partition]int64
}

// resting are the groups that left memory, as they were.
type resting struct {
	groups map[string]Progress
	parts  int
}

func (r *resting) put(p Progress) {
	if len(r.groups) >= maxResting || r.parts+len(p.Offsets) > maxRestingParts || len(p.Offsets) == 0 {
		return
	}
	r.groups[p.Group] = p
	r.parts += len(p.Offsets)
}

func (r *resting) drop(group string) {
	r.parts -= len(r.groups[group].Offsets)
	delete(r.groups, group)
}

// progress is what a loaded group has stored.
func (a *actor) progress() Progress {
	p := Progress{Group: a.name, Offsets: map[Partition]int64{}}
	switch g := a.core.(type) {
	case *Classic:
		p.Members = len(g.members)
	case *Consumer:
		p.Members = len(g.members)
	}
	last := int64(0)
	for key, page := range a.pages {
		for index, o := range page.stored.Offsets {
			p.Offsets[Partition{key.topic, index}] = o.Offset
			last = max(last, o.At)
		}
	}
	if last > 0 {
		p.Last = time.Unix(last, 0)
	}
	return p
}

// Progress tells of the groups that this agent coordinates, as far as somebody asked for them since it does. It waits for those in memory
// until ctx ends.
func (c *Coordinator) Progress(ctx context.Context) []Progress {
	var mu sync.Mutex
	var all []Progress
	c.mu.Lock()
	for p := range maps.Values(c.mu.resting.groups) {
		all = append(all, p)
	}
	left := make(chan struct{}, len(c.mu.groups))
	asked := 0
	for _, a := range c.mu.groups {
		done := func() { left <- struct{}{} }
		told := a.put(message{watch: true, fail: func(error) { done() }, gone: done, serve: func(a *actor, _ time.Time) {
			p := a.progress()
			mu.Lock()
			all = append(all, p)
			mu.Unlock()
			done()
		}})
		if told {
			asked++
		}
	}
	c.mu.Unlock()
	for ; asked > 0; asked-- {
		select {
		case <-left:
		case <-ctx.Done():
			mu.Lock()
			defer mu.Unlock()
			return append([]Progress(nil), all...) // those that are late write behind it
		}
	}
	return all
}
