package fetch

import (
	"context"
	"math"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// moves is how often a search is begun again because runs went from the tail into extents meanwhile.
const moves = 4

// FirstTime returns the first run or piece from offset from on that says to hold a record with a timestamp of ts (ms) or later; ok
// is false if there is none. What it says may be more than it holds: look, and ask again from its end on. Errors are those of
// Extents.
func (r *Reader) FirstTime(ctx context.Context, log Log, topic uuid.UUID, index int32, from, ts int64) (loc bundle.Location, ok bool, err error) {
	for range moves {
		begin, had := log.LocateTime(math.MinInt64)
		if r.below(log, from) {
			if loc, ok, err = r.cfg.Extents.LocateTime(ctx, topic, index, from, ts); ok || err != nil {
				return loc, ok, err
			}
		}
		loc, ok = inTail(log, from, ts)
		if now, has := log.LocateTime(math.MinInt64); has == had && now.Base == begin.Base {
			break
		}
	}
	return loc, ok, nil
}

// inTail is FirstTime in the tail alone.
func inTail(log Log, from, ts int64) (loc bundle.Location, ok bool) {
	if loc, ok = log.LocateTime(ts); !ok || loc.Next > from {
		return loc, ok
	}
	for {
		runs := log.Locate(nil, from, 64)
		if len(runs) == 0 {
			return bundle.Location{}, false
		}
		for _, loc := range runs {
			if loc.MaxTimestamp >= ts {
				return loc, true
			}
			from = loc.Next
		}
	}
}

// MaxTime returns the first run or piece from offset from on that says to hold the largest timestamp. Errors as of FirstTime.
func (r *Reader) MaxTime(ctx context.Context, log Log, topic uuid.UUID, index int32, from int64) (loc bundle.Location, ok bool, err error) {
	loc, ok = log.LocateMaxTime() // first: what leaves the tail from now on is in extents
	if r.below(log, from) {
		ts, at, there, err := r.cfg.Extents.LocateMaxTime(ctx, topic, index, from)
		if err != nil {
			return loc, false, err
		}
		if there && (!ok || ts >= loc.MaxTimestamp) {
			return r.cfg.Extents.LocateTime(ctx, topic, index, at, ts)
		}
	}
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
