package simtest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// watcher is a metastore that checks every write that took effect: the invariants of sessions and slots as they change, not only
// as they are at the end.
type watcher struct {
	metastore.Store
	bad func(format string, args ...any)

	mu       sync.Mutex
	cluster  records.Cluster
	sessions map[uuid.UUID]records.Session
	pins     map[uuid.UUID]records.Pins
	slots    map[uint16]records.Slot
	leads    map[lead]uuid.UUID // who led a slot under an epoch
	fences   int                // sessions that were fenced
	moves    int                // changes of leader
	writes   int
}

type lead struct {
	slot  uint16
	epoch int32
}

func newWatcher(inner metastore.Store, bad func(string, ...any)) *watcher {
	return &watcher{
		Store: inner, bad: bad, cluster: "varve", sessions: map[uuid.UUID]records.Session{}, pins: map[uuid.UUID]records.Pins{},
		slots: map[uint16]records.Slot{}, leads: map[lead]uuid.UUID{},
	}
}

func (w *watcher) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	it, err := w.Store.Write(ctx, op)
	if err == nil {
		w.look(ctx, op.Key)
	}
	return it, err
}

func (w *watcher) Transact(ctx context.Context, ops []metastore.Op) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.Store.Transact(ctx, ops)
	if err == nil {
		for _, op := range ops { // sessions before slots: what a slot may do hangs on them
			if op.Kind != metastore.OpCheck && op.Key.PK != w.cluster.SlotsPK() {
				w.look(ctx, op.Key)
			}
		}
		for _, op := range ops {
			if op.Kind != metastore.OpCheck && op.Key.PK == w.cluster.SlotsPK() {
				w.look(ctx, op.Key)
			}
		}
	}
	return err
}

// look reads an item that was written and checks the step that it took.
func (w *watcher) look(ctx context.Context, key metastore.Key) {
	w.writes++
	item, _ := w.Store.Get(context.WithoutCancel(ctx), key, metastore.Consistent)
	switch name, session := strings.CutPrefix(key.PK, string(w.cluster)+"/S#"); {
	case session:
		id, err := uuid.Parse(name)
		if err != nil || item == nil {
			w.bad("item %s: %v; a session item is never deleted", key, err)
			return
		}
		if key.SK == "PINS" {
			w.pinned(id, item)
		} else {
			w.session(id, item)
		}
	case key.PK == w.cluster.SlotsPK():
		w.slot(item)
	}
}

// mayFollow lists the states that may follow a state. A session that ends with nothing pending is DRAINED at once.
var mayFollow = map[records.State][]records.State{
	records.Active: {records.Active, records.Fenced, records.Closed, records.Drained},
	records.Fenced: {records.Fenced, records.Sealed, records.Drained},
	records.Sealed: {records.Sealed, records.Drained},
	records.Closed: {records.Closed, records.Drained}, records.Drained: {records.Drained},
}

// session checks I2.
func (w *watcher) session(id uuid.UUID, item metastore.Item) {
	now, err := records.DecodeSession(item)
	if err != nil {
		w.bad("session %s: %v", id, err)
		return
	}
	old, known := w.sessions[id]
	w.sessions[id] = now
	if size := item.Size(); size > 900 && now.State == records.Active {
		w.bad("session %s: its item has %d bytes", id, size)
	}
	if now.Trim > now.Committed+1 {
		w.bad("I2: session %s: trim %d beyond committed %d", id, now.Trim, now.Committed)
	}
	if now.State != records.Active && now.State != records.Fenced && now.End != now.Committed+1 {
		w.bad("I2: session %s: end %d, committed %d", id, now.End, now.Committed)
	}
	if !known {
		return
	}
	if now.State == records.Fenced && old.State == records.Active {
		w.fences++
	}
	if !slices.Contains(mayFollow[old.State], now.State) {
		w.bad("session %s: %s after %s", id, now.State, old.State)
	}
	if open := old.State == records.Active || old.State == records.Fenced; open && now.State != records.Active && now.State != records.Fenced {
		w.ended(id, now)
	}
	for slot, epoch := range old.Pending {
		if _, stays := now.Pending[slot]; !stays && w.slots[slot].Epoch <= epoch {
			w.bad("session %s: slot %d epoch %d is not pending any more, and led under %d", id, slot, epoch, w.slots[slot].Epoch)
		}
	}
	if now.State == records.Drained && old.State != records.Drained {
		w.drained(id, now)
	}
	if now.Committed < old.Committed || now.Trim < old.Trim || now.Snap < old.Snap || now.HB < old.HB {
		w.bad("I2: session %s goes back: %+v after %+v", id, now, old)
	}
	if old.State != records.Active && (now.Committed != old.Committed || now.Trim != old.Trim && now.State != records.Drained || now.Snap != old.Snap) {
		w.bad("I2: session %s moves while %s: %+v after %+v", id, old.State, now, old)
	}
	for slot, epoch := range now.Pending {
		if was, ok := old.Pending[slot]; old.State != records.Active && old.State != records.Fenced && (!ok || was != epoch) {
			w.bad("session %s: slot %d epoch %d is pending after the seal", id, slot, epoch)
		}
	}
}

