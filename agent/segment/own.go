package segment

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// maxOwnPacks bounds the packs that a Room remembers. Packs beyond are counted all the same; if that goes wrong they wait until the
// session has ended.
const maxOwnPacks = 10_000

// ownPacks are the packs that this session has written and that may have an item yet.
type ownPacks struct {
	mu  sync.Mutex
	all map[uuid.UUID]ownPack
}

type ownPack struct {
	after uint64 // a recorded snapshot that covers this bundle was taken when the pack had its place in the tails
	at    time.Time
}

// add takes note of a pack that has its place now. committed is the last committed bundle.
func (o *ownPacks) add(id uuid.UUID, committed uint64, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.all) < maxOwnPacks {
		o.all[id] = ownPack{committed + 1, at}
	}
}

// OldPacks returns those of this session's packs whose runs should all be in segments by now, and of which the newest recorded snapshot
// says all that this session knows.
func (r *Room) OldPacks() (all []uuid.UUID) {
	snapped := r.d.Snapshots.Snapped()
	r.written.mu.Lock()
	defer r.written.mu.Unlock()
	for id, p := range r.written.all {
		if snapped >= p.after && time.Since(p.at) > r.cfg.Roll+r.cfg.Roll/4 {
			all = append(all, id)
		}
	}
	slices.SortFunc(all, compareIDs)
	return all
}

// ForgetPack says that a pack has no item any more.
func (r *Room) ForgetPack(id uuid.UUID) {
	r.written.mu.Lock()
	defer r.written.mu.Unlock()
	delete(r.written.all, id)
}
