package fetch

import (
	"context"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// FirstTime returns the first run or piece from offset from on that says to hold a record with a timestamp of ts (ms) or later; ok
// is false if there is none. What it says may be more than it holds: look, and ask again from its end on. Errors are those of
// Extents.
func (r *Reader) FirstTime(ctx context.Context, log Log, topic uuid.UUID, index int32, from, ts int64) (loc bundle.Location, ok bool, err error) {
	if r.below(log, from) {
		if loc, ok, err = r.cfg.Extents.LocateTime(ctx, topic, index, from, ts); ok || err != nil {
			return loc, ok, err
		}
	}
	if loc, ok = log.LocateTime(ts); !ok || loc.Next > from {
		return loc, ok, nil
	}
	for {
		runs := log.Locate(nil, from, 64)
		if len(runs) == 0 {
			return bundle.Location{}, false, nil
		}
		for _, loc := range runs {
			if loc.MaxTimestamp >= ts {
				return loc, true, nil
			}
			from = loc.Next
		}
	}
}

// MaxTime returns the first run or piece from offset from on that says to hold the largest timestamp. Errors as of FirstTime.
func (r *Reader) MaxTime(ctx context.Context, log Log, topic uuid.UUID, index int32, from int64) (loc bundle.Location, ok bool, err error) {
	if r.below(log, from) {
		ts, at, there, err := r.cfg.Extents.LocateMaxTime(ctx, topic, index, from)
		if err != nil {
			return loc, false, err
		}
		if tail, ok := log.LocateMaxTime(); there && (!ok || ts >= tail.MaxTimestamp) {
			return r.cfg.Extents.LocateTime(ctx, topic, index, at, ts)
		}
	}
	loc, ok = log.LocateMaxTime()
	return loc, ok, nil
}

// below reports whether the tail does not reach down to an offset, so that extents hold it.
func (r *Reader) below(log Log, offset int64) bool {
	if r.cfg.Extents == nil {
		return false
	}
	locs := log.Locate(nil, offset, 1)
	return len(locs) == 0 || locs[0].Base > offset
}
