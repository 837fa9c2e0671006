package meta

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// tail is what a session's newest snapshot and the bundles after it say of its slots: from where a successor would open them.
type tail struct {
	snapshot string           // key; empty: the session has recorded none
	slots    map[uint16]int32 // in the snapshot, with the epoch
	opened   []opening        // by bundles after it
	unread   bool             // some of it could not be read
}

// opening is a committed slot-open record.
type opening struct {
	slot  uint16
	epoch int32
	key   string // of the snapshot; empty: the slot was empty
}

// readFooter reads an object's footer and where its body ends.
func (t *Tool) readFooter(ctx context.Context, key string) (f *bundle.Footer, kind bundle.Kind, pos int64, err error) {
	o, err := t.get(ctx, key, objstore.Suffix(bundle.TailLen))
	if err != nil {
		return nil, 0, 0, err
	}
	f, kind, err = bundle.ParseTail(o.Body, o.Size)
	if errors.Is(err, bundle.ErrShort) {
		if pos, _, _, err = bundle.Locate(o.Body, o.Size); err == nil {
			if o, err = t.get(ctx, key, objstore.From(pos)); err != nil {
				return nil, 0, 0, err
			}
			f, kind, err = bundle.ParseTail(o.Body, o.Size)
		}
	}
	if err != nil {
		return nil, 0, 0, fmt.Errorf("%s: %w", key, err)
	}
	pos, _, _, err = bundle.Locate(o.Body, o.Size)
	return f, kind, pos, err
}

// broken reports whether an object is there and no bundle.
func broken(err error) bool {
	return errors.Is(err, bundle.ErrCorrupt) || errors.Is(err, bundle.ErrVersion) || errors.Is(err, bundle.ErrShort)
}

// readTail reads what a session's newest snapshot and the bundles after it say.
func (l *look) readTail(ctx context.Context, s *session) (*tail, error) {
	y := &tail{slots: map[uint16]int32{}}
	for try := 0; s.item != nil && s.item.Snap > 0; try++ {
		was := *s.item
		y.snapshot = l.cfg.Keys.Snapshot(s.id, uint64(was.Snap), was.SnapID)
		f, kind, _, err := l.readFooter(ctx, y.snapshot)
		if errors.Is(err, objstore.ErrNotFound) && try < rereads {
			if err := l.readSession(ctx, s); err != nil {
				return nil, err
			}
			if s.item != nil && s.item.Snap != was.Snap {
				continue // a newer one has replaced it
			}
		}
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			y.unread = true
			l.repair(MissingSnapshot, s.id.String(), "its item names %s", y.snapshot)
			return y, nil
		case broken(err) || err == nil && kind != bundle.SNAP:
			y.unread = true
			l.repair(Damaged, y.snapshot, "the newest snapshot of session %s: %v", s.id, err)
			return y, nil
		case err != nil:
			return nil, err
		}
		for _, sl := range f.Slots {
			y.slots[sl.Slot] = sl.Epoch
		}
		break
	}
	return y, l.readAfter(ctx, s, y)
}

// readAfter reads the footers after the snapshot.
func (l *look) readAfter(ctx context.Context, s *session, y *tail) error {
	if s.item == nil {
		return nil
	}
	first, n := s.item.Snap+1, int(s.item.Committed-s.item.Snap)
	if n <= 0 {
		return nil
	}
	opened := make([][]opening, n)
	unread := make([]bool, n)
	err := l.each(ctx, n, func(ctx context.Context, i int) error {
		f, _, _, err := l.readFooter(ctx, l.cfg.Keys.WAL(s.id, uint64(first+int64(i))))
		if errors.Is(err, objstore.ErrNotFound) || broken(err) {
			unread[i] = true // told where the bundles are listed
			return nil
		}
		if err != nil {
			return err
		}
		for _, op := range f.Ops {
			if op.Kind == bundle.OpSlotOpen {
				opened[i] = append(opened[i], opening{op.Slot, op.Epoch, op.Key})
			}
		}
		return nil
	})
	y.unread = y.unread || slices.Contains(unread, true)
	y.opened = slices.Concat(opened...)
	return err
}

// serves returns the snapshot that a slot's log stands in, if the session served it under epoch.
func (y *tail) serves(slot uint16, epoch int32) (key string, ok bool) {
	if e, held := y.slots[slot]; held && e == epoch {
		return y.snapshot, true
	}
	for _, o := range y.opened {
		if o.slot == slot && o.epoch == epoch {
			return o.key, true
		}
	}
	return "", false
}

// readTails reads the tails of all sessions that somebody may need, and notes per slot from which snapshot it would be opened.
func (l *look) readTails(ctx context.Context) error {
	ids := slices.SortedFunc(maps.Keys(l.sessions), compareIDs)
	for i, id := range ids {
		s := l.sessions[id]
		if s.item == nil || s.item.State == records.Drained {
			continue
		}
		l.say("reads the state of session %d of %d", i+1, len(ids))
		y, err := l.readTail(ctx, s)
		if err != nil {
			return err
		}
		l.tails[id] = y
		l.keep(s, y)
	}
	for slot, item := range l.slots {
		l.opens[slot] = l.openedFrom(item)
	}
	return nil
}

// keep notes which snapshots of a session are needed.
func (l *look) keep(s *session, y *tail) {
	if y.snapshot != "" {
		l.snapshots[y.snapshot] = struct{}{}
	}
	for _, o := range y.opened {
		if o.key != "" {
			l.snapshots[o.key] = struct{}{}
		}
	}
	if y.unread {
		l.halfRead[s.id] = true
	}
}

// origin is from where a slot would be opened.
type origin struct {
	key     string // of the snapshot; empty: the slot is empty
	session uuid.UUID
	epoch   int32
	unknown bool // a session that comes before could not be read
}

// openedFrom follows a slot's leader and from[], newest first, as a successor would.
func (l *look) openedFrom(s records.Slot) origin {
	chain := append(slices.Clone(s.From), records.From{Session: s.Leader, Epoch: s.Epoch})
	for _, f := range slices.Backward(chain) {
		y := l.tails[f.Session]
		if y == nil {
			continue // drained: it holds nothing
		}
		if key, ok := y.serves(s.Slot, f.Epoch); ok {
			return origin{key: key, session: f.Session, epoch: f.Epoch}
		}
		if y.unread {
			return origin{session: f.Session, epoch: f.Epoch, unknown: true}
		}
	}
	return origin{}
}
