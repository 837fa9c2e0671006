// Pure.

package segment

import (
	"cmp"
	"slices"

	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// want is bytes of an object, and where they shall go.
type want struct {
	object bundle.Object
	pos    uint64
	dst    []byte
	sound  *bool // of a whole run: told when the bytes are there, and every batch has the CRC that it says. May be nil
}

// check looks at bytes that were in memory. What it finds wrong is found again, and named, later.
func (w *want) check() {
	var f follower
	f.add(w, len(w.dst))
}

// follower checks the batches of wants, one after the other, as their bytes come, while the processor has them at hand: a walk over all of a
// GET would fetch them from memory once more, which takes several times what the CRC does.
type follower struct {
	wants []want
	begin uint64 // of the first byte in the object
	next  int    // of wants
	run   runSum
}

// came notes that n bytes are there, counted from begin. 0: they come anew, and nothing that was seen counts.
func (f *follower) came(n int64) {
	if n == 0 {
		f.next, f.run = 0, runSum{}
	}
	for f.next < len(f.wants) {
		w := &f.wants[f.next]
		have := min(n-int64(w.pos-f.begin), int64(len(w.dst)))
		if have < 0 || !f.add(w, int(have)) {
			return
		}
		f.next++
	}
}

// add looks at the first n bytes of w, and reports whether these are all.
func (f *follower) add(w *want, n int) bool {
	if w.sound != nil {
		f.run.add(w.dst[:n])
		*w.sound = n == len(w.dst) && f.run.whole(n)
	}
	if n < len(w.dst) {
		return false
	}
	f.run = runSum{}
	return true
}

// runSum adds up the CRCs of a run's batches.
type runSum struct {
	at   int // bytes that were added, or passed over
	end  int // of the batch at hand
	sum  uint32
	want uint32
	bad  bool
}

// add takes the run as far as it is there.
func (r *runSum) add(got []byte) {
	for !r.bad {
		if r.at == r.end && !r.head(got[r.end:]) {
			return
		}
		to := min(r.end, len(got))
		r.sum = recordbatch.AddSum(r.sum, got[r.at:to])
		if r.at = to; to < r.end {
			return
		}
		r.bad = r.sum != r.want
	}
}

// head begins with the batch that is next, once its header is there.
func (r *runSum) head(got []byte) bool {
	if len(got) < recordbatch.HeaderLen {
		return false
	}
	b := recordbatch.Batch(got)
	n := 12 + int(b.Length())
	if r.bad = b.Magic() != 2 || n < recordbatch.HeaderLen; r.bad {
		return false
	}
	r.sum, r.want, r.at, r.end = 0, b.CRC(), r.end+recordbatch.SumStart, r.end+n
	return true
}

// whole reports whether a run of n bytes is batches whose CRCs are right.
func (r *runSum) whole(n int) bool { return !r.bad && r.at == n && r.end == n }

// span is one GET: bytes [pos, end) of an object, for the wants inside it, which are in order and share nothing.
type span struct {
	object   bundle.Object
	pos, end uint64
	wants    []want
}

// maxGap is how many bytes that nobody wants a GET reads over: less than what a further request costs in time.
const maxGap = 512 << 10

// spans joins wants to GETs of at most limit bytes, by object and position. Larger wants are split.
func spans(wants []want, limit int) []span {
	wants = splitWants(wants, limit)
	slices.SortFunc(wants, func(a, b want) int {
		return cmp.Or(compareSources(sourceOf(a.object), sourceOf(b.object)), cmp.Compare(a.pos, b.pos))
	})
	var all []span
	for _, w := range wants {
		end := w.pos + uint64(len(w.dst))
		if n := len(all) - 1; n >= 0 && sourceOf(all[n].object) == sourceOf(w.object) && w.pos >= all[n].end && w.pos <= all[n].end+maxGap && end-all[n].pos <= uint64(limit) {
			all[n].end = end
			all[n].wants = append(all[n].wants, w)
			continue
		}
		all = append(all, span{object: w.object, pos: w.pos, end: end, wants: []want{w}})
	}
	return all
}

func splitWants(wants []want, limit int) []want {
	out := make([]want, 0, len(wants))
	for _, w := range wants {
		for len(w.dst) > limit {
			out = append(out, want{object: w.object, pos: w.pos, dst: w.dst[:limit:limit]})
			w.pos, w.dst, w.sound = w.pos+uint64(limit), w.dst[limit:], nil
		}
		out = append(out, w)
	}
	return out
}

// gap is how many bytes the widest gap between two wants has.
func (s *span) gap() (widest int) {
	s.walk(func(skip int, _ []byte) { widest = max(widest, skip) })
	return widest
}

// places returns where the bytes of s go, in order: those that nobody wants into waste, which has as many as the widest gap.
func (s *span) places(waste []byte) [][]byte {
	dst := make([][]byte, 0, 2*len(s.wants))
	s.walk(func(skip int, wanted []byte) {
		if skip > 0 {
			dst = append(dst, waste[:skip])
		}
		dst = append(dst, wanted)
	})
	return dst
}

// walk calls yield for each want, with the number of bytes before it that nobody wants.
func (s *span) walk(yield func(skip int, wanted []byte)) {
	at := s.pos
	for _, w := range s.wants {
		yield(int(w.pos-at), w.dst)
		at = w.pos + uint64(len(w.dst))
	}
}
