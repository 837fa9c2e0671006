package segment

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// ErrManyWishes: so many topics are to be rewritten at once already. Try again when one of them is done.
var ErrManyWishes = errors.New("many topics are being rewritten")

// Bounds of wishes.
const (
	maxWishes = 16
	wishTime  = time.Hour // what is not fulfilled by then is left to the roll time
	namedLeft = 10        // partitions that a Rewriting names
)

// Rewriting is how far a topic has come that somebody wants in segments now.
type Rewriting struct {
	Topic    uuid.UUID
	Asked    time.Time
	Left     int     // partitions led here with records from before the wish that are in no segment yet
	Some     []int32 // the first of them
	Segments int     // cut since, here
	Bytes    int64   // of them
}

// wishes are the topics whose logs shall lie in segments now, whatever roll times say. They are of this process: who wants one asks every
// agent, and again after one was started anew.
type wishes struct {
	wake chan struct{} // holds one
	mu   struct {
		sync.Mutex
		all map[uuid.UUID]*wish
	}
}

type wish struct {
	asked    time.Time
	until    map[int32]int64 // up to where, of partitions that were seen here
	segments int
	bytes    int64
}

func newWishes() *wishes {
	w := &wishes{wake: make(chan struct{}, 1)}
	w.mu.all = map[uuid.UUID]*wish{}
	return w
}

// Rewrite has what a topic holds now, up to the last stable offsets, cut into segments soon. What is led here later counts from when
// it is. Error: ErrManyWishes.
func (r *Room) Rewrite(topic uuid.UUID) error {
	if !r.wishes.add(topic) {
		return ErrManyWishes
	}
	r.left(topic) // takes note of how far the logs reach
	select {
	case r.wishes.wake <- struct{}{}:
	default:
	}
	return nil
}

// add reports false if there are too many.
func (w *wishes) add(topic uuid.UUID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, old := range w.mu.all {
		if id == topic || time.Since(old.asked) > wishTime {
			delete(w.mu.all, id)
		}
	}
	if len(w.mu.all) >= maxWishes {
		return false
	}
	w.mu.all[topic] = &wish{asked: time.Now(), until: map[int32]int64{}}
	return true
}

// Rewritings returns what was asked for within the last hour.
func (r *Room) Rewritings() []Rewriting {
	r.wishes.mu.Lock()
	var all []Rewriting
	for id, w := range r.wishes.mu.all {
		if time.Since(w.asked) <= wishTime {
			all = append(all, Rewriting{Topic: id, Asked: w.asked, Segments: w.segments, Bytes: w.bytes})
		}
	}
	r.wishes.mu.Unlock()
	for i := range all {
		left := r.left(all[i].Topic)
		all[i].Left, all[i].Some = len(left), left[:min(len(left), namedLeft)]
	}
	slices.SortFunc(all, func(a, b Rewriting) int { return a.Asked.Compare(b.Asked) })
	return all
}

// left returns the partitions of a topic that is asked for which are not there yet.
func (r *Room) left(topic uuid.UUID) (left []int32) {
	r.d.Partitions.Tails(func(t Tail) bool {
		if t.Topic == topic && r.wishes.want(&t) {
			left = append(left, t.Index)
		}
		return true
	})
	slices.Sort(left)
	return left
}

// want reports whether what lies in a tail, or some of it, shall be cut now.
func (w *wishes) want(t *Tail) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.mu.all) == 0 {
		return false
	}
	wish := w.mu.all[t.Topic]
	if wish == nil || time.Since(wish.asked) > wishTime {
		return false
	}
	until, seen := wish.until[t.Index]
	if !seen {
		until = t.Stable
		wish.until[t.Index] = until
	}
	return t.Runs > 0 && t.Base < until
}

// cut notes a segment.
func (w *wishes) cut(topic uuid.UUID, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wish := w.mu.all[topic]; wish != nil {
		wish.segments++
		wish.bytes += bytes
	}
}
