package fetch

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore/bundle"
)

// Bounds of read-ahead. A stream has at most 32 blocks or 32 MiB ahead of it, and less if the streams together would have more
// than half of the cache for history.
const (
	maxStreams  = 4096
	firstBlocks = 4 // ahead of a reader who reads for the first time
	firstBytes  = BlockLen
	maxBlocks   = 32
	maxAhead    = 32 << 20
)

// streamKey is where a stream will read next.
type streamKey struct {
	topic uuid.UUID
	index int32
	next  int64
}

// stream is a reader of history who goes on where it stopped.
type stream struct {
	key   streamKey
	reads int // that followed one another
	spot  spot
	elem  *list.Element
}

// streams are those that read last, at most maxStreams.
type streams struct {
	n  atomic.Int64
	mu struct {
		sync.Mutex
		by     map[streamKey]*stream
		recent *list.List // the last in front
	}
}

func newStreams() *streams {
	s := &streams{}
	s.mu.by, s.mu.recent = map[streamKey]*stream{}, list.New()
	return s
}

// take removes and returns the stream that reads on at k, nil if there is none.
func (s *streams) take(k streamKey) *stream {
	if s.n.Load() == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.mu.by[k]
	if st != nil {
		s.drop(st)
	}
	return st
}

func (s *streams) drop(st *stream) {
	delete(s.mu.by, st.key)
	s.mu.recent.Remove(st.elem)
	s.n.Add(-1)
}

// put adds st, in the place of one that has come to the same offset.
func (s *streams) put(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.mu.by[st.key]; old != nil {
		s.drop(old)
	}
	s.mu.by[st.key] = st
	st.elem = s.mu.recent.PushFront(st)
	if s.n.Add(1) > maxStreams {
		s.drop(s.mu.recent.Back().Value.(*stream))
	}
}

// keepStream notes where a reader of history will go on, and loads ahead of it. Who reads the tail alone is none.
func (r *Reader) keepStream(ctx context.Context, t *trip, err error) {
	st := t.stream
	switch {
	case r.cfg.CacheBytes == 0:
		return
	case t.n == 0:
		if st != nil { // it will ask again, where it may wait
			r.streams.put(st)
		}
		return
	case !t.far || st == nil && t.q.Mode == Cached:
		return
	case st == nil:
		st = &stream{}
	}
	st.key, st.spot, t.stream = streamKey{t.q.Topic, t.q.Index, t.next}, t.spot, st
	if err == nil && t.q.Mode == Cached { // else it was done before the read
		r.readAhead(ctx, t)
	}
	st.reads++
	r.streams.put(st)
}

// reach is how much to have ahead of a stream: it doubles with each read.
func (r *Reader) reach(st *stream) (blocks int, bytes int64) {
	reads := 0
	if st != nil {
		reads = min(st.reads, 8)
	}
	share := r.cfg.CacheBytes / historyShare / 2 / max(r.streams.n.Load(), 1)
	return min(firstBlocks<<reads, maxBlocks), min(firstBytes<<reads, maxAhead, share)
}

// looksAhead is how often read-ahead asks the index, for runsPerLook runs each time.
const looksAhead = 8

// readAhead starts to load the blocks after those that t reads next, as far as the index knows them without waiting. What it
// loads goes into the cache; an error there is met again by the read itself.
func (r *Reader) readAhead(ctx context.Context, t *trip) {
	if r.cfg.CacheBytes == 0 {
		return
	}
	blocks, bytes := r.reach(t.stream)
	var space [runsPerLook]bundle.Location
	var last blockKey
	first := t.q.Mode == Load // what it loads itself
	begun := false
	for offset, looks := t.next, 0; looks < looksAhead; looks++ {
		locs, err := r.locate(ctx, &t.q, space[:0], offset, false)
		if err != nil {
			return
		}
		for _, loc := range locs {
			if loc.Base >= t.q.Before || loc.Len == 0 || loc.Pos+uint64(loc.Len) > loc.Object.Size {
				return
			}
			pos := loc.Pos
			if !begun {
				begun, pos = true, t.begin(loc).pos
			}
			for i := int(pos / BlockLen); i <= int((loc.Pos+uint64(loc.Len)-1)/BlockLen); i++ {
				k := key(loc.Object, i)
				if k == last {
					continue
				}
				if last = k; first {
					first = false
					continue
				}
				n := min(BlockLen, int64(loc.Object.Size)-int64(i)*BlockLen)
				if blocks--; blocks < 0 || bytes < n {
					return
				}
				if bytes -= n; !r.prefetch(ctx, &t.q, loc.Object, i) {
					return
				}
			}
			offset = loc.Next
		}
		if len(locs) == 0 {
			return
		}
	}
}

// prefetch starts to load a block, unless it is there. It returns false if enough is being loaded already.
func (r *Reader) prefetch(ctx context.Context, q *Request, o bundle.Object, i int) bool {
	k := key(o, i)
	if r.tail.Has(k) || r.history.Has(k) {
		return true
	}
	select {
	case r.ahead <- struct{}{}:
	default:
		return false
	}
	topic, index := q.Topic, q.Index
	if !r.history.Prefetch(ctx, k, func(ctx context.Context) (*memory.Buf, error) {
		defer func() { <-r.ahead }()
		return r.load(ctx, topic, index, o, i)
	}) {
		<-r.ahead
	}
	return true
}
