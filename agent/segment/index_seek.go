// Pure.

package segment

import "github.com/varvelog/varve/metastore/records"

// seek narrows down where the first record with a timestamp of ts or later lies in the extents from lo to hi, by what some of them say of all
// that come before them (records.Top). What it says is where to look next, extent by extent: nothing below lo has such a record. It is
// never wrong, and as good as what the extents say.
type seek struct {
	ts         int64
	lo, hi     int64 // nothing is below lo; from hi on nobody looks before the rest is looked at
	loTS, hiTS int64 // the largest timestamps up to there
	each       int64 // offsets of a page of extents, about
	steps      int
	vain       int  // of them, the last ones that said nothing
	blind      bool // what is said is of extents below lo, or nothing is
}

// maxSeek is how many questions a seek asks: a million extents take about five, if time rises, and twenty at worst.
const (
	maxSeek = 40
	maxVain = 2
)

// newSeek begins a seek at from in the extents of p, the one before having loTS as its largest timestamp.
func newSeek(p *records.Partition, from, ts, loTS int64) seek {
	s := seek{ts: ts, lo: from, hi: p.Tiered, loTS: loTS, hiTS: loTS, each: max((p.Tiered-p.LogStart)/max(p.Extents, 1), 1) * pageExtents}
	if p.Top != (records.Top{}) {
		s.learn(p.Top, p.Tiered)
	}
	return s
}

// learn takes what is said of the extents up to next.
func (s *seek) learn(t records.Top, next int64) {
	switch {
	case t.From > s.lo: // of what lies before it nothing is said: look there first
		s.hi = min(s.hi, t.From)
	case t.TS < s.ts:
		s.lo, s.loTS = max(s.lo, next), t.TS
	case t.At >= s.lo:
		s.hi, s.hiTS = min(s.hi, next), t.TS
	default:
		s.blind = true
	}
}

// page takes the extents that were asked for.
func (s *seek) page(extents []records.Extent) {
	lo, hi := s.lo, s.hi
	defer func() {
		s.steps++
		if s.vain++; s.lo != lo || s.hi != hi {
			s.vain = 0
		}
		s.blind = s.blind || s.vain == maxVain
	}()
	for i := range extents {
		e := &extents[i]
		if s.blind || e.Base >= s.hi {
			return
		}
		if e.Base < s.lo {
			continue
		}
		if e.MaxTimestamp >= s.ts { // here, or before it
			s.hi, s.hiTS = min(s.hi, e.Next), e.MaxTimestamp
		}
		if t := e.Top; t != (records.Top{}) {
			s.learn(t, e.Next)
		} else if e.MaxTimestamp < s.ts && e.Base == s.lo {
			s.lo = e.Next
		}
	}
}

// probe returns the offset to ask for next; false if there is nothing to be gained.
func (s *seek) probe() (int64, bool) {
	if s.blind || s.hi-s.lo <= s.each || s.steps == maxSeek {
		return 0, false
	}
	if s.steps%2 == 0 && s.loTS < s.ts && s.hiTS > s.ts && s.hiTS-s.loTS < 1<<52 {
		share := float64(s.ts-s.loTS) / float64(s.hiTS-s.loTS)
		guess := s.lo + int64(share*float64(s.hi-s.lo)) - s.each/2
		return min(max(guess, s.lo), s.hi-1), true
	}
	return s.lo + (s.hi-s.lo)/2, true
}
