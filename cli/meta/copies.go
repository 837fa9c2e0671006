package meta

import (
	"context"
	"errors"
	"slices"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// lostIn returns which runs of f are not sound in body.
func lostIn(body []byte, f *bundle.Footer) (lost []int) {
	for i := range f.Runs {
		if !soundIn(body, f, i) {
			lost = append(lost, i)
		}
	}
	return lost
}

// soundIn reports whether run i of f is sound in body.
func soundIn(body []byte, f *bundle.Footer, i int) bool {
	r := f.Runs[i]
	return indexRun(&bundle.Footer{Topics: f.Topics}, &r, body[r.Pos:r.Pos+uint64(r.Len)]) == nil
}

// fromPacks looks in the packs that are there for runs of f that are lost, and copies those that it finds to body: a snapshot that is older than a
// pack, or than a merge of packs, names the objects whose place that has taken. It returns those that are in none.
func (l *look) fromPacks(ctx context.Context, body []byte, f *bundle.Footer, lost []int) ([]int, error) {
	if len(lost) == 0 {
		return nil, nil
	}
	l.say("looks in all packs for %d runs that are lost", len(lost))
	err := l.keys(ctx, objstore.KindPack, func(o objstore.Info, _ objstore.Parsed) error {
		in, _, _, err := l.readFooter(ctx, o.Key)
		if broken(err) || errors.Is(err, objstore.ErrNotFound) || len(lost) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		var left []int
		for _, i := range lost {
			found, err := l.copyRun(ctx, o.Key, in, body, f, i)
			if err != nil {
				return err
			}
			if !found {
				left = append(left, i)
			}
		}
		lost = left
		return nil
	})
	return lost, err
}

// copyRun copies run i of f to body, if an object with footer in holds all of it and it is sound.
func (l *look) copyRun(ctx context.Context, key string, in *bundle.Footer, body []byte, f *bundle.Footer, i int) (bool, error) {
	r := &f.Runs[i]
	for k := range in.Runs {
		c := &in.Runs[k]
		if in.Topics[c.Topic].ID != f.Topics[r.Topic].ID || c.Partition != r.Partition || c.Base > r.Base || c.Next < r.Next {
			continue
		}
		batches := in.BatchesOf(c)
		first := slices.IndexFunc(batches, func(b bundle.Batch) bool { return c.Base+int64(b.OffsetDelta) == r.Base })
		if first < 0 || r.Len > c.Len-batches[first].PosDelta {
			continue
		}
		o, err := l.get(ctx, key, objstore.Exact(int64(c.Pos)+int64(batches[first].PosDelta), int64(r.Len)))
		if errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange) {
			continue
		}
		if err != nil {
			return false, err
		}
		copy(body[r.Pos:r.Pos+uint64(r.Len)], o.Body)
		if soundIn(body, f, i) {
			return true, nil
		}
	}
	return false, nil
}

// keepRuns adds to f, which has the runs of an object that snapshots name, what else the object's own footer has, if it can be read: the runs
// that only its writer knows, and the operations. It returns where the body ends.
func keepRuns(f *bundle.Footer, old []byte, end uint64) uint64 {
	was, _, err := bundle.ParseTail(old, int64(len(old)))
	if err != nil {
		return end
	}
	pos, _, _, err := bundle.Locate(old, int64(len(old)))
	if err != nil {
		return end
	}
	named := map[uint64]bool{}
	for i := range f.Runs {
		named[f.Runs[i].Pos] = true
	}
	for _, r := range was.Runs {
		if !named[r.Pos] {
			r.Topic = topicIn(f, was.Topics[r.Topic])
			f.Runs = append(f.Runs, r)
		}
	}
	for _, op := range was.Ops {
		if op.Kind == bundle.OpLogStart {
			op.Topic = topicIn(f, was.Topics[op.Topic])
		}
		f.Ops = append(f.Ops, op)
	}
	sortRuns(f)
	return max(end, uint64(pos))
}
