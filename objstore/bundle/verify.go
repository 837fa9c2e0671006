// Pure.

package bundle

import (
	"cmp"
	"fmt"
	"slices"
)

// Report is what Verify found in a whole object.
type Report struct {
	Header    Header
	Footer    *Footer
	FooterPos int64     // where the body ends
	Sections  []Section // in the order of the bytes, those that this version does not know too
	BodyBytes int64     // of the body
	RunBytes  int64     // bytes of the body that runs cover; the rest is referred to from elsewhere or dead
}

// Section says where a footer section lies.
type Section struct {
	Type uint16
	Pos  int64 // of its first byte after type and length
	Len  uint32
}

// Verify checks the structure of a whole object: header, footer and trailer, and beyond what ParseTail checks that header
// and trailer agree, that runs do not overlap and that the runs of each slot are in order. It does not open batches:
// whoever does also checks their CRCs and Run.Digest. The report holds what was found up to the error.
func Verify(object []byte) (Report, error) {
	var r Report
	var err error
	if r.Header, err = ParseHeader(object); err != nil {
		return r, err
	}
	f, kind, err := ParseTail(object, int64(len(object)))
	if err != nil {
		return r, err
	}
	r.Footer = f
	pos, n, _, _ := Locate(object, int64(len(object)))
	r.FooterPos, r.BodyBytes = pos, pos-HeaderLen
	for b := object[pos : pos+n]; len(b) > 0; {
		typ, body, rest, err := nextSection(b)
		if err != nil {
			return r, err
		}
		at := pos + n - int64(len(rest)) - int64(len(body))
		r.Sections = append(r.Sections, Section{Type: typ, Pos: at, Len: uint32(len(body))})
		b = rest
	}
	if kind != r.Header.Kind {
		return r, fmt.Errorf("header says %v, trailer %v: %w", r.Header.Kind, kind, ErrCorrupt)
	}
	if err := f.checkOrder(); err != nil {
		return r, err
	}
	r.RunBytes, err = f.checkOverlap()
	return r, err
}

// checkOrder checks that the runs of each slot rise by topic, partition and offset.
func (f *Footer) checkOrder() error {
	for _, s := range f.Slots {
		runs := f.Runs[s.FirstRun : s.FirstRun+s.Runs]
		for i := 1; i < len(runs); i++ {
			a, b := &runs[i-1], &runs[i]
			if order := f.compare(a, b); order > 0 || order == 0 && b.Base < a.Next {
				return fmt.Errorf("slot %d: run %d out of order: %w", s.Slot, int(s.FirstRun)+i, ErrCorrupt)
			}
		}
	}
	return nil
}

// checkOverlap checks that no two runs of this object's own body share bytes, and adds up their bytes.
func (f *Footer) checkOverlap() (bytes int64, err error) {
	own := make([]*Run, 0, len(f.Runs))
	for i := range f.Runs {
		if len(f.Refs) == 0 || f.Refs[i].Object == Here {
			own = append(own, &f.Runs[i])
		}
	}
	slices.SortFunc(own, func(a, b *Run) int { return cmp.Compare(a.Pos, b.Pos) })
	end := uint64(0)
	for _, r := range own {
		if r.Pos < end {
			return bytes, fmt.Errorf("runs overlap at byte %d: %w", r.Pos, ErrCorrupt)
		}
		end = r.Pos + uint64(r.Len)
		bytes += int64(r.Len)
	}
	return bytes, nil
}
