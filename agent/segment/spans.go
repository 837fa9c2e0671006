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

// check looks at the bytes that came, while the processor has them at hand. What it finds wrong is found again, and named, later.
func (w *want) check() {
	if w.sound != nil {
		*w.sound = soundRun(w.dst)
	}
}

// soundRun reports whether run is whole batches whose CRCs are right.
func soundRun(run []byte) bool {
	for len(run) > 0 {
		b, rest, err := recordbatch.Next(run)
		if err != nil || b == nil || b.CheckCRC() != nil {
			return false
		}
		run = rest
	}
	return true
}

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
