package segment

import (
	"context"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// LocateTime returns the first piece from offset from on that may hold a record with a timestamp of ts (ms) or later: it does, unless
// from lies inside of its segment, whose index knows the largest timestamp from the segment's begin on only. ok is false if no
// extent has such a record. Timestamps need not rise with the offsets: extents are looked at one by one, a page at a time, and between two
// pages those are left out of which others say that they have none. Errors as of Locate.
func (x *Index) LocateTime(ctx context.Context, topic uuid.UUID, index int32, from, ts int64) (loc bundle.Location, ok bool, err error) {
	wait, top := 1, int64(0) // pages to look at before the next leap; the largest timestamp of the last one
	for looked := 0; ; {
		extents, err := x.Extents(ctx, topic, index, from)
		if err != nil || len(extents) == 0 {
			return loc, false, err
		}
		for i := range extents {
			e := &extents[i]
			if from = max(from, e.Base); e.MaxTimestamp < ts {
				top = e.MaxTimestamp
				continue
			}
			if loc, ok, err = x.timeIn(ctx, topic, index, e, from, ts); ok || err != nil {
				return loc, ok, err
			}
		}
		from = extents[len(extents)-1].Next
		if looked++; looked < wait {
			continue
		}
		to, there, err := x.leap(ctx, Name{topic, index}, from, ts, top)
		if err != nil || !there {
			return loc, false, err
		}
		if looked = 0; to == from { // nothing could be said: ask less often
			wait *= 2
		}
		from = to
	}
}

// leap returns from where on to look for a record with a timestamp of ts or later, at from or above it; false if no extent there has one.
// The extents before from have top as their largest timestamp, about.
func (x *Index) leap(ctx context.Context, at Name, from, ts, top int64) (to int64, there bool, err error) {
	p, ok, err := x.Partition(ctx, at.Topic, at.Index)
	if err != nil || !ok || from >= p.Tiered {
		return from, false, err
	}
	s := newSeek(&p, from, ts, top)
	for probe, more := s.probe(); more; probe, more = s.probe() {
		extents, err := x.Extents(ctx, at.Topic, at.Index, probe)
		if err != nil {
			return from, false, err
		}
		s.page(extents)
	}
	return s.lo, s.lo < p.Tiered, nil
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
	p, there, err := x.Partition(ctx, topic, index)
	if err != nil || !there || from >= p.Tiered {
		return 0, 0, false, err
	}
	known := p.Top != (records.Top{}) && p.Top.At >= from // of the extents from p.Top.From on
	for !known || from < p.Top.From {
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
	if !ok || p.Top.TS > ts {
		return p.Top.TS, p.Top.At, true, nil
	}
	return ts, at, true, nil
}
