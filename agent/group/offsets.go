package group

import (
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

// The bounds of writing offsets.
const (
	pageWrites = 16                     // writes of a group under way at once
	madeAtOnce = 50                     // pages made in one transaction, of metastore.MaxTransact
	madeBytes  = 2 << 20                // after so many bytes of them no more are, of metastore.MaxTransactBytes
	mergeTime  = 100 * time.Millisecond // how long commits are gathered after a write of their page
)

// Partition names a partition of a topic.
type Partition struct {
	Topic uuid.UUID
	Index int32
}

func (p Partition) page() pageKey { return pageKey{p.Topic, p.Index / records.OffsetsPerPage} }

// Commit is the offsets that a member commits, all of them or none.
type Commit struct {
	Member     string
	Instance   *string
	Generation int32 // or epoch; -1, and no member: by nobody
	Epochs     bool  // the request can carry epochs: a member of the newer protocol must not commit otherwise
	Offsets    map[Partition]records.GroupOffset
}

// commit is a Commit that waits for its pages.
type commit struct {
	done func(error)
	left int
	err  error
}

// settle counts a page down.
func (c *commit) settle(err error) {
	if err != nil {
		c.err = err
	}
	if c.left--; c.left == 0 {
		c.done(c.err)
	}
}

// Offsets are what a group committed, as far as it is stored. It is valid only during the call that gets it.
type Offsets struct{ pages map[pageKey]*page }

// Get returns what was committed for a partition.
func (o Offsets) Get(p Partition) (records.GroupOffset, bool) {
	pg := o.pages[p.page()]
	if pg == nil {
		return records.GroupOffset{}, false
	}
	v, ok := pg.stored.Offsets[p.Index]
	return v, ok
}

// All calls yield for each partition with an offset, in no order.
func (o Offsets) All(yield func(Partition, records.GroupOffset)) {
	for key, pg := range o.pages {
		for index, v := range pg.stored.Offsets {
			yield(Partition{key.topic, index}, v)
		}
	}
}

// pageOf returns a page to be changed, a new one if need be.
func (a *actor) pageOf(key pageKey) *page {
	p := a.pages[key]
	if p == nil {
		p = &page{}
		a.pages[key] = p
	}
	return p
}

// stage has offsets written with the next write of their pages.
func (a *actor) stage(offsets map[Partition]records.GroupOffset, done func(error)) {
	c, touched := &commit{done: done}, map[pageKey]bool{}
	for part, o := range offsets {
		p := a.pageOf(part.page())
		if p.next == nil {
			p.next = map[int32]records.GroupOffset{}
		}
		p.next[part.Index] = o
		delete(p.gone, part.Index)
		touched[part.page()] = true
	}
	a.await(c, touched)
}

// unstage has offsets taken out.
func (a *actor) unstage(parts []Partition, done func(error)) {
	c, touched := &commit{done: done}, map[pageKey]bool{}
	for _, part := range parts {
		p := a.pages[part.page()]
		if p == nil {
			continue
		}
		if p.gone == nil {
			p.gone = map[int32]bool{}
		}
		p.gone[part.Index] = true
		delete(p.next, part.Index)
		touched[part.page()] = true
	}
	a.await(c, touched)
}

func (a *actor) await(c *commit, touched map[pageKey]bool) {
	if c.left = len(touched); c.left == 0 {
		c.done(nil)
		return
	}
	for key := range touched {
		a.dirty[key] = true
		a.pages[key].waiting = append(a.pages[key].waiting, c)
	}
}

// flush begins the writes that are due. The first commit after a pause is written at once, those that follow are gathered.
func (a *actor) flush(now time.Time) {
	if len(a.dirty) > 0 && len(a.ready) == 0 {
		if due := a.flushed.Add(mergeTime); now.Before(due) {
			a.flushAt = due
		} else {
			a.flushed, a.flushAt = now, time.Time{}
			a.ready, a.dirty = a.dirty, map[pageKey]bool{}
		}
	}
	var made []pageWrite
	bytes := 0
	for key := range a.ready {
		if a.writers >= pageWrites || len(made) == madeAtOnce || bytes >= madeBytes {
			break // the rest when a write has ended
		}
		delete(a.ready, key)
		p := a.pages[key]
		if p.busy {
			a.dirty[key] = true
			continue
		}
		w := pageWrite{key: key, make: !p.there, old: p.stored.Nonce, page: p.begin(a.store.epoch)}
		if w.make {
			made = append(made, w)
			bytes += w.page.Item(key.n).Size()
		} else {
			a.spawn([]pageWrite{w}, func() error { return a.store.write(a.ctx, w) })
		}
	}
	if len(made) > 0 {
		claim := a.store.item.Claim
		a.spawn(made, func() error { return a.store.makePages(a.ctx, claim, made) })
	}
}

// spawn runs a write beside the actor, which hears of its end.
func (a *actor) spawn(all []pageWrite, write func() error) {
	a.writers++
	a.beside.Go(func() {
		err := write()
		a.put(message{wrote: all, err: err})
	})
}

// wrote takes in the end of a write.
func (a *actor) wrote(all []pageWrite, err error) {
	a.writers--
	for _, w := range all {
		p := a.pages[w.key]
		answered := p.writing
		p.writing, p.busy = nil, false
		if err == nil {
			p.stored, p.there = w.page, len(w.page.Offsets) > 0 || w.make
			if !p.there && !a.dirty[w.key] && !a.ready[w.key] {
				delete(a.pages, w.key)
			}
		}
		for _, c := range answered {
			c.settle(err)
		}
	}
	if err != nil && a.failure == nil {
		a.failure = err
	}
}
