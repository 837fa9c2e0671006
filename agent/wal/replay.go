package wal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
	// Snapshot takes over the state of the slots that want holds.
	Snapshot(f *bundle.Footer, want func(slot uint16) bool) error
	// Apply adds a committed bundle, in order, as far as it concerns slots that want holds. now is in ms since 1970.
	Apply(o bundle.Object, f *bundle.Footer, want func(slot uint16) bool, now int64) error
}

// Stats says what a replay read.
type Stats struct{ Sessions, Snapshots, Footers int }

// Replay rebuilds the logs of slots. Each slot's log is whole in one session: the newest of its From that committed a
// slot-open of it under the epoch that the entry names; the snapshot that this session opened with, or a later one, holds all
// that came before. Sessions after it never served the slot, so they hold nothing of it. A slot that no session opened
// is empty.
func (r *Replayer) Replay(ctx context.Context, slots []Takeover, fold Fold) (Stats, error) {
	ctx = objstore.WithPurpose(ctx, objstore.PurposeRecover)
	var stats Stats
	type depth struct{ t, left int } // slots[t].From[:left] is still to be looked at
	var open []depth
	for i, t := range slots {
		open = append(open, depth{i, len(t.From)})
	}
	for {
		// All slots whose newest unread entry is the same session are served by one reading of it.
		wanted := map[uuid.UUID]map[uint16]int32{} // session: slot: epoch of the entry
		for i := range open {
			if d := &open[i]; d.left > 0 {
				from := slots[d.t].From[d.left-1]
				if wanted[from.Session] == nil {
					wanted[from.Session] = map[uint16]int32{}
				}
				wanted[from.Session][slots[d.t].Slot] = from.Epoch
			}
		}
		if len(wanted) == 0 {
			return stats, nil
		}
		for session, epochs := range wanted {
			found, err := r.session(ctx, session, epochs, fold, &stats)
			if err != nil {
				return stats, fmt.Errorf("replay session %s: %w", session, err)
			}
			for i := range open {
				// A slot whose turn at this session comes later in its list was not asked for: it stays as it is.
				d := &open[i]
				if _, asked := epochs[slots[d.t].Slot]; !asked {
					continue
				}
				if d.left--; found[slots[d.t].Slot] {
					d.left = 0
				}
			}
		}
	}
}

// session feeds fold with the slots that the session opened under the epochs given, and returns which these are.
func (r *Replayer) session(ctx context.Context, id uuid.UUID, epochs map[uint16]int32, fold Fold, stats *Stats) (map[uint16]bool, error) {
	var item metastore.Item
	err := r.patiently(ctx, metaTime, func(ctx context.Context) (err error) {
		item, err = r.Facts.Get(ctx, r.Cluster.SessionKey(id), metastore.Consistent)
		return err
	})
	if err != nil {
		return nil, err
	}
	s, err := records.DecodeSession(item)
	if err != nil {
		return nil, err
	}
	switch s.State {
	case records.Drained:
		return nil, nil // the state says that it holds nothing
	case records.Sealed, records.Closed:
	default:
		return nil, fmt.Errorf("it is %s, and its end is not known", s.State)
	}
	stats.Sessions++
	p := pass{Replayer: r, session: id, epochs: epochs, found: map[uint16]bool{}, fold: fold, stats: stats}
	if s.Snap > 0 {
		if err := p.snapshot(ctx, r.Keys.Snapshot(id, uint64(s.Snap), s.SnapID)); err != nil {
			return nil, err
		}
	}
	if err := p.footers(ctx, uint64(s.Snap)+1, uint64(s.End)); err != nil {
		return nil, err
	}
	return p.found, nil
}

// pass is one reading of one session.
type pass struct {
	*Replayer
	session uuid.UUID
	epochs  map[uint16]int32
	found   map[uint16]bool // slots opened so far
	fold    Fold
	stats   *Stats
}

func (p *pass) has(slot uint16) bool { return p.found[slot] }

// snapshot feeds the slots that a snapshot says were open under the wanted epoch.
func (p *pass) snapshot(ctx context.Context, key string) error {
	f, err := p.load(ctx, key)
	if err != nil {
		return err
	}
	for _, s := range f.Slots {
		if epoch, ok := p.epochs[s.Slot]; ok && epoch == s.Epoch {
			p.found[s.Slot] = true
		}
	}
	return p.fold.Snapshot(f, p.has)
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
	pending := make(chan chan result, parallel)
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
			if failed = p.opened(ctx, got.f); failed == nil {
				failed = p.fold.Apply(got.o, got.f, p.has, now)
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

// opened takes over the slots that a bundle opens, from the snapshot that its slot-open records name.
func (p *pass) opened(ctx context.Context, f *bundle.Footer) error {
	loaded := map[string]map[uint16]bool{}
	for _, op := range f.Ops {
		epoch, ok := p.epochs[op.Slot]
		if op.Kind != bundle.OpSlotOpen || !ok || epoch != op.Epoch {
			continue
		}
		if loaded[op.Key] == nil {
			loaded[op.Key] = map[uint16]bool{}
		}
		loaded[op.Key][op.Slot] = true
	}
	for key, slots := range loaded {
		if key != "" {
			snap, err := p.load(ctx, key)
			if err != nil {
				return err
			}
			if err := p.fold.Snapshot(snap, func(slot uint16) bool { return slots[slot] }); err != nil {
				return fmt.Errorf("snapshot %s: %w", key, err)
			}
		}
		for slot := range slots {
			p.found[slot] = true
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
		again := errors.Is(err, objstore.ErrThrottled) || errors.Is(err, objstore.ErrUnknown) ||
			errors.Is(err, metastore.ErrThrottled) || errors.Is(err, metastore.ErrUnknown)
		if !again {
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
