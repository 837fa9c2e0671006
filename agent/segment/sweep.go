package segment

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
)

// Sweeper goes through the whole bucket, slowly, and queues what nothing names and nobody can name any more: what a crash, a lost answer or
// a write that landed late has left. Age is never the reason. An object is an orphan if
//
//   - it is a segment without an extent, and its partition's tiered is above its first offset, or its topic is gone, or its writer's
//     session is DRAINED: a link demands that tiered is the first offset, that the topic is there, and the slot's epoch of its writer. One that
//     was to take the place of others, which its key tells, may be linked wherever tiered is: of those only the topic and the session say so;
//   - it is a pack of a DRAINED session, and no run of it that a snapshot in the bucket names is still to be linked: what a leader knows
//     of packs of others, it has from a snapshot, and its own one of the opening stays until it is DRAINED too. Or it is a pack of this agent's
//     own session, old enough, no snapshot names such a run, one that was taken since it was written among them, and whoever was handed a slot
//     by this session has opened it: a hand-over lets go of packs that the successor never hears of;
//   - it is a bundle that its session, which has ended, did not commit or does not need, or anything of a DRAINED session.
//
// And it has to be one at two looks, the grace or more apart: then whoever found it while it had a name has had that time, as with
// all that goes through the queue. What the table does not know of at all is left alone, and so is all of a session that may live, or that a
// rebuild of the table made up, and what an item may be about that does not decode.
//
// Run it at every agent: each looks after its own packs, and who serves slot 0 after the bucket. Two of those at a time do no harm.
type Sweeper struct {
	cfg      SweepConfig
	d        SweepDeps
	metrics  *SweepMetrics
	suspects map[string]time.Time // since when a key was found to be an orphan, by this process
}

// SweepConfig of a Sweeper.
type SweepConfig struct {
	Interval time.Duration // from one look to the next; 0: 6 h. A thousandth of it, 1 s at most, lies between two requests
	Grace    time.Duration // between the two looks that make an orphan, at least; 0: 15 min
}

// SweepDeps is what a Sweeper works on.
type SweepDeps struct {
	Objects   objstore.Store
	Facts     metastore.Store
	Keys      objstore.Keys
	Cluster   records.Cluster
	ClusterID uuid.UUID
	Mine      func() bool // whether this agent looks after the bucket: if not, looks end and what they found is forgotten
	Session   uuid.UUID
	Own       OwnPacks // nil: this session writes none
	Log       *slog.Logger
}

// OwnPacks are the packs that a session has written.
type OwnPacks interface {
	// OldPacks returns those of which the session's newest recorded snapshot says all that is known here.
	OldPacks() []uuid.UUID
	// ForgetPack says that one has no item any more.
	ForgetPack(id uuid.UUID)
}

// Bounds of one look. What is beyond waits for the orphans found before to be gone.
const (
	maxSuspects  = 50_000
	maxIdlePacks = 10_000
	maxReaches   = 100_000 // partitions whose tiered is remembered
)

// NewSweeper returns a Sweeper. Run makes it work.
func NewSweeper(cfg SweepConfig, d SweepDeps) *Sweeper {
	if cfg.Interval == 0 {
		cfg.Interval = 6 * time.Hour
	}
	if cfg.Grace == 0 {
		cfg.Grace = defaultGrace
	}
	return &Sweeper{cfg: cfg, d: d, metrics: newSweepMetrics(), suspects: map[string]time.Time{}}
}

// Metrics returns its gauges and counters.
func (s *Sweeper) Metrics() *SweepMetrics { return s.metrics }

// Run looks again and again until ctx ends: first after a quarter to a half of the interval, so that agents that were started together
// do not look together.
func (s *Sweeper) Run(ctx context.Context) {
	wait := s.cfg.Interval/4 + time.Duration(rand.Int64N(int64(s.cfg.Interval/4)+1))
	for sleep(ctx, wait) {
		wait = s.cfg.Interval - s.cfg.Interval/16 + time.Duration(rand.Int64N(int64(s.cfg.Interval/8)+1))
		switch err := s.Look(ctx); {
		case errors.Is(err, errNotMine):
			clear(s.suspects) // whoever looks now looks twice
		case err != nil && ctx.Err() == nil:
			s.metrics.failed.Inc()
			s.d.Log.Warn("a look for objects without a name failed; the next one begins anew", "err", err)
		}
	}
}

// errNotMine: another agent looks after the bucket.
var errNotMine = errors.New("another agent serves slot 0")

