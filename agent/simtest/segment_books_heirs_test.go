package simtest

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// counted checks the steps of a pack's item: it only counts down, and the last one queues the object.
func (b *books) counted(id uuid.UUID, was records.Pack) {
	now, there := b.packs[id]
	switch {
	case was.Runs == 0:
		b.count.packed++
	case !there:
		b.buried[id] = true
		b.count.counted++
		if !b.isQueued(b.keys.Pack(id)) {
			b.bad("I9: pack %s has no item any more, and is not queued", id)
		}
	case now.Live >= was.Live:
		b.bad("I9: pack %s counts %d after %d", id, now.Live, was.Live)
	default:
		b.count.counted++
	}
}

// inherited is a run as an heir of its slot would find it.
type inherited struct {
	base, next int64
	object     bundle.Object
}

// heirs plays a take-over of every slot: were its leader fenced now, then each record from tiered and the log start on lies in an object
// that is there (I9), and a pack counts at least the runs of it that are needed.
func (b *books) heirs(when string) {
	need := map[uuid.UUID]int64{}
	found := map[uint16]map[logID][]inherited{}
	for n, slot := range b.slots {
		logs, missing := b.heir(slot)
		if missing != "" {
			b.bad("I9: %s: who takes over slot %d e%d misses %s", when, n, slot.Epoch, missing)
		} else {
			found[n] = logs
		}
	}
	for _, t := range b.topics {
		for i, slot := range t.Slots {
			if logs, ok := found[slot]; ok && t.State == records.TopicActive {
				id := logID{t.ID, int32(i)}
				b.needs(id, logs[id], need, when)
			}
		}
	}
	for id, runs := range need {
		if p, ok := b.packs[id]; !ok || p.Live < runs {
			b.bad("I9: %s: pack %s counts %d runs (there: %v), %d are needed", when, id, p.Live, ok, runs)
		}
	}
}

// needs checks the runs of one log, and counts those in packs.
func (b *books) needs(id logID, runs []inherited, need map[uuid.UUID]int64, when string) {
	log := b.log(id)
	from := log.start
	if t := b.tiers[id]; t != nil {
		from = max(from, t.item.Tiered)
	}
	at := from
	for _, r := range runs {
		if r.next <= from {
			continue
		}
		if r.base > at {
			b.bad("V1: %s: who takes over %v finds nothing from %d to %d", when, id, at, r.base)
		}
		at = r.next
		key := b.keys.WAL(r.object.Session, r.object.Seq)
		if r.object.Kind == bundle.PACK {
			need[r.object.Session]++
			key = b.keys.Pack(r.object.Session)
		}
		if !b.there(key) {
			b.bad("I9: %s: who takes over %v needs %s for [%d,%d)", when, id, key, r.base, r.next)
		}
	}
	if at != max(log.end, from) {
		b.bad("V1: %s: who takes over %v finds a log that ends at %d, not %d", when, id, at, log.end)
	}
}

// heir is what opens a slot: from[], newest entry first, up to the session that served it under the entry's epoch.
func (b *books) heir(slot records.Slot) (logs map[logID][]inherited, missing string) {
	leader := b.sessions[slot.Leader]
	from := append(slices.Clone(slot.From), records.From{Session: slot.Leader, End: leader.End, Epoch: slot.Epoch})
	if leader.State == records.Active || leader.State == records.Fenced {
		from[len(from)-1].End = leader.Committed + 1
	}
	logs = map[logID][]inherited{}
	for i := len(from) - 1; i >= 0; i-- {
		if b.sessions[from[i].Session].State == records.Drained {
			continue
		}
		found, missing := b.recover(logs, slot.Slot, from[i])
		if found || missing != "" {
			return logs, missing
		}
	}
	return logs, ""
}

// recover reads what one session has of a slot.
func (b *books) recover(logs map[logID][]inherited, slot uint16, from records.From) (found bool, missing string) {
	item := b.sessions[from.Session]
	if item.Snap > 0 {
		key := b.keys.Snapshot(from.Session, uint64(item.Snap), item.SnapID)
		f := b.footer(key)
		if f == nil {
			return false, key
		}
		found = slices.ContainsFunc(f.Slots, func(s bundle.Slot) bool { return s.Slot == slot && s.Epoch == from.Epoch })
		if found {
			inherit(logs, f, slot)
		}
	}
	for seq := item.Snap + 1; seq < from.End; seq++ {
		key := b.keys.WAL(from.Session, uint64(seq))
		f := b.footer(key)
		if f == nil {
			return found, key
		}
		for _, op := range f.Ops {
			if op.Kind != bundle.OpSlotOpen || op.Slot != slot || op.Epoch != from.Epoch || found {
				continue
			}
			if found = true; op.Key == "" {
				continue
			}
			n := b.footer(op.Key)
			if n == nil {
				return found, op.Key
			}
			inherit(logs, n, slot)
		}
		for i := range f.Runs {
			if r := &f.Runs[i]; found && r.Slot == slot && r.LeaderEpoch == from.Epoch {
				id := logID{f.Topics[r.Topic].ID, r.Partition}
				logs[id] = append(logs[id], inherited{r.Base, r.Next, bundle.Object{Kind: bundle.WAL, Session: from.Session, Seq: uint64(seq)}})
			}
		}
	}
	return found, ""
}

// inherit takes over what a snapshot has of a slot.
func inherit(logs map[logID][]inherited, f *bundle.Footer, slot uint16) {
	clear(logs)
	for i := range f.Runs {
		if r := &f.Runs[i]; r.Slot == slot {
			id := logID{f.Topics[r.Topic].ID, r.Partition}
			logs[id] = append(logs[id], inherited{r.Base, r.Next, f.Objects[f.Refs[i].Object]})
		}
	}
}

// footer reads an object's; nil if the object is not there.
func (b *books) footer(key string) *bundle.Footer {
	f := b.footers[key]
	if f != nil && b.there(key) {
		return f
	}
	o, err := b.objects.Get(context.Background(), key, objstore.Range{})
	if err != nil {
		return nil
	}
	if f, _, err = bundle.ParseTail(o.Body, int64(len(o.Body))); err != nil {
		b.bad("I10: %s: %v", key, err)
		return nil
	}
	b.footers[key] = f
	return f
}

func (c counts) String() string {
	return fmt.Sprintf("%d linked, %d refused, %d unlinked, %d merged, %d packs, %d times counted down, %d deleted", c.linked, c.refused, c.unlinked, c.merged, c.packed, c.counted, c.deleted)
}
