package meta

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// probeAge is how old an object of a probe must be to be a leftover.
const probeAge = time.Hour

// keys calls each for the objects of a kind. What is no key is a finding.
func (l *look) keys(ctx context.Context, kind string, each func(objstore.Info, objstore.Parsed) error) error {
	return l.list(ctx, l.cfg.Keys.Root()+kind+"/", func(o objstore.Info) error {
		k, err := l.cfg.Keys.Parse(o.Key)
		if err != nil {
			l.foreign(o.Key)
			return nil
		}
		return each(o, k)
	})
}

// checkBundles compares the WAL bundles that are there with those that sessions say are needed.
func (l *look) checkBundles(ctx context.Context) error {
	l.say("lists WAL bundles")
	var at uuid.UUID
	var have []int64 // of session at, those that are needed
	listed := map[uuid.UUID]bool{}
	flush := func() error {
		listed[at] = true
		return l.missingBundles(ctx, l.sessions[at], have)
	}
	err := l.keys(ctx, objstore.KindWAL, func(o objstore.Info, k objstore.Parsed) error {
		s, err := l.sessionOf(ctx, k.Session, o.Key)
		if err != nil {
			return err
		}
		if k.Session != at {
			if err := flush(); err != nil {
				return err
			}
			at, have = k.Session, have[:0]
		}
		named := objectID{k.Session, k.Seq}
		_, extra := l.bundles[named]
		delete(l.bundles, named)
		if s.needs(int64(k.Seq)) {
			have = append(have, int64(k.Seq))
		} else if !extra {
			return l.needlessBundle(s, o.Key, int64(k.Seq))
		}
		return l.deeply(ctx, o.Key, isBundle(k))
	})
	if err = errors.Join(err, flush()); err != nil {
		return err
	}
	for id, s := range l.sessions {
		if !listed[id] {
			if err := l.missingBundles(ctx, s, nil); err != nil {
				return err
			}
		}
	}
	for o := range l.bundles { // named, and not listed: the trim of their session has passed them
		key := l.cfg.Keys.WAL(o.session, o.seq)
		there, err := l.there(ctx, key)
		if err != nil {
			return err
		}
		if !there {
			l.repair(MissingWAL, key, "a snapshot names it")
		}
	}
	return nil
}

// isBundle checks that an object says of itself what its key says.
func isBundle(k objstore.Parsed) func(bundle.Header, *bundle.Footer, int64) error {
	return func(h bundle.Header, _ *bundle.Footer, _ int64) error {
		if h.Session != k.Session || h.Seq != k.Seq {
			return bundle.ErrCorrupt
		}
		return nil
	}
}

// needlessBundle judges a bundle that its session does not need. Those of an ACTIVE one may be on their way.
func (l *look) needlessBundle(s *session, key string, seq int64) error {
	if !s.ended() || l.blind {
		return nil
	}
	for _, g := range l.queuedParts[s.id] {
		if seq >= g.From && seq < g.End {
			return nil
		}
	}
	if s.item.State != records.Drained && seq >= s.item.Trim && seq <= s.item.Committed {
		return nil
	}
	l.sweep(Orphan, key, "session %s has ended (%s) and needs bundles %d to %d", s.id, s.item.State, max(1, s.item.Trim), s.item.Committed)
	return nil
}

// missingBundles looks for the bundles of a session that a listing did not have; have is ascending.
func (l *look) missingBundles(ctx context.Context, s *session, have []int64) error {
	if s == nil || s.item == nil || s.item.State == records.Drained {
		return nil
	}
	for seq := max(1, s.item.Trim); seq <= s.item.Committed; seq++ {
		if len(have) > 0 && have[0] == seq {
			have = have[1:]
			continue
		}
		key := l.cfg.Keys.WAL(s.id, uint64(seq))
		there, err := l.there(ctx, key)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if err := l.readSession(ctx, s); err != nil {
			return err
		}
		switch {
		case s.needs(seq) && seq > s.item.Snap:
			l.hint(MissingWAL, key, lostBundle, "session %s needs bundles %d to %d, and no snapshot says what was in it", s.id, max(1, s.item.Trim), s.item.Committed)
		case s.needs(seq):
			l.repair(MissingWAL, key, "session %s needs bundles %d to %d", s.id, max(1, s.item.Trim), s.item.Committed)
		}
		if s.item == nil {
			return nil
		}
	}
	return nil
}

// lostBundle is what to do when a bundle is lost that no snapshot covers.
const lostBundle = "restore the object; if the session lives, its next snapshot covers it; else stop the agents and rebuild the table from what is left: varve meta rebuild"

