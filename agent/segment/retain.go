package segment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// RetainConfig of a Retainer.
type RetainConfig struct {
	Interval time.Duration // between two sweeps (log.retention.check.interval.ms)
	Grace    time.Duration // objects stay so long after nothing names them any more
}

// Keeps is the settings of topics.
type Keeps interface {
	// Limits returns what a topic keeps now; false if there is no such topic any more.
	Limits(topic uuid.UUID) (Limits, bool)
}

// Start is a partition with the offset at which its log shall begin.
type Start struct {
	Tail
	Offset int64
	bytes  int64 // of the batches that go
}

// ErrNotLed: the partition is not led here any more, or not for long. Its next leader goes on.
var ErrNotLed = errors.New("the partition is not led here any more")

// Starts moves log starts.
type Starts interface {
	// MoveStarts commits where logs begin from now on, in as few bundles as possible, and says for each whether readers see it: nil,
	// ErrNotLed, or another error.
	MoveStarts(ctx context.Context, starts []Start) []error
}

// RetainDeps is what a Retainer works on.
type RetainDeps struct {
	Facts      metastore.Store
	Keys       objstore.Keys
	Cluster    records.Cluster
	Index      *Index
	Partitions Partitions
	Keeps      Keeps
	Starts     Starts
	Metrics    *Metrics // the room's
	Log        *slog.Logger
}

// Retainer removes what topics do not keep: it moves the log start of led partitions past whole extents and runs, in the log itself, and
// unlinks extents that lie below a log start, whoever moved it. What it knows of a partition's extents it remembers, so that a sweep
// over partitions where nothing has changed causes no request.
type Retainer struct {
	cfg   RetainConfig
	d     RetainDeps
	known map[Name]*memo
	sweep uint64 // number of the current one
	first Name   // with which the next one begins: this one did not come to it
}

// memo is what a Retainer knows of a partition that has extents, or has had some.
type memo struct {
	sweep  uint64 // when it was used last
	epoch  int32  // under which it was learned: another leader may have changed extents since
	tiered int64  // extents reach up to here
	bytes  int64  // of all of them
	head   unit   // the first one; next is 0: there is none
	undated
}

const (
	maxLearned = 2000 // partitions that a sweep reads items of; the next one begins with the others
	maxMoved   = 1000 // log starts moved together
)

// NewRetainer returns a Retainer. Run makes it work.
func NewRetainer(cfg RetainConfig, d RetainDeps) *Retainer {
	return &Retainer{cfg: cfg, d: d, known: map[Name]*memo{}}
}

