package group

import (
	"fmt"
	"time"

	"github.com/varvelog/varve/metastore/records"
)

// load claims the group and reads it. One that is not there is made if create is set, else it stays unloaded: that is never remembered.
func (a *actor) load(create bool) error {
	if !create { // to look costs less than a claim that fails
		if there, err := a.store.exists(a.ctx); err != nil || !there {
			return err
		}
	}
	there, err := a.store.claim(a.ctx)
	if err != nil {
		return err
	}
	if there && a.store.item.State == records.GroupRemoved {
		if err := a.store.remove(a.ctx); err != nil { // somebody began to delete it
			return err
		}
		there = false
	}
	if !there && !create {
		return nil
	}
	if !there {
		if err := a.store.create(a.ctx); err != nil {
			return err
		}
	}
	blob, pages, err := a.store.pages(a.ctx)
	if err != nil {
		return err
	}
	if a.core, err = a.restore(blob, time.Now()); err != nil {
		return err
	}
	a.pages, a.dirty, a.ready = pages, map[pageKey]bool{}, map[pageKey]bool{}
	a.loaded, a.tickAt = true, a.core.Next()
	a.show()
	return nil
}

// restore makes the core of what is stored.
func (a *actor) restore(blob []byte, now time.Time) (core, error) {
	var members []records.GroupMember
	if len(blob) > 0 {
		var err error
		if members, err = records.ParseGroupMembers(blob); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBad, err)
		}
	}
	switch t := a.store.item.Type; t {
	case records.ClassicGroup:
		return Restore(a.c.cfg.Bounds, a.store.item, members, now), nil
	case records.ConsumerGroup:
		if a.c.configs.Load() == nil {
			if err := a.c.loadConfigs(a.ctx); err != nil {
				return nil, err
			}
		}
		g, err := RestoreConsumer(a.adjusted(), a.c.cfg.Topics(true), a.store.item, members, now)
		if err != nil {
			return nil, err // not a nil *Consumer in a core that is not nil
		}
		return g, nil
	default:
		return nil, fmt.Errorf("%w: %q", ErrOtherType, t)
	}
}

// show has List tell the state.
func (a *actor) show() {
	if s := a.core.shown(); a.state.Load() == nil || *a.state.Load() != s {
		a.state.Store(&s)
	}
}
