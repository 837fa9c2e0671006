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

// readHeadAndFooter reads an object's two ends.
func (t *Tool) readHeadAndFooter(ctx context.Context, key string) (h bundle.Header, f *bundle.Footer, size int64, err error) {
	o, err := t.get(ctx, key, objstore.Exact(0, bundle.HeaderLen))
	if err != nil {
		return h, nil, 0, err
	}
	if h, err = bundle.ParseHeader(o.Body); err != nil {
		return h, nil, 0, fmt.Errorf("%s: %w", key, err)
	}
	f, _, _, err = t.readFooter(ctx, key)
	return h, f, o.Size, err
}

// repairObject puts something sound into the place of an object that is gone or damaged.
func (l *look) repairObject(ctx context.Context, key string) (string, error) {
	k, err := l.cfg.Keys.Parse(key)
	if err != nil {
		return "", err
	}
	switch k.Kind {
	case objstore.KindSegment:
		return l.repairPartition(ctx, part{k.Topic, k.Partition}, key)
	case objstore.KindSnapshot:
		s := l.sessions[k.Session]
		if s == nil || s.item == nil {
			return "", fmt.Errorf("%w: its session is unknown", ErrBeyondRepair)
		}
		return l.olderSnapshot(ctx, s)
	case objstore.KindWAL, objstore.KindPack:
		return l.refill(ctx, key, k)
	}
	return "", fmt.Errorf("%w: %s", ErrBeyondRepair, key)
}

// refill writes a bundle or pack anew: what of it is sound, and in the place of the rest, of which snapshots say where it lay, batches
// without records. The key says what it was, and nobody can tell what was in it: the one case in which a key is written twice.
func (l *look) refill(ctx context.Context, key string, k objstore.Parsed) (string, error) {
	o := bundle.Object{Kind: bundle.PACK, Session: k.ID}
	h := bundle.Header{Kind: bundle.PACK, Cluster: l.config.Cluster}
	if k.Kind == objstore.KindWAL {
		o = bundle.Object{Kind: bundle.WAL, Session: k.Session, Seq: k.Seq}
		h = bundle.Header{Kind: bundle.WAL, Cluster: l.config.Cluster, Session: k.Session, Seq: k.Seq}
		if s := l.sessions[k.Session]; s == nil || s.item == nil || int64(k.Seq) > s.item.Snap && s.item.State != records.Drained {
			return "", fmt.Errorf("%w: no snapshot says what was in it: %s", ErrBeyondRepair, lostBundle)
		}
	}
	f, end, err := l.runsIn(ctx, o)
	if err != nil {
		return "", err
	}
	old, err := l.get(ctx, key, objstore.Range{})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return "", err
	}
	if h.Kind == bundle.PACK {
		if h.Session, err = l.packWriter(ctx, k, old.Body); err != nil {
			return "", err
		}
	}
	body := make([]byte, end)
	copy(body, bundle.AppendHeader(nil, h))
	lost, err := fillRuns(body, old.Body, f)
	if err != nil {
		return "", err
	}
	if err := f.Check(o.Kind, int64(end)); err != nil {
		return "", err
	}
	if err := l.put(ctx, key, bundle.AppendFooter(body, o.Kind, f)); err != nil {
		return "", err
	}
	return fmt.Sprintf("wrote it anew: %d runs, of which %d are lost; readers skip their %d offsets", len(f.Runs), lost.runs, lost.offsets), nil
}

// packWriter returns the session that wrote a pack, as its header or its item says.
func (l *look) packWriter(ctx context.Context, k objstore.Parsed, object []byte) (uuid.UUID, error) {
	if h, err := bundle.ParseHeader(object); err == nil {
		return h.Session, nil
	}
	it, err := l.item(ctx, l.cfg.Cluster.PackKey(k.ID))
	if err != nil {
		return uuid.Nil, err
	}
	p, err := records.DecodePack(it)
	return p.Session, err
}

// runsIn collects, from the snapshots that slots would be opened from, the runs that lie in an object, and where its body ends.
func (l *look) runsIn(ctx context.Context, o bundle.Object) (*bundle.Footer, uint64, error) {
	keys := map[string]map[uint16]bool{}
	for slot, from := range l.opens {
		if from.key != "" {
			if keys[from.key] == nil {
				keys[from.key] = map[uint16]bool{}
			}
			keys[from.key][slot] = true
		}
	}
	out, end := &bundle.Footer{}, uint64(bundle.HeaderLen)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		f, _, _, err := l.readFooter(ctx, key)
		if err != nil {
			return nil, 0, err
		}
		for i, r := range f.Runs {
			if !keys[key][r.Slot] || f.Refs[i].Object == bundle.Here {
				continue
			}
			if in := f.Objects[f.Refs[i].Object]; in.Kind == o.Kind && in.Session == o.Session && in.Seq == o.Seq {
				end = max(end, in.Size)
				r.Topic = topicIn(out, f.Topics[r.Topic])
				out.Runs = append(out.Runs, r)
			}
		}
	}
	sortRuns(out)
	return out, end, nil
}

// lostRuns counts what could not be kept.
type lostRuns struct {
	runs    int
	offsets int64
}

// fillRuns copies the runs of f that are sound in old to body, and fills the others. It makes the index of batches.
func fillRuns(body, old []byte, f *bundle.Footer) (lost lostRuns, err error) {
	for i := range f.Runs {
		r := &f.Runs[i]
		at := body[r.Pos : r.Pos+uint64(r.Len)]
		if uint64(len(old)) >= r.Pos+uint64(r.Len) {
			copy(at, old[r.Pos:])
		}
		if indexRun(f, r, at) == nil {
			continue
		}
		batch, err := emptyBatch(r.Len, r.LeaderEpoch, r.Base, r.Next)
		if err != nil {
			return lost, err
		}
		copy(at, batch)
		if err := indexRun(f, r, at); err != nil {
			return lost, err
		}
		lost.runs++
		lost.offsets += r.Next - r.Base
	}
	return lost, nil
}