// Look goes through the bucket once, if that is this agent's, and through its own packs. Errors: those of the stores; what was found until
// then is kept.
func (s *Sweeper) Look(ctx context.Context) error {
	ctx = metastore.WithPurpose(objstore.WithPurpose(ctx, objstore.PurposeGC), PurposeLink)
	l := &look{
		Sweeper: s, sessions: map[uuid.UUID]records.Session{}, topics: map[uuid.UUID]bool{}, reach: map[Name]int64{},
		seen: map[string]time.Time{}, begun: time.Now(), whole: s.d.Mine(),
	}
	kinds := []func(context.Context) error{l.ownPacks}
	if l.whole {
		kinds = []func(context.Context) error{l.bundles, l.snapshots, l.segments, l.probes, l.queue, l.packs, l.queue, l.ownPacks}
	}
	var err error
	for _, kind := range kinds {
		if err = kind(ctx); err != nil {
			break
		}
	}
	if err != nil {
		for key, since := range l.seen {
			s.suspects[key] = since // of the rest nothing new is known
		}
		return err
	}
	s.suspects = l.seen
	if l.whole {
		now, waiting := time.Now(), 0
		for _, since := range l.seen {
			if !since.After(now) { // it is not queued
				waiting++
			}
		}
		s.metrics.looked(now, waiting)
	}
	if l.queued > 0 {
		s.d.Log.Info("queued objects that nothing names, left by agents that died or by writes that came late", "objects", l.queued, "bytes", l.bytes)
	}
	return nil
}

// excuse returns err, unless that is about what an item says: then what the item is about is left alone, and the look goes on.
func (l *look) excuse(err error) error {
	if !errors.Is(err, records.ErrBadItem) {
		return err
	}
	if !l.told {
		l.told = true
		l.d.Log.Error("the table says what can't be; the sweep for objects without a name leaves alone what that is about, see varve meta check", "err", err)
	}
	return nil
}

// look is one look at the bucket.
type look struct {
	*Sweeper
	begun    time.Time
	whole    bool                          // not this session's packs alone
	sessions map[uuid.UUID]records.Session // as they were read once: none goes back
	topics   map[uuid.UUID]bool            // those that were there at some time of the look
	fresh    bool                          // the topics were read after the page that is being judged was listed
	reach    map[Name]int64                // tiered of partitions, as read once: none goes back
	seen     map[string]time.Time          // suspects of this look
	veiled   bool                          // the item of some topic does not decode: so every topic may be there
	told     bool                          // of an item that does not decode
	doomed   []objstore.Info               // orphans to be queued
	queued   int
	bytes    int64
}

// ask makes a request after a pause, and again while a store is slow or unsure.
func (l *look) ask(ctx context.Context, do func(context.Context) error) error {
	if l.whole && !l.d.Mine() {
		return errNotMine
	}
	pause := min(l.cfg.Interval/1000, time.Second)
	if pause = pause/2 + time.Duration(rand.Int64N(int64(pause)+1)); pause > 0 && !sleep(ctx, pause) {
		return ctx.Err()
	}
	return patiently(ctx, do)
}

// suspect notes an object that is an orphan as far as one look can tell, and reports whether an earlier one has said so long enough ago.
func (l *look) suspect(o objstore.Info) (orphan bool) {
	since, known := l.suspects[o.Key]
	if known && l.begun.Sub(since) >= l.cfg.Grace {
		return true
	}
	if !known {
		since = time.Now()
	}
	if len(l.seen) < maxSuspects {
		l.seen[o.Key] = since
	}
	return false
}

// doom queues an orphan, with others.
func (l *look) doom(ctx context.Context, o objstore.Info) error {
	if l.doomed = append(l.doomed, o); len(l.doomed) < records.MaxGarbageKeys {
		return nil
	}
	return l.queue(ctx)
}

// queue puts the doomed into the garbage queue. Nobody needs more time: they go as soon as the shard's worker comes to them.
func (l *look) queue(ctx context.Context) error {
	if len(l.doomed) == 0 {
		return nil
	}
	g := records.Garbage{ID: uuid.New(), NotBefore: time.Now().UnixMilli()}
	for _, o := range l.doomed {
		g.Keys, g.Bytes = append(g.Keys, o.Key), g.Bytes+o.Size
	}
	err := l.ask(ctx, func(ctx context.Context) error {
		_, err := l.d.Facts.Write(ctx, metastore.Op{Kind: metastore.OpPut, Key: l.d.Cluster.GarbageKey(g), Set: g.Item()})
		return err
	})
	if err != nil {
		return fmt.Errorf("queue objects without a name: %w", err)
	}
	l.count(len(g.Keys), g.Bytes)
	l.rests(g.Keys)
	l.doomed = l.doomed[:0]
	return nil
}

// queuedFor is how long an orphan that was queued is no suspect: if the store refuses to delete it, each look but one would queue it once more.
const queuedFor = 7 * 24 * time.Hour

// rests notes that orphans were queued.
func (l *look) rests(keys []string) {
	for _, key := range keys {
		if len(l.seen) < maxSuspects {
			l.seen[key] = time.Now().Add(queuedFor)
		}
	}
}

func (l *look) count(objects int, bytes int64) {
	l.queued, l.bytes = l.queued+objects, l.bytes+bytes
	l.metrics.objects.Add(float64(objects))
	l.metrics.bytes.Add(float64(bytes))
}
