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

// needs is in whose WAL something lies.
type needs map[uuid.UUID]struct{}

// objectID names a WAL bundle.
type objectID struct {
	session uuid.UUID
	seq     uint64
}

// readNamed reads the snapshots from which slots would be opened, one at a time, and notes which objects their runs lie in. Runs
// below the extents' end count no more: they were linked.
func (l *look) readNamed(ctx context.Context) error {
	bySnapshot := map[string]map[uint16]bool{}
	for slot, o := range l.opens {
		if o.unknown {
			l.blind = true
		}
		l.needed[slot] = needs{}
		if o.session != uuid.Nil {
			l.needed[slot][o.session] = struct{}{} // bundles after the snapshot
		}
		if o.key != "" {
			if bySnapshot[o.key] == nil {
				bySnapshot[o.key] = map[uint16]bool{}
			}
			bySnapshot[o.key][slot] = true
		}
	}
	for i, key := range slices.Sorted(maps.Keys(bySnapshot)) {
		l.say("reads snapshot %d of %d", i+1, len(bySnapshot))
		f, _, _, err := l.readFooter(ctx, key)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			if err := l.lostOpening(ctx, key); err != nil {
				return err
			}
			continue
		case broken(err):
			l.blind = true
			l.repair(Damaged, key, "slots would be opened from this snapshot: %v", err)
			continue
		case err != nil:
			return err
		}
		if err := l.nameRuns(ctx, key, f, bySnapshot[key]); err != nil {
			return err
		}
	}
	return l.readNew(ctx)
}

// readNew reads the items of sessions that only snapshots name. Their bundles were taken for ones that no session says are needed.
func (l *look) readNew(ctx context.Context) error {
	for slot := range l.needed {
		for session := range l.needed[slot] {
			if s := l.sessions[session]; s.item == nil {
				if err := l.readSession(ctx, s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// lostOpening notes a snapshot that a slot-open record names and that is gone, unless a newer one was recorded meanwhile.
func (l *look) lostOpening(ctx context.Context, key string) error {
	l.blind = true
	p, err := l.cfg.Keys.Parse(key)
	if err != nil {
		l.hint(Damaged, key, "restore the object that a slot-open record names", "%v", err)
		return nil
	}
	s := l.sessions[p.Session]
	before := s.item.Snap
	if err := l.readSession(ctx, s); err != nil || s.item == nil || s.item.Snap != before {
		return err
	}
	l.repair(MissingSnapshot, s.id.String(), "its slot-open records name %s", key)
	return nil
}

// nameRuns goes through the runs of some slots in a snapshot, partition by partition.
func (l *look) nameRuns(ctx context.Context, key string, f *bundle.Footer, slots map[uint16]bool) error {
	ends, epochs := map[part]bundle.Partition{}, f.Epochs
	for _, p := range f.Partitions {
		led := epochs[:p.Epochs]
		epochs = epochs[p.Epochs:]
		if name := (part{f.Topics[p.Topic].ID, p.Partition}); slots[p.Slot] {
			ends[name], l.lines[name] = p, line{led, p.LogEnd}
		}
	}
	if len(f.Refs) != len(f.Runs) {
		return fmt.Errorf("%s: %w: %d runs with %d references", key, bundle.ErrCorrupt, len(f.Runs), len(f.Refs))
	}
	for i := 0; i < len(f.Runs); {
		r := &f.Runs[i]
		p := part{f.Topics[r.Topic].ID, r.Partition}
		first := i
		for i < len(f.Runs) && f.Runs[i].Topic == r.Topic && f.Runs[i].Partition == r.Partition && f.Runs[i].Slot == r.Slot {
			i++
		}
		if _, alive := l.topics[p.topic]; !slots[r.Slot] || !alive {
			continue
		}
		at := l.nameTail(f, first, i, p)
		if err := l.checkJoint(ctx, p, ends[p], at); err != nil {
			return err
		}
		delete(ends, p)
	}
	for p, end := range ends { // without a tail: all of the log must lie in extents
		if _, alive := l.topics[p.topic]; alive {
			if err := l.checkJoint(ctx, p, end, end.LogEnd); err != nil {
				return err
			}
		}
	}
	return nil
}

// nameTail notes the objects of runs [first, end) of a snapshot, which are one partition's, and returns where they begin.
func (l *look) nameTail(f *bundle.Footer, first, end int, p part) (base int64) {
	tiered := int64(0)
	if r := l.parts[p]; r != nil {
		tiered = r.tiered
	}
	for i := first; i < end; i++ {
		r := &f.Runs[i]
		if r.Next <= tiered || f.Refs[i].Object == bundle.Here {
			continue
		}
		o := f.Objects[f.Refs[i].Object]
		switch o.Kind {
		case bundle.PACK:
			l.packs[o.Session]++
		case bundle.WAL:
			l.needed[r.Slot][o.Session] = struct{}{}
			if s := l.name(o.Session, "a snapshot, for slot %d", r.Slot); !s.needs(int64(o.Seq)) {
				l.bundles[objectID{o.Session, o.Seq}] = struct{}{}
			}
		}
	}
	return f.Runs[first].Base
}

// checkJoint checks that the tail of a log begins where its extents end, or before.
func (l *look) checkJoint(ctx context.Context, p part, end bundle.Partition, base int64) error {
	covered := end.LogStart
	if r := l.parts[p]; r != nil {
		r.base, covered = base, max(covered, r.tiered)
	}
	if base <= covered || end.LogEnd <= covered {
		return nil
	}
	if l.live { // the snapshot may be newer than what was read of the partition
		tiered, err := l.tieredNow(ctx, p)
		if err != nil || base <= tiered {
			return err
		}
	}
	l.repair(ExtentGap, p.String(), "extents of %s reach up to %d, the tail begins at %d", l.partName(p), covered, base)
	return nil
}

// tieredNow reads where a partition's extents end; 0 if its item says nothing.
func (l *look) tieredNow(ctx context.Context, p part) (int64, error) {
	it, err := l.item(ctx, l.cfg.Cluster.PartitionKey(p.topic, p.index))
	if err != nil || it == nil {
		return 0, err
	}
	item, err := records.DecodePartition(it)
	if err != nil {
		return 0, nil // a finding already
	}
	return item.Tiered, nil
}

// recount returns how many runs of a pack the snapshots name, without those that were linked by now: for a cluster that lives, where what was read
// of partitions is older than the pack's item.
func (l *look) recount(ctx context.Context, pack uuid.UUID) (n int64, err error) {
	f, _, _, err := l.runsIn(ctx, bundle.Object{Kind: bundle.PACK, Session: pack})
	if errors.Is(err, objstore.ErrNotFound) || broken(err) {
		return l.packs[pack], nil // a newer one has replaced it, or it is a finding already
	}
	if err != nil {
		return 0, err
	}
	known := map[part]int64{}
	for i := range f.Runs {
		r := &f.Runs[i]
		p := part{f.Topics[r.Topic].ID, r.Partition}
		tiered, ok := known[p]
		if !ok {
			if tiered, err = l.tieredNow(ctx, p); err != nil {
				return 0, err
			}
			known[p] = tiered
		}
		if _, alive := l.topics[p.topic]; alive && r.Next > tiered {
			n++
		}
	}
	return n, nil
}
