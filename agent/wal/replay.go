package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// Replayer reads the WALs of sessions that have ended.
type Replayer struct {
	Store     objstore.Store
	Facts     metastore.Store
	Keys      objstore.Keys
	Cluster   records.Cluster
	ClusterID uuid.UUID
	Logger    *slog.Logger
	Parallel  int // most GETs at once; 0: 64
}

// Takeover is a slot to be opened: its new epoch, and the sessions that may hold its log, oldest first.
type Takeover struct {
	Slot  uint16
	Epoch int32
	From  []records.From
}

// Fold is what a replay feeds.
type Fold interface {
	// Snapshot takes over the state of the slots that want holds, in place of what it had of them.
	Snapshot(f *bundle.Footer, want func(slot uint16) bool) error
	// Apply adds a committed bundle, in order, as far as it concerns slots that want holds under that epoch. now is in ms
	// since 1970.
	Apply(o bundle.Object, f *bundle.Footer, want func(slot uint16, epoch int32) bool, now int64) error
}

// Stats says what a replay read.
type Stats struct{ Sessions, Snapshots, Footers int }

// entry is what a replay wants of a session for one slot: an entry of its From.
type entry struct {
	epoch int32
	end   uint64
}

// Replay rebuilds the logs of slots. Each slot's log is whole in one session: the newest of its From that served it under the epoch that
// the entry names, which its snapshot says, or a slot-open below the entry's end; the snapshot that this session opened with, or
// a later one, holds all that came before. Sessions after it never served the slot, so they hold nothing of it. A slot that no
// session served is empty. A session may still be ACTIVE: then it handed the slots over, and nothing of theirs lies beyond the
// ends.
func (r *Replayer) Replay(ctx context.Context, slots []Takeover, fold Fold) (Stats, error) {
	ctx = objstore.WithPurpose(ctx, objstore.PurposeRecover)
	var stats Stats
	left := make([]int, len(slots)) // slots[i].From[:left[i]] is still to be looked at
	for i, t := range slots {
		left[i] = len(t.From)
	}
	for {
		// All slots whose newest unread entry is the same session are served by one reading of it. One that comes to this
		// session later in its list, perhaps again, asks by itself then.
		wanted := map[uuid.UUID]map[uint16]entry{}
		for i, t := range slots {
			if left[i] > 0 {
				from := t.From[left[i]-1]
				if wanted[from.Session] == nil {
					wanted[from.Session] = map[uint16]entry{}
				}
				wanted[from.Session][t.Slot] = entry{from.Epoch, uint64(from.End)}
			}
		}
		if len(wanted) == 0 {
			return stats, nil
		}
		for _, session := range slices.SortedFunc(maps.Keys(wanted), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }) {
			found, err := r.session(ctx, session, wanted[session], fold, &stats)
			if err != nil {
				return stats, fmt.Errorf("replay session %s: %w", session, err)
			}
			for i, t := range slots {
				if _, asked := wanted[session][t.Slot]; !asked {
					continue
				}
				if left[i]--; found[t.Slot] {
					left[i] = 0
				}
			}
		}
	}
}

// session feeds fold with the slots that the session served under the epochs of the entries, and returns which these are.
func (r *Replayer) session(ctx context.Context, id uuid.UUID, entries map[uint16]entry, fold Fold, stats *Stats) (map[uint16]bool, error) {
	stats.Sessions++
	s, err := r.item(ctx, id)
	for try := 0; err == nil; try++ {
		if s.State == records.Drained {
			return nil, nil // the state says that it holds nothing
		}
		p := pass{Replayer: r, session: id, entries: entries, found: map[uint16]bool{}, fold: fold, stats: stats}
		damage := p.read(ctx, s)
		if damage == nil {
			return p.found, nil
		}
		if !errors.Is(damage, objstore.ErrNotFound) || try == rereads {
			return nil, damage
		}
		// What is not there any more may be superseded: by a newer snapshot, or because nobody needs the session.
		old := s
		if s, err = r.item(ctx, id); err == nil && s.State != records.Drained && s.Snap == old.Snap {
			return nil, damage
		}
	}
	return nil, err
}

// rereads is how often a session is read again because its item went on under the replay.
const rereads = 3

