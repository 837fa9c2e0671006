package simtest

import (
	"github.com/varvelog/varve/metastore/records"
)

// merged takes out of what was added and what is gone the extents that took the place of others, and checks them: one holds the offsets of
// several neighbours and the batches that were committed, tiered and the log start are where they were, and the old objects are queued.
func (b *books) merged(id logID, log *committed, was, now *tier, added, gone []records.Extent) (linked, unlinked []records.Extent) {
	for i := range added {
		e := &added[i]
		var old, rest []records.Extent
		for _, g := range gone {
			if g.Base >= e.Base && g.Next <= e.Next {
				old = append(old, g)
			} else {
				rest = append(rest, g)
			}
		}
		if len(old) == 0 {
			linked = append(linked, *e)
			continue
		}
		gone = rest
		b.count.linked, b.count.unlinked, b.count.merged = b.count.linked-1, b.count.unlinked-len(old), b.count.merged+len(old)
		at, bytes := e.Base, int64(0)
		for _, g := range old {
			if g.Base != at {
				b.bad("I8: %v: extent %+v takes the place of others with a hole at %d", id, *e, at)
			}
			at, bytes = g.Next, bytes+g.Bytes
			if key := b.keys.Segment(id.topic, id.partition, g.Base, g.Segment); !b.isQueued(key) {
				b.bad("I9: %s was merged and is not queued", key)
			}
		}
		if at != e.Next || len(old) < 2 || bytes != e.Bytes || now.item.Tiered != was.item.Tiered || now.item.LogStart != was.item.LogStart {
			b.bad("I8: %v: extent %+v takes the place of %+v; item %+v, then %+v", id, *e, old, was.item, now.item)
		}
		if e.Top != old[len(old)-1].Top {
			b.bad("I8: %v: extent %+v says other times than %+v", id, *e, old)
		}
		b.holds(id, log, e)
	}
	return linked, gone
}
