package segment

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// suspectPlain is suspect of an object that nothing but its key names.
func (l *look) suspectPlain(ctx context.Context, o found) error {
	if l.suspect(o.Info) {
		return l.doom(ctx, o.Info)
	}
	return nil
}

// bundles looks for WAL bundles that their sessions, which have ended, never committed, or do not need.
func (l *look) bundles(ctx context.Context) error {
	return l.walk(ctx, objstore.KindWAL, func(ctx context.Context, o found) (string, error) {
		s, known, err := l.session(ctx, o.Session)
		switch seq := int64(o.Seq); {
		case err != nil:
			return "", err
		case !known || !hasEnd(s.State):
			return behind(l.d.Keys.WALPrefix(o.Session)), nil
		case s.State == records.Drained || seq < s.Trim || seq >= s.End:
			return "", l.suspectPlain(ctx, o)
		}
		return l.d.Keys.WAL(o.Session, uint64(s.End-1)), nil
	})
}

// hasEnd reports whether the end of a session's log is known and will not change.
func hasEnd(s records.State) bool {
	return s == records.Sealed || s == records.Closed || s == records.Drained
}

// snapshots looks for those of drained sessions. Others may be opened from.
func (l *look) snapshots(ctx context.Context) error {
	return l.walk(ctx, objstore.KindSnapshot, func(ctx context.Context, o found) (string, error) {
		s, known, err := l.session(ctx, o.Session)
		if err != nil {
			return "", err
		}
		if !known || s.State != records.Drained {
			return behind(l.d.Keys.SnapshotPrefix(o.Session)), nil
		}
		return "", l.suspectPlain(ctx, o)
	})
}

// segments looks for those that no extent names and none will.
func (l *look) segments(ctx context.Context) error {
	return l.pages(ctx, objstore.KindSegment, func(ctx context.Context, page []found) (string, error) {
		for len(page) > 0 {
			n := 1
			for n < len(page) && page[n].Topic == page[0].Topic && page[n].Partition == page[0].Partition {
				n++
			}
			if err := l.excuse(l.partition(ctx, page[:n])); err != nil {
				return "", err
			}
			page = page[n:]
		}
		return "", nil
	})
}

// partition judges neighbouring segments of one partition, in the order of their keys. How far the extents reach is read before them: what
// is below and has none then was never linked, or is unlinked.
func (l *look) partition(ctx context.Context, own []found) error {
	name := Name{own[0].Topic, own[0].Partition}
	alive, err := l.alive(ctx, name.Topic)
	if err != nil {
		return err
	}
	tiered := int64(math.MaxInt64)
	if alive {
		if tiered, err = l.tiered(ctx, name); err != nil {
			return err
		}
	}
	linked, err := l.linked(ctx, name, own[0].Base, own[len(own)-1].Base)
	if err != nil {
		return err
	}
	for _, o := range own {
		if linked[o.ID] {
			delete(l.suspects, o.Info.Key) // also if the rest of this look fails
			continue
		}
		passed := o.Base < tiered && (!alive || !o.Merged()) // a merge is linked below tiered, as long as its writer leads
		if err := l.unlinked(ctx, o, passed); err != nil {
			return err
		}
	}
	return nil
}

// unlinked judges a segment that no extent names. passed: none ever will, whoever wrote it.
func (l *look) unlinked(ctx context.Context, o found, passed bool) error {
	if passed && !l.suspect(o.Info) {
		return nil
	}
	state, err := l.writer(ctx, o.Info.Key)
	switch {
	case err != nil || state == "":
		return err
	case passed:
		return l.doom(ctx, o.Info)
	case state == records.Drained:
		return l.suspectPlain(ctx, o)
	}
	return nil
}

// linked returns the segments that the extents of a partition with first offsets from first to last name.
func (l *look) linked(ctx context.Context, n Name, first, last int64) (map[uuid.UUID]bool, error) {
	named := map[uuid.UUID]bool{}
	q := metastore.Query{PK: l.d.Cluster.PartitionPK(n.Topic, n.Index), Prefix: records.ExtentPrefix, Consistency: metastore.Consistent}
	if first > 0 {
		q.After = records.ExtentSK(first - 1)
	}
	for {
		page, err := l.query(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, row := range page.Rows {
			e, err := records.DecodeExtent(row.Item)
			if err != nil {
				return nil, fmt.Errorf("extent %s of partition %s-%d: %w", row.SK, n.Topic, n.Index, err)
			}
			if e.Base > last {
				return named, nil
			}
			named[e.Segment] = true
		}
		if q.After = page.Next; q.After == "" {
			return named, nil
		}
	}
}

// probeAge is how long a probe of the stores, at the start of an agent, may take at most.
const probeAge = time.Hour

// probes looks for what probes left behind.
func (l *look) probes(ctx context.Context) error {
	return l.walk(ctx, objstore.KindProbe, func(ctx context.Context, o found) (string, error) {
		if l.begun.Sub(o.Modified) < probeAge {
			return "", nil
		}
		return "", l.suspectPlain(ctx, o)
	})
}