// item reads a session item.
func (r *Replayer) item(ctx context.Context, id uuid.UUID) (s records.Session, err error) {
	var item metastore.Item
	err = r.patiently(ctx, metaTime, func(ctx context.Context) (err error) {
		item, err = r.Facts.Get(ctx, r.Cluster.SessionKey(id), metastore.Consistent)
		return err
	})
	if err != nil {
		return s, err
	}
	return records.DecodeSession(item)
}

// pass is one reading of one session.
type pass struct {
	*Replayer
	session uuid.UUID
	entries map[uint16]entry
	found   map[uint16]bool // slots served so far
	fold    Fold
	stats   *Stats
}

// read feeds the snapshot that the item names and the footers after it.
func (p *pass) read(ctx context.Context, s records.Session) error {
	end := uint64(0)
	asked := &bundle.Footer{}
	for slot, e := range p.entries {
		end = max(end, e.end)
		asked.Slots = append(asked.Slots, bundle.Slot{Slot: slot})
	}
	// A slot begins empty, whatever an earlier try may have left.
	if err := p.fold.Snapshot(asked, func(uint16) bool { return true }); err != nil {
		return err
	}
	if s.Snap > 0 {
		if err := p.snapshot(ctx, p.Keys.Snapshot(p.session, uint64(s.Snap), s.SnapID)); err != nil {
			return err
		}
	}
	return p.footers(ctx, uint64(s.Snap)+1, end)
}

// snapshot feeds the slots that a snapshot says were served under the wanted epoch. One that covers more than the entry's end
// holds what there was at the end: after it nothing was written.
func (p *pass) snapshot(ctx context.Context, key string) error {
	f, err := p.load(ctx, key)
	if err != nil {
		return err
	}
	for _, s := range f.Slots {
		if e, ok := p.entries[s.Slot]; ok && e.epoch == s.Epoch {
			p.found[s.Slot] = true
		}
	}
	if err := p.fold.Snapshot(f, func(slot uint16) bool { return p.found[slot] }); err != nil {
		return fmt.Errorf("snapshot %s: %w", key, err)
	}
	return nil
}

// load gets a snapshot.
func (p *pass) load(ctx context.Context, key string) (*bundle.Footer, error) {
	p.stats.Snapshots++
	body, size, err := p.get(ctx, key, objstore.Range{})
	if err != nil {
		return nil, err
	}
	f, kind, err := bundle.ParseTail(body, size)
	if err == nil && kind != bundle.SNAP {
		err = fmt.Errorf("%w: kind %v", bundle.ErrCorrupt, kind)
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", key, err)
	}
	return f, nil
}

// footers feeds the bundles [from, end), read in parallel and applied in order.
func (p *pass) footers(ctx context.Context, from, end uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parallel := p.Parallel
	if parallel == 0 {
		parallel = 64
	}
	type result struct {
		f   *bundle.Footer
		o   bundle.Object
		err error
	}
	pending := make(chan chan result, parallel-1) // besides them, the one that is waited for
	go func() {
		defer close(pending)
		for seq := from; seq < end; seq++ {
			one := make(chan result, 1)
			select {
			case pending <- one:
			case <-ctx.Done():
				return
			}
			go func() {
				f, o, err := p.footer(ctx, seq)
				one <- result{f, o, err}
			}()
		}
	}()
	now := time.Now().UnixMilli()
	var failed error
	for one := range pending {
		got := <-one
		if failed != nil {
			continue
		}
		if failed = got.err; failed == nil {
			p.stats.Footers++
			if failed = p.opened(ctx, got.f, got.o.Seq); failed == nil {
				failed = p.fold.Apply(got.o, got.f, p.wants(got.o.Seq), now)
			}
		}
		if failed != nil {
			cancel()
		}
	}
	if failed == nil {
		failed = ctx.Err()
	}
	return failed
}

// wants returns which runs of bundle seq belong to the log: those of a slot found, under the epoch of its entry, below its end.
func (p *pass) wants(seq uint64) func(slot uint16, epoch int32) bool {
	return func(slot uint16, epoch int32) bool {
		e := p.entries[slot]
		return p.found[slot] && epoch == e.epoch && seq < e.end
	}
}