// Run sweeps until ctx ends. What fails is logged and done again at the next sweep.
func (r *Retainer) Run(ctx context.Context) {
	tick := time.NewTicker(r.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := r.Sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
				r.d.Log.Warn("retention: some partitions keep more than they should until the next sweep", "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Sweep looks at all led partitions, and does what is due at now. It returns the first error, after it went on with the others.
func (r *Retainer) Sweep(ctx context.Context, now time.Time) error {
	ctx = metastore.WithPurpose(ctx, PurposeLink)
	r.sweep++
	s := sweep{r: r, now: now.UnixMilli()}
	var due []Tail
	r.d.Partitions.Tails(func(t Tail) bool {
		if s.due(&t) {
			due = append(due, t)
		}
		return ctx.Err() == nil
	})
	if i := slices.IndexFunc(due, func(t Tail) bool { return t.Name == r.first }); i > 0 {
		due = slices.Concat(due[i:], due[:i])
	}
	r.first = Name{}
	for i := range due {
		s.note(&due[i], s.look(ctx, &due[i]))
		if len(s.moves) == maxMoved {
			s.move(ctx)
		}
	}
	s.move(ctx)
	if ctx.Err() == nil {
		for name, m := range r.known {
			if m.sweep != r.sweep {
				delete(r.known, name) // not led any more, or gone
			}
		}
	}
	return errors.Join(s.err, ctx.Err())
}

// sweep is one Sweep on its way.
type sweep struct {
	r       *Retainer
	now     int64 // ms
	learned int
	moves   []Start
	err     error
}

func (s *sweep) note(t *Tail, err error) {
	if err != nil && !errors.Is(err, ErrNotLed) && s.err == nil {
		s.err = fmt.Errorf("%s-%d: %w", t.TopicName, t.Index, err)
	}
}

// due reports, from memory alone, whether there may be something to do for a partition.
func (s *sweep) due(t *Tail) bool {
	l, ok := s.r.d.Keeps.Limits(t.Topic)
	if !ok {
		return false
	}
	m := s.memo(t)
	switch {
	case m == nil && t.LogStart > 0:
		return true // extents of an earlier time may wait to be unlinked
	case m == nil && t.Base <= t.LogStart:
		return !l.none() && t.Runs > 0 && l.due(unit{bytes: 0, maxTS: t.MaxTimestamp}, t.Bytes, s.now)
	case m == nil:
		return !l.none()
	case m.head.next > 0 && m.head.next <= t.LogStart:
		return true
	case l.none():
		return false
	case t.Base > max(m.tiered, t.LogStart):
		return true // extents were linked since
	case m.head.next > 0:
		return l.due(m.head, m.bytes+t.Bytes, s.now)
	}
	return t.Runs > 0 && l.due(unit{maxTS: t.MaxTimestamp}, t.Bytes, s.now)
}

// memo returns what is known of a partition, nil if nothing that holds.
func (s *sweep) memo(t *Tail) *memo {
	m := s.r.known[t.Name]
	if m == nil || m.epoch != t.Epoch {
		return nil
	}
	m.sweep = s.r.sweep
	return m
}

// look learns what must be known of a partition, unlinks what lies below its log start, and plans where it shall begin.
func (s *sweep) look(ctx context.Context, t *Tail) error {
	m, base := s.memo(t), t.Base
	if (t.LogStart > 0 || t.Base > 0) && (m == nil || t.Base > max(m.tiered, t.LogStart)) {
		if s.learned == maxLearned {
			if s.r.first == (Name{}) {
				s.r.first = t.Name
			}
			return nil
		}
		s.learned++
		var err error
		if m, err = s.r.learn(ctx, t); err != nil {
			return err
		}
	}
	if m != nil && m.head.next > 0 && m.head.next <= t.LogStart {
		if err := s.r.unlink(ctx, t, m, s.now); err != nil {
			return err
		}
	}
	l, ok := s.r.d.Keeps.Limits(t.Topic)
	if !ok || l.none() || t.Base != base { // what is said of the tail is not so any more: the next sweep asks it anew
		return nil
	}
	start, err := s.plan(ctx, t, m, l)
	if err != nil || start <= t.LogStart {
		return err
	}
	move := Start{Tail: *t, Offset: start}
	err = s.units(ctx, t, func(u unit) bool {
		if u.next <= start {
			move.bytes += u.bytes
		}
		return u.next < start
	})
	s.moves = append(s.moves, move)
	return err
}

// plan returns where a partition's log shall begin.
func (s *sweep) plan(ctx context.Context, t *Tail, m *memo, l Limits) (int64, error) {
	none := memo{}
	if m == nil {
		m = &none
	}
	c := newCutoff(Limits{clampMillis(l.Time), l.Bytes}, s.now, t.LogStart, t.Stable, m.bytes+t.Bytes, m.undated)
	err := s.units(ctx, t, func(u unit) bool {
		if m.head.next > 0 && u.base == m.head.base {
			m.head = u // it may be a larger one now
		}
		return c.take(u)
	})
	if err != nil {
		return 0, err
	}
	start, u := c.start()
	m.undated = u
	return start, nil
}

// units calls take with the extents and runs of a log from its start on, in order, until it returns false.
func (s *sweep) units(ctx context.Context, t *Tail, take func(unit) bool) error {
	at := t.LogStart
	for at < t.Base {
		extents, err := s.r.d.Index.Extents(ctx, t.Topic, t.Index, at)
		if err != nil {
			return err
		}
		if len(extents) == 0 {
			return fmt.Errorf("%w: no extent holds offset %d, and the tail begins at %d", records.ErrBadItem, at, t.Base)
		}
		for i := range extents {
			if !take(unitOf(&extents[i])) {
				return nil
			}
		}
		at = extents[len(extents)-1].Next
	}
	var space [64]bundle.Location
	for {
		runs := t.Log.Runs(space[:0], at, len(space))
		if len(runs) == 0 {
			return nil
		}
		for i := range runs {
			if !take(unit{runs[i].Base, runs[i].Next, int64(runs[i].Len), runs[i].MaxTimestamp}) {
				return nil
			}
		}
		at = runs[len(runs)-1].Next
	}
}

func unitOf(e *records.Extent) unit { return unit{e.Base, e.Next, e.Bytes, e.MaxTimestamp} }

// move commits the log starts that were planned, then unlinks what lies below them.
func (s *sweep) move(ctx context.Context) {
	if len(s.moves) == 0 {
		return
	}
	errs := s.r.d.Starts.MoveStarts(ctx, s.moves)
	for i := range s.moves {
		t, err := &s.moves[i].Tail, errs[i]
		if err == nil {
			s.r.d.Metrics.expired(s.moves[i].Offset-t.LogStart, s.moves[i].bytes)
			t.LogStart = max(t.LogStart, s.moves[i].Offset)
			switch m := s.r.known[t.Name]; {
			case m == nil: // all of its log was in the tail, so there is nothing to unlink
				s.r.known[t.Name] = &memo{sweep: s.r.sweep, epoch: t.Epoch}
			case m.head.next > 0 && m.head.next <= t.LogStart:
				err = s.r.unlink(ctx, t, m, s.now)
			}
		}
		s.note(t, err)
	}
	s.moves = s.moves[:0]
}
