package fetch

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore/bundle"
)

// Bounds of read-ahead. A stream has at most 64 blocks or 112 MiB ahead of it, and less if the streams together would have more
// than the cache has for history. What they have read is the first to go there. So much it takes: blocks come in any order, and
// are read in theirs, so that the slowest of them decides.
const (
	maxStreams  = 4096
	firstBlocks = 4 // ahead of a reader who reads for the first time
	firstBytes  = 2 * BlockLen
	maxBlocks   = 64
	maxAhead    = 112 << 20
	idleStream  = time.Minute     // a stream that has not read for so long has left
	aheadTurn   = 5 * time.Second // so long a load ahead of a reader waits for its turn
)

// errNoTurn: a load ahead of a reader has waited for aheadTurn, because the store is slow. It did not begin; whoever came to need the block
// meanwhile loads it in a turn of its own.
var errNoTurn = errors.New("no turn to load ahead of a reader")

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
	last  blockKey  // it is in this one
	at    time.Time // when it read last
	elem  *list.Element
}

// streams are those that read last, at most maxStreams.
type streams struct {
	n    atomic.Int64
	last atomic.Int64 // when one was put, Unix time in ns
	mu   struct {
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
	st.at = time.Now()
	s.last.Store(st.at.UnixNano())
	st.elem = s.mu.recent.PushFront(st)
	s.n.Add(1)
	for {
		oldest := s.mu.recent.Back().Value.(*stream)
		if s.n.Load() <= maxStreams && st.at.Sub(oldest.at) < idleStream {
			return
		}
		s.drop(oldest)
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
	st.key, st.spot, st.last, t.stream = streamKey{t.q.Topic, t.q.Index, t.next}, t.spot, t.last, st
	if t.q.Mode == Cached && (err == nil || errors.Is(err, ErrMiss)) { // else it was done before the read
		r.readAhead(ctx, t)
	}
	st.reads++
	r.streams.put(st)
	r.widen()
}

// widen gives history more of the cache while streams read there.
func (r *Reader) widen() {
	if !r.wide.Load() {
		r.streams.last.Store(time.Now().UnixNano()) // else narrow takes it back at once from the first stream there is
	}
	if r.wide.CompareAndSwap(false, true) {
		r.resize()
	}
}

// narrow gives what widen took back to what is committed here, once no stream has read for a while.
func (r *Reader) narrow() {
	if r.wide.Load() && time.Since(time.Unix(0, r.streams.last.Load())) > idleStream && r.wide.CompareAndSwap(true, false) {
		r.resize()
	}
}

// resize is called after each change of wide. Of two at once the later one has the last word for both caches.
func (r *Reader) resize() {
	r.sizing.Lock()
	defer r.sizing.Unlock()
	history := r.cfg.CacheBytes * historyShare / shares
	if r.wide.Load() {
		history = r.cfg.CacheBytes * wideShare / shares
	}
	r.tail.Resize(r.cfg.CacheBytes - history)
	r.history.Resize(history)
}

// reach is how much to have ahead of a stream: it doubles with each read.
func (r *Reader) reach(st *stream) (blocks int, bytes int64) {
	reads := 0
	if st != nil {
		reads = min(st.reads, 8)
	}
	share := r.cfg.CacheBytes*wideShare/shares/max(r.streams.n.Load(), 1) - BlockLen // which it is in
	return min(firstBlocks<<reads, maxBlocks), min(firstBytes<<reads, maxAhead, share)
}

// looksAhead is how often read-ahead asks the index, for runsPerLook runs each time.
const looksAhead = 16

// readAhead starts to load the blocks after those that t reads next, as far as the index knows them without waiting. What it
// loads goes into the cache; an error there is met again by the read itself.
func (r *Reader) readAhead(ctx context.Context, t *trip) {
	if r.cfg.CacheBytes == 0 {
		return
	}
	blocks, bytes := r.reach(t.stream)
	if t.warm {
		blocks, bytes = blocks+1, max(bytes, 0)+BlockLen
	}
	var space [runsPerLook]bundle.Location
	var last blockKey
	first := t.q.Mode != Cached && !t.warm // what it loads itself
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
				r.widen() // before the block comes: else it pushes out the one that is to be read
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

// prefetch starts to load a block, unless it is there, as soon as its turn comes. It returns false if enough waits already.
func (r *Reader) prefetch(ctx context.Context, q *Request, o bundle.Object, i int) bool {
	k := key(o, i)
	if r.tail.Has(k) || r.history.Has(k) {
		return true
	}
	select {
	case r.queue <- struct{}{}:
	default:
		return false
	}
	topic, index := q.Topic, q.Index
	if !r.history.Prefetch(ctx, k, func(ctx context.Context) (*memory.Buf, error) {
		defer func() { <-r.queue }()
		turn, end := context.WithTimeoutCause(ctx, aheadTurn, errNoTurn)
		defer end()
		select {
		case r.ahead <- struct{}{}:
		case <-turn.Done():
			return nil, context.Cause(turn)
		}
		defer func() { <-r.ahead }()
		return r.load(ctx, topic, index, o, i)
	}) {
		<-r.queue
	}
	return true
}

// Warm begins to load what a Read of q would have to wait for, and what comes after it, and returns when it knows what that is. A stream
// that will read there stays where it is.
func (r *Reader) Warm(ctx context.Context, q Request) {
	q.Mode = Load
	t := &trip{r: r, q: q, next: q.From, warm: true}
	if _, err := r.locate(ctx, &t.q, t.space[:0], t.next, true); err != nil {
		return
	}
	if t.stream = r.streams.take(streamKey{q.Topic, q.Index, q.From}); t.stream != nil { // for a moment: the Read may come already
		defer r.streams.put(t.stream)
	}
	r.readAhead(ctx, t)
}