// checkSnapshots looks at the snapshots in the bucket. All of a session's are accounted for until it is drained.
func (l *look) checkSnapshots(ctx context.Context) error {
	l.say("lists snapshots")
	return l.keys(ctx, objstore.KindSnapshot, func(o objstore.Info, k objstore.Parsed) error {
		s, err := l.sessionOf(ctx, k.Session, o.Key)
		if err != nil || s.item == nil {
			return err
		}
		if _, needed := l.snapshots[o.Key]; needed {
			return l.deeply(ctx, o.Key, isBundle(k))
		}
		queued := slices.ContainsFunc(l.queuedParts[s.id], func(g records.Garbage) bool { return g.Snapshots })
		if s.item.State == records.Drained && !queued && !l.blind {
			l.sweep(Orphan, o.Key, "session %s is drained", s.id)
		}
		return nil
	})
}

// checkPacks compares the packs that are there with their items and with the runs that snapshots name.
func (l *look) checkPacks(ctx context.Context) error {
	l.say("lists packs")
	seen := map[uuid.UUID]bool{}
	err := l.keys(ctx, objstore.KindPack, func(o objstore.Info, k objstore.Parsed) error {
		seen[k.ID] = true
		known, err := l.checkPack(ctx, k.ID)
		if err != nil {
			return err
		}
		if !known {
			return l.unnamed(ctx, o.Key, false)
		}
		return l.deeply(ctx, o.Key, func(h bundle.Header, _ *bundle.Footer, _ int64) error { return nil })
	})
	if err != nil {
		return err
	}
	for _, id := range slices.SortedFunc(maps.Keys(l.packs), compareIDs) {
		if seen[id] {
			continue
		}
		key := l.cfg.Keys.Pack(id)
		there, err := l.there(ctx, key)
		if err != nil {
			return err
		}
		if !there {
			l.repair(MissingPack, key, "%d runs of the log lie in it", l.packs[id])
		}
		if _, err := l.checkPack(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// checkPack compares a pack's item with what snapshots name. known is false if nothing knows of the pack.
func (l *look) checkPack(ctx context.Context, id uuid.UUID) (known bool, err error) {
	key, named := l.cfg.Cluster.PackKey(id), l.packs[id]
	it, err := l.item(ctx, key)
	if err != nil {
		return true, err
	}
	if it == nil {
		if named > 0 && l.live {
			if named, err = l.recount(ctx, id); err != nil {
				return true, err
			}
		}
		if named > 0 {
			l.repair(PackCounter, id.String(), "%d runs of the log lie in it, and it has no item", named)
		}
		return l.packs[id] > 0, nil // one whose last run was linked during this look is in the queue by now
	}
	p, err := records.DecodePack(it)
	if err != nil {
		l.repair(Undecodable, key.PK+","+key.SK, "%v", err)
		return true, nil
	}
	writer, err := l.sessionOf(ctx, p.Session, key.PK)
	if err != nil {
		return true, err
	}
	if p.Live < named && l.live {
		if named, err = l.recount(ctx, id); err != nil {
			return true, err
		}
	}
	switch {
	case p.Live == named || p.Live > named && (!writer.ended() || l.blind): // a writer that lives knows more than its snapshots
	case p.Live > named && named > 0 && l.live: // a leader may be about to count it down, and a pack that stays is better than one that goes too early
	case named == 0:
		l.idle = append(l.idle, Finding{PackCounter, id.String(), fmt.Sprintf("it counts %d runs, and none is needed", p.Live), slices.Clone(sweeps), ""})
	default:
		l.repair(PackCounter, id.String(), "it counts %d runs, %d are needed", p.Live, named)
	}
	return true, nil
}

// checkIdle adds the packs that nobody needs to the findings; not as long as something else is missing: there may be a copy of it in one of them.
func (l *look) checkIdle(context.Context) error {
	for _, f := range l.sorted() {
		if f.Class == MissingPack || f.Class == MissingWAL || f.Class == Damaged {
			return nil
		}
	}
	for _, f := range l.idle {
		l.add(f)
	}
	return nil
}

// checkRest looks for what is of no kind: it asks for the first key after each kind that there is.
func (l *look) checkRest(ctx context.Context) error {
	root, kinds := l.cfg.Keys.Root(), []string{objstore.KindWAL, objstore.KindSnapshot, objstore.KindPack, objstore.KindSegment, objstore.KindStart, objstore.KindProbe}
	for after := ""; ; {
		var page []objstore.Info
		err := l.ask(ctx, func(ctx context.Context) (err error) {
			page, err = l.cfg.Objects.List(ctx, root, after, 1)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		kind, _, _ := strings.Cut(page[0].Key[len(root):], "/")
		if slices.Contains(kinds, kind) && strings.HasPrefix(page[0].Key, root+kind+"/") {
			after = root + kind + "/\U0010ffff" // behind all keys of the kind
			continue
		}
		after = page[0].Key
		l.foreign(after)
	}
}

// checkProbes looks for what probes of the stores left behind.
func (l *look) checkProbes(ctx context.Context) error {
	return l.keys(ctx, objstore.KindProbe, func(o objstore.Info, _ objstore.Parsed) error {
		if l.now-o.Modified.UnixMilli() > probeAge.Milliseconds() {
			l.sweep(Orphan, o.Key, "left by a probe at %s", o.Modified.UTC().Format(time.RFC3339))
		}
		return nil
	})
}