// ended checks that the end of a session names all that somebody may still need of it (R10).
func (w *watcher) ended(id uuid.UUID, now records.Session) {
	for n, pin := range w.pins[id].Slots {
		if epoch, ok := now.Pending[n]; !ok || epoch < pin.Epoch {
			w.bad("R10: session %s ends and forgets slot %d, pinned: %+v; pending %v", id, n, pin, now.Pending)
		}
	}
	for n, slot := range w.slots {
		if slot.Leader == id && now.Pending[n] != slot.Epoch {
			w.bad("R10: session %s ends and forgets slot %d, led under %d; pending %v", id, n, slot.Epoch, now.Pending)
		}
	}
}

// drained checks that nobody leads or is owed anything of a session that is done with.
func (w *watcher) drained(id uuid.UUID, now records.Session) {
	if len(now.Pending) > 0 {
		w.bad("session %s: DRAINED with slots pending: %v", id, now.Pending)
	}
	for n, slot := range w.slots {
		if slot.Leader == id {
			w.bad("session %s: DRAINED while it leads slot %d", id, n)
		}
	}
}

// pinned checks that only an active session adds pins.
func (w *watcher) pinned(id uuid.UUID, item metastore.Item) {
	now, err := records.DecodePins(item)
	if err != nil {
		w.bad("pins of %s: %v", id, err)
		return
	}
	old := w.pins[id]
	w.pins[id] = now
	if now.V <= old.V {
		w.bad("pins of %s: version %d after %d", id, now.V, old.V)
	}
	for slot, pin := range now.Slots {
		if was, ok := old.Slots[slot]; (!ok || was != pin) && w.sessions[id].State != records.Active {
			w.bad("pins of %s: slot %d is pinned while %s", id, slot, w.sessions[id].State)
		}
	}
}

// slot checks I4, R9, R24 and that from[] forgets nothing that is held.
func (w *watcher) slot(item metastore.Item) {
	now, err := records.DecodeSlot(item)
	if err != nil {
		w.bad("slot item: %v", err)
		return
	}
	old, known := w.slots[now.Slot]
	w.slots[now.Slot] = now
	if size := item.Size(); size > 1024 {
		w.bad("slot %d: its item has %d bytes", now.Slot, size)
	}
	if who, ok := w.leads[lead{now.Slot, now.Epoch}]; ok && who != now.Leader {
		w.bad("I4: slot %d epoch %d: led by %s and by %s", now.Slot, now.Epoch, who, now.Leader)
	}
	w.leads[lead{now.Slot, now.Epoch}] = now.Leader
	if !known {
		return
	}
	if now.V <= old.V {
		w.bad("slot %d: version %d after %d", now.Slot, now.V, old.V)
	}
	moved := now.Leader != old.Leader || now.Epoch != old.Epoch
	if moved {
		w.moved(old, now)
	}
	w.forgotten(old, now)
}

func (w *watcher) moved(old, now records.Slot) {
	w.moves++
	if now.Epoch != old.Epoch+1 {
		w.bad("I4: slot %d: epoch %d after %d", now.Slot, now.Epoch, old.Epoch)
	}
	last := records.From{}
	if n := len(now.From); n > 0 {
		last = now.From[n-1]
	}
	from := w.sessions[old.Leader]
	if last.Session != old.Leader || last.Epoch != old.Epoch {
		w.bad("R9: slot %d: from %v lacks session %s epoch %d", now.Slot, now.From, old.Leader, old.Epoch)
	}
	switch from.State {
	case records.Active:
		if pin, ok := w.pins[old.Leader].Slots[now.Slot]; !ok || pin.Epoch != old.Epoch {
			w.bad("slot %d: handed over without a pin: %+v", now.Slot, w.pins[old.Leader])
		}
		if last.End > from.Committed+1 {
			w.bad("slot %d: handed over at %d, committed %d", now.Slot, last.End, from.Committed)
		}
	case records.Fenced:
		w.bad("R24: slot %d: reassigned while its session %s is FENCED", now.Slot, old.Leader)
	default:
		if last.End != from.End {
			w.bad("slot %d: end %d in from, the session's is %d", now.Slot, last.End, from.End)
		}
	}
}

// forgotten checks that an entry leaves from[] only when its session holds nothing for the slot, or stays named by a later entry.
func (w *watcher) forgotten(old, now records.Slot) {
	for _, e := range old.From {
		later := func(f records.From) bool { return f.Session == e.Session && f.Epoch > e.Epoch }
		if slices.Contains(now.From, e) || now.Epoch == old.Epoch && slices.ContainsFunc(now.From, later) {
			continue
		}
		if pin, ok := w.pins[e.Session].Slots[now.Slot]; ok && pin.Epoch <= e.Epoch && w.sessions[e.Session].State == records.Active {
			w.bad("slot %d: %v left from[] while it is pinned: %+v", now.Slot, e, pin)
		}
		if epoch, ok := w.sessions[e.Session].Pending[now.Slot]; ok && epoch <= e.Epoch {
			w.bad("slot %d: %v left from[] while it is pending", now.Slot, e)
		}
	}
}

// snapshot returns what is in the table now.
func (w *watcher) snapshot() (map[uuid.UUID]records.Session, map[uuid.UUID]records.Pins, map[uint16]records.Slot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.sessions), maps.Clone(w.pins), maps.Clone(w.slots)
}
