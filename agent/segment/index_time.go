package segment

import (
	"context"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// LocateTime returns the first piece from offset from on that may hold a record with a timestamp of ts (ms) or later: it does, unless
// from lies inside of its segment, whose index knows the largest timestamp from the segment's begin on only. ok is false if no
// extent has such a record. Timestamps need not rise with the offsets, so extents are looked at one by one, a page at a time.
// Errors as of Locate.
func (x *Index) LocateTime(ctx context.Context, topic uuid.UUID, index int32, from, ts int64) (loc bundle.Location, ok bool, err error) {
	for {
		extents, err := x.Extents(ctx, topic, index, from)
		if err != nil || len(extents) == 0 {
			return loc, false, err
		}
		for i := range extents {
			e := &extents[i]
			if from = max(from, e.Base); e.MaxTimestamp < ts {
				continue
			}
			if loc, ok, err = x.timeIn(ctx, topic, index, e, from, ts); ok || err != nil {
				return loc, ok, err
			}
		}
		from = extents[len(extents)-1].Next
	}
}

// timeIn does it for one extent.
func (x *Index) timeIn(ctx context.Context, topic uuid.UUID, index int32, e *records.Extent, from, ts int64) (loc bundle.Location, ok bool, err error) {
	var space [32]bundle.Location
	for from < e.Next {
		pieces, _, err := x.Locate(ctx, space[:0], topic, index, from, len(space), true)
		if err != nil || len(pieces) == 0 {
			return loc, false, err
		}
		for _, p := range pieces {
			if p.Base >= e.Next {
				return loc, false, nil
			}
			if p.MaxTimestamp >= ts {
				return p, true, nil
			}
			from = p.Next
		}
	}
	return loc, false, nil
}

// LocateMaxTime returns the largest timestamp (ms) that the extents from offset from on speak of, and the offset from which on
// LocateTime finds it. ok is false if there are no extents. Errors as of Locate.
func (x *Index) LocateMaxTime(ctx context.Context, topic uuid.UUID, index int32, from int64) (ts, at int64, ok bool, err error) {
	for {
		extents, err := x.Extents(ctx, topic, index, from)
		if err != nil || len(extents) == 0 {
			return ts, at, ok, err
		}
		for i := range extents {
			if e := &extents[i]; !ok || e.MaxTimestamp > ts {
				ts, at, ok = e.MaxTimestamp, max(e.Base, from), true
			}
		}
		from = extents[len(extents)-1].Next
	}
}
