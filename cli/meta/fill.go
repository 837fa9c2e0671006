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

// refill writes a bundle or pack anew: what of it is sound, there or in another pack, and in the place of the rest, of which snapshots say where
// it lay, batches without records. The key says what it was, and nobody can tell what was in it: the one case in which a key is written twice.
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
	f, end, by, err := l.runsIn(ctx, o)
	if err != nil {
		return "", err
	}
	old, err := l.get(ctx, key, objstore.Range{})
	if err != nil && !errors.Is(err, objstore.ErrNotFound) {
		return "", err
	}
	if h.Kind == bundle.PACK {
		if h.Session, err = l.packWriter(ctx, k, old.Body, by); err != nil {
			return "", err
		}
	}
	end = keepRuns(f, old.Body, end)
	body := make([]byte, end)
	copy(body, old.Body)
	copy(body, bundle.AppendHeader(nil, h))
	gone, err := l.fromPacks(ctx, body, f, lostIn(body, f))
	if err != nil {
		return "", err
	}
	lost, err := fillRuns(body, f, gone)
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

// packWriter returns the session that wrote a pack, as its header or its item says; if neither is there, by, whose snapshot names it.
func (l *look) packWriter(ctx context.Context, k objstore.Parsed, object []byte, by uuid.UUID) (uuid.UUID, error) {
	if h, err := bundle.ParseHeader(object); err == nil {
		return h.Session, nil
	}
	it, err := l.item(ctx, l.cfg.Cluster.PackKey(k.ID))
	if err != nil || it == nil {
		return by, err
	}
	p, err := records.DecodePack(it)
	return p.Session, err
}

// runsIn collects, from the snapshots that slots would be opened from, the runs that lie in an object, and where its body ends; by is the
// session of one of those snapshots.
func (l *look) runsIn(ctx context.Context, o bundle.Object) (_ *bundle.Footer, end uint64, by uuid.UUID, err error) {
	keys, sessions := map[string]map[uint16]bool{}, map[string]uuid.UUID{}
	for slot, from := range l.opens {
		if from.key != "" {
			sessions[from.key] = from.session
			if keys[from.key] == nil {
				keys[from.key] = map[uint16]bool{}
			}
			keys[from.key][slot] = true
		}
	}
	out := &bundle.Footer{}
	end = bundle.HeaderLen
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		f, _, _, err := l.readFooter(ctx, key)
		if err != nil {
			return nil, 0, by, err
		}
		for i, r := range f.Runs {
			if !keys[key][r.Slot] || f.Refs[i].Object == bundle.Here {
				continue
			}
			if in := f.Objects[f.Refs[i].Object]; in.Kind == o.Kind && in.Session == o.Session && in.Seq == o.Seq {
				end, by = max(end, in.Size), sessions[key]
				r.Topic = topicIn(out, f.Topics[r.Topic])
				out.Runs = append(out.Runs, r)
			}
		}
	}
	sortRuns(out)
	return out, end, by, nil
}

// lostRuns counts what could not be kept.
type lostRuns struct {
	runs    int
	offsets int64
}

// fillRuns puts what holds nothing in the place of the runs of f that are gone, and makes the index of the batches of all.
func fillRuns(body []byte, f *bundle.Footer, gone []int) (lost lostRuns, err error) {
	for _, i := range gone {
		r := &f.Runs[i]
		batch, err := emptyBatch(r.Len, r.LeaderEpoch, r.Base, r.Next)
		if err != nil {
			return lost, err
		}
		copy(body[r.Pos:], batch)
		lost.runs++
		lost.offsets += r.Next - r.Base
	}
	for i := range f.Runs {
		r := &f.Runs[i]
		if err := indexRun(f, r, body[r.Pos:r.Pos+uint64(r.Len)]); err != nil {
			return lost, err
		}
	}
	return lost, nil
}
