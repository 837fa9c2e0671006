// Pure.

package segment

import "math"

// hunt finds the extent that holds an offset in a table that can be asked only for what begins after a key, in ascending order. It
// guesses a key not far below the offset, by how many offsets an extent has, and halves the rest when guesses fail: a
// partition with a million extents takes about as many questions as one with ten.
type hunt struct {
	offset int64
	lo, hi int64 // an extent that holds offset has a base in (lo, hi]
	after  int64 // what to ask for: extents with a larger base
	span   int64 // how far below the offset the last guess lay
	steps  int
}

// guesses is after how many questions the hunt only halves.
const guesses = 6

// newHunt begins a hunt. span is how many offsets below the one that is looked for the first question begins.
func newHunt(offset, span int64) hunt {
	h := hunt{offset: offset, lo: -1, hi: offset, span: max(span, 1)}
	h.after = h.back(h.span)
	return h
}

// back returns the key that lies span below the offset, above lo.
func (h *hunt) back(span int64) int64 {
	if span > h.offset { // also keeps the difference inside int64
		return h.lo
	}
	return max(h.lo, h.offset-span)
}

// verdict is what an answer says.
type verdict uint8

const (
	huntOn  verdict = iota // ask again, after h.after
	huntHit                // the answer holds the offset
	huntOut                // no extent holds it
)

// learn takes the answer to the last question: count contiguous extents that reach from base to next, and whether there are more
// behind them. lastBase is the base of the last one.
func (h *hunt) learn(count int, base, next, lastBase int64, more bool) verdict {
	h.steps++
	switch {
	case count > 0 && base <= h.offset && next > h.offset:
		return huntHit
	case count == 0 || base > h.offset: // went too far
		if h.after <= h.lo {
			return huntOut
		}
		h.hi = h.after
		if h.span > math.MaxInt64/8 {
			h.span = math.MaxInt64 / 8
		}
		h.span *= 8
		h.next(h.back(h.span))
	case !more:
		return huntOut
	default: // not far enough
		h.lo = lastBase
		h.next(h.onward(count, next-base, next))
	}
	return huntOn
}

// onward guesses from the extents that were seen, which reach up to next, how far to jump.
func (h *hunt) onward(count int, offsets, next int64) int64 {
	each := max(offsets/int64(count), 1)
	if h.offset-next < offsets {
		return h.lo // in the next answer
	}
	return h.back(each * int64(min(count, pageExtents/4)))
}

// next makes guess the next question, if it is one that was not answered.
func (h *hunt) next(guess int64) {
	if h.steps >= guesses || guess >= h.hi {
		guess = h.lo + (h.hi-h.lo)/2
	}
	h.after = max(guess, h.lo)
}
