// Pure.

package segment

import "github.com/varvelog/varve/metastore/records"

// Bounds of merges of segments.
const (
	joinMost   = 64       // segments that become one: each is an item of the transaction
	joinPage   = 128      // extents that one look reads
	joinFold   = 8        // a merge is so many times larger than the largest of its segments, unless it is full
	joinShare  = 8        // of what a topic keeps by time or bytes a merge spans no more than one in so many
	joinsAtAll = 16       // merges of one round
	looksAtAll = 64       // partitions looked at in one round
	joinRound  = 64 << 20 // bytes: a round begins no merge beyond them
)

// joiner says which neighbouring segments of a partition become one.
//
// A segment of half the size that is enough for a cut is full, and stays as it is. Others are merged when what comes out is joinFold times
// the largest of them, or is twice the largest, and full or in front of a full one, and nothing can be added: so a byte is rewritten once per factor
// of joinFold, and once more. Of a topic that removes old records a merge spans little, because it goes as a whole, when its newest record goes.
type joiner struct {
	enough int64 // bytes of a merge at most
	keep   Limits
	now    int64 // ms
}

// full reports whether a segment with so many bytes stays as it is for ever.
func (j joiner) full(bytes int64) bool { return bytes >= j.enough/2 }

// nearly is how many bytes a merge has that waits for no more.
func (j joiner) nearly() int64 { return j.enough / 4 * 3 }

// leaving reports whether an extent is to be removed so soon that a merge is not worth it.
func (j joiner) leaving(e *records.Extent) bool {
	return j.keep.Time >= 0 && e.MaxTimestamp < j.now && j.now-e.MaxTimestamp > j.keep.Time-j.keep.Time/4
}

// reach returns up to where the extents from i on may be one together: i itself if that one may not.
func (j joiner) reach(extents []records.Extent, i int) (end int, bytes int64) {
	lo, hi := extents[i].MinTimestamp, extents[i].MaxTimestamp
	for end = i; end < len(extents) && end-i < joinMost; end++ {
		e := &extents[end]
		lo, hi = min(lo, e.MinTimestamp), max(hi, e.MaxTimestamp)
		switch {
		case end > i && e.Base != extents[end-1].Next, j.full(e.Bytes), j.leaving(e), bytes+e.Bytes > j.enough:
			return end, bytes
		case j.keep.Time >= 0 && uint64(hi)-uint64(lo) > uint64(j.keep.Time/joinShare), j.keep.Bytes >= 0 && bytes+e.Bytes > j.keep.Bytes/joinShare:
			return end, bytes
		}
		bytes += e.Bytes
	}
	return end, bytes
}

// pick returns which of extents, which are in order, become one: [from, to); none if to is 0. What is before settled will never be
// merged with anything that comes behind the extents.
func (j joiner) pick(extents []records.Extent) (from, to, settled int) {
	settled = len(extents)
	for i := range extents {
		end, bytes := j.reach(extents, i)
		if end == len(extents) {
			settled = min(settled, i)
		}
		closed := end < len(extents)
		if j.worth(extents[i:end], bytes, closed, closed && j.full(extents[end].Bytes)) {
			return i, end, settled
		}
	}
	return 0, 0, settled
}

// worth reports whether some segments, of so many bytes together, are to become one. closed: nothing more can be added to them; walled: because a
// full one follows, as with a partition that has much to do by day and little by night.
func (j joiner) worth(some []records.Extent, bytes int64, closed, walled bool) bool {
	if len(some) < 2 {
		return false
	}
	most := int64(0)
	for i := range some {
		most = max(most, some[i].Bytes)
	}
	return most*joinFold <= bytes || most*2 <= bytes && (bytes >= j.nearly() || closed && j.full(bytes) || walled)
}

// wait returns how many small segments must come behind extents, which hold nothing to merge, before it is worth to look again: as many
// as the last ones lack to be joinFold of about one size, or to be enough.
func (j joiner) wait(extents []records.Extent) int {
	n, bytes, each := 0, int64(0), int64(1)
	for n < len(extents) && n < joinFold {
		e := &extents[len(extents)-1-n]
		if n == 0 {
			each = max(e.Bytes, 1)
		}
		if j.full(e.Bytes) || e.Bytes/4 > each {
			break
		}
		n, bytes = n+1, bytes+e.Bytes
	}
	lack := min(int64(joinFold-n), (j.nearly()-bytes+each-1)/each)
	if lack <= 0 || n == 0 {
		return joinFold / 2 // what the topic keeps, or their sizes, stand in the way; or the last one is full and says nothing of what comes
	}
	return int(lack)
}

// firstLook is where the first look at a partition's extents begins: a page of them before their end, about.
func firstLook(p *records.Partition) int64 {
	if p.Extents <= joinPage {
		return p.LogStart
	}
	each := max((p.Tiered-p.LogStart)/p.Extents, 1)
	return max(p.LogStart, p.Tiered-each*joinPage*3/4)
}
