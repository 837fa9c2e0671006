package partition

import (
	"slices"
	"sync"
)

// slotNeeds is what a snapshot names of a slot, which it holds under that epoch.
type slotNeeds struct {
	epoch int32
	needs needs
}

// claim is what one snapshot names. It keeps the snapshot's logs only until it was looked at.
type claim struct {
	number uint64 // in the order of the captures

	mu    sync.Mutex // held while the snapshot is taken
	snap  *Snapshot
	slots map[uint16]slotNeeds
}

// newClaim returns the claim of a snapshot that is being taken: who looks at it waits for made.
func newClaim(number uint64) *claim {
	c := &claim{number: number}
	c.mu.Lock()
	return c
}

func (c *claim) made(snap *Snapshot) {
	c.snap = &Snapshot{slots: slices.Clone(snap.slots), objects: snap.objects}
	c.mu.Unlock()
}

// settle returns what the snapshot names, by slot. The map is not changed any more.
func (c *claim) settle() map[uint16]slotNeeds {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.snap != nil {
		c.slots = make(map[uint16]slotNeeds, len(c.snap.slots))
		for i := range c.snap.slots {
			sl := &c.snap.slots[i]
			c.slots[sl.slot] = slotNeeds{sl.epoch, sl.needs(c.snap.objects)}
		}
		c.snap = nil
	}
	return c.slots
}

// with returns a claim that names what both do, under the number of o.
func (c *claim) with(o *claim) *claim {
	all := &claim{number: o.number, slots: map[uint16]slotNeeds{}}
	for _, from := range []*claim{c, o} {
		for slot, sl := range from.settle() {
			n := all.slots[slot].needs
			if n == nil {
				n = needs{}
			}
			n.merge(sl.needs)
			all.slots[slot] = slotNeeds{sl.epoch, n}
		}
	}
	return all
}

// durable is from which snapshots a successor may open, as far as is known: the newest one that is recorded, and those taken since,
// because one whose outcome is unknown may be named by the item all the same, or soon.
type durable struct {
	sweeping sync.Mutex

	mu     sync.Mutex
	number uint64
	named  *claim   // recorded; nil: none yet
	later  []*claim // taken since, oldest first
	opened map[uint16]opening
}

// opening is the snapshot that a slot was opened from, under that epoch.
type opening struct {
	epoch int32
	claim *claim
}

// laterKept bounds how many snapshots since the recorded one are told apart.
const laterKept = 8

// claim begins the claim of a snapshot that Capture takes.
func (d *durable) claim() *claim {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.number++
	c := newClaim(d.number)
	if n := len(d.later); n >= laterKept {
		d.later = append([]*claim{d.later[0].with(d.later[1])}, d.later[2:]...)
	}
	d.later = append(d.later, c)
	return c
}

// opening notes the snapshot from which a slot is being opened.
func (d *durable) opening(slot uint16, epoch int32, c *claim) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.opened == nil {
		d.opened = map[uint16]opening{}
	}
	d.opened[slot] = opening{epoch, c}
}

// recorded makes c the newest that is recorded. An opening that it holds has had its day; it returns the others, with their epochs.
func (d *durable) recorded(c *claim) map[uint16]int32 {
	slots := c.settle()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.named == nil || d.named.number < c.number {
		d.named = c
		d.later = slices.DeleteFunc(d.later, func(o *claim) bool { return o.number <= c.number })
	}
	left := map[uint16]int32{}
	for slot, o := range d.opened {
		if sl, held := slots[slot]; held && sl.epoch >= o.epoch {
			delete(d.opened, slot)
		} else {
			left[slot] = o.epoch
		}
	}
	return left
}

// closed forgets the opening of a slot: it is neither led nor frozen under that epoch.
func (d *durable) closed(slot uint16, epoch int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o, ok := d.opened[slot]; ok && o.epoch == epoch {
		delete(d.opened, slot)
	}
}

// all returns every claim, once or more.
func (d *durable) all() []*claim {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := slices.Clone(d.later)
	if d.named != nil {
		all = append(all, d.named)
	}
	for _, o := range d.opened {
		all = append(all, o.claim)
	}
	return all
}

// claims returns those that count for a slot: every snapshot's, and that of its opening under epoch, nil if one that is recorded
// holds it.
func (d *durable) claims(slot uint16, epoch int32) (snapshots []*claim, opened *claim) {
	d.mu.Lock()
	defer d.mu.Unlock()
	snapshots = slices.Clone(d.later)
	if d.named != nil {
		snapshots = append(snapshots, d.named)
	}
	if o, ok := d.opened[slot]; ok && o.epoch == epoch {
		opened = o.claim
	}
	return snapshots, opened
}
