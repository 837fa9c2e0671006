// Pure.

package segment

import (
	"fmt"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// pieceLen is how many bytes of neighbouring stretches are read as one piece, at most.
const pieceLen = 512 << 10

// outlineOf returns the pieces of a segment: stretches between two entries of its sparse index, joined up to pieceLen. A piece's
// largest timestamp is that of its run up to the piece's end. Error: bundle.ErrCorrupt.
func outlineOf(f *bundle.Footer, at Name, e *records.Extent) ([]bundle.Location, error) {
	if len(f.Runs) == 0 || f.Runs[0].Base != e.Base || f.Runs[len(f.Runs)-1].Next != e.Next {
		return nil, fmt.Errorf("%w: not the offsets %d to %d", bundle.ErrCorrupt, e.Base, e.Next)
	}
	if t := f.Topics[f.Runs[0].Topic].ID; t != at.Topic || f.Runs[0].Partition != at.Index {
		return nil, fmt.Errorf("%w: it is of %s-%d", bundle.ErrCorrupt, t, f.Runs[0].Partition)
	}
	var pieces []bundle.Location
	for i := range f.Runs {
		r := &f.Runs[i]
		sparse := f.SparseOf(i)
		first := len(pieces)
		for k, s := range sparse {
			end, next := r.Len, r.Next
			if k+1 < len(sparse) {
				end, next = sparse[k+1].PosDelta, r.Base+int64(sparse[k+1].OffsetDelta)
			}
			n := end - s.PosDelta
			if last := len(pieces) - 1; last >= first && pieces[last].Len+n <= pieceLen {
				p := &pieces[last]
				p.Len, p.Next, p.MaxTimestamp = p.Len+n, next, s.MaxTimestamp
				continue
			}
			pieces = append(pieces, bundle.Location{
				Object: object(e), Pos: r.Pos + uint64(s.PosDelta), Len: n,
				Base: r.Base + int64(s.OffsetDelta), Next: next, MaxTimestamp: s.MaxTimestamp, LeaderEpoch: r.LeaderEpoch,
			})
		}
	}
	return pieces, nil
}