// opened takes over the slots that a bundle opens, from the snapshot that its slot-open records name. A record without one
// opens an empty slot.
func (p *pass) opened(ctx context.Context, f *bundle.Footer, seq uint64) error {
	byKey := map[string]map[uint16]bool{}
	for _, op := range f.Ops {
		e, ok := p.entries[op.Slot]
		if op.Kind != bundle.OpSlotOpen || !ok || e.epoch != op.Epoch || seq >= e.end || p.found[op.Slot] {
			continue // the first one opened it; one more is of a try whose predecessor's outcome was unknown
		}
		if byKey[op.Key] == nil {
			byKey[op.Key] = map[uint16]bool{}
		}
		byKey[op.Key][op.Slot] = true
		p.found[op.Slot] = true
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		if key == "" {
			continue
		}
		snap, err := p.load(ctx, key)
		if err != nil {
			return err
		}
		if err := p.fold.Snapshot(snap, func(slot uint16) bool { return byKey[key][slot] }); err != nil {
			return fmt.Errorf("snapshot %s: %w", key, err)
		}
	}
	return nil
}

// footer gets the footer of a bundle by its last bytes, again with all of it if they were too few.
func (p *pass) footer(ctx context.Context, seq uint64) (*bundle.Footer, bundle.Object, error) {
	key := p.Keys.WAL(p.session, seq)
	tail, size, err := p.get(ctx, key, objstore.Suffix(bundle.TailLen))
	if err != nil {
		return nil, bundle.Object{}, err
	}
	f, kind, err := bundle.ParseTail(tail, size)
	if errors.Is(err, bundle.ErrShort) {
		var pos int64
		if pos, _, _, err = bundle.Locate(tail, size); err == nil {
			if tail, size, err = p.get(ctx, key, objstore.From(pos)); err == nil {
				f, kind, err = bundle.ParseTail(tail, size)
			}
		}
	}
	if err == nil && kind != bundle.WAL {
		err = fmt.Errorf("%w: kind %v", bundle.ErrCorrupt, kind)
	}
	if err != nil {
		return nil, bundle.Object{}, fmt.Errorf("bundle %s: %w", key, err)
	}
	pos, _, _, err := bundle.Locate(tail, size)
	if err == nil && int64(len(tail)) == size {
		err = p.mine(tail, seq)
	}
	if err != nil {
		return nil, bundle.Object{}, fmt.Errorf("bundle %s: %w", key, err)
	}
	return f, bundle.Object{Kind: bundle.WAL, Session: p.session, Seq: seq, Size: uint64(pos)}, nil
}

// mine checks that a whole object says of itself what its key says.
func (p *pass) mine(object []byte, seq uint64) error {
	h, err := bundle.ParseHeader(object)
	if err != nil {
		return err
	}
	if h.Cluster != p.ClusterID || h.Session != p.session || h.Seq != seq {
		return fmt.Errorf("%w: it says that it is bundle %d of session %s in cluster %s", bundle.ErrCorrupt, h.Seq, h.Session, h.Cluster)
	}
	return nil
}

// The longest that one try of a read takes.
const (
	metaTime = 5 * time.Second
	getTime  = time.Minute
)

// get is one object or a part of it. What is committed must be there: an object that is not is damage.
func (p *pass) get(ctx context.Context, key string, rng objstore.Range) ([]byte, int64, error) {
	var o objstore.Object
	err := p.patiently(ctx, getTime, func(ctx context.Context) (err error) {
		o, err = p.Store.Get(ctx, key, rng)
		return err
	})
	return o.Body, o.Size, err
}

// patiently repeats a read while the store is slow or unsure, until ctx ends. It says so when it takes long.
func (r *Replayer) patiently(ctx context.Context, limit time.Duration, read func(context.Context) error) error {
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		rctx, cancel := context.WithTimeout(ctx, limit)
		err := read(rctx)
		cancel()
		if !objstore.Transient(err) && !metastore.Transient(err) {
			return err
		}
		if try == 4 || try%20 == 0 {
			r.Logger.Warn("a store does not give what a replay needs; it is asked again", "try", try, "err", err)
		}
		if !sleep(ctx, pause/2+time.Duration(rand.Int64N(int64(pause)))) {
			return ctx.Err()
		}
		pause = min(2*pause, 5*time.Second)
	}
}
