package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

const (
	chunk     = 4 << 20 // bytes that a deep look reads at once, unless a batch is larger
	deepAhead = 64      // objects that wait to be read
)

// deepJob is an object to be read.
type deepJob struct {
	key  string
	same func(h bundle.Header, f *bundle.Footer, pos int64) error
}

// deeply reads every byte of an object, sooner or later, if that is asked for: header, footer, the CRC of each batch, the digest of each
// run. same compares what is found with what is expected. After the last one comes readDeep.
func (l *look) deeply(ctx context.Context, key string, same func(h bundle.Header, f *bundle.Footer, pos int64) error) error {
	if !l.deep {
		return nil
	}
	l.mu.Lock()
	l.jobs = append(l.jobs, deepJob{key, same})
	n := len(l.jobs)
	l.mu.Unlock()
	if n < deepAhead {
		return nil
	}
	return l.readDeep(ctx)
}

// readDeep reads the objects that wait, several at once.
func (l *look) readDeep(ctx context.Context) error {
	l.mu.Lock()
	jobs := l.jobs
	l.jobs = nil
	l.mu.Unlock()
	return l.each(ctx, len(jobs), func(ctx context.Context, i int) error { return l.readJob(ctx, jobs[i].key, jobs[i].same) })
}

func (l *look) readJob(ctx context.Context, key string, same func(h bundle.Header, f *bundle.Footer, pos int64) error) error {
	l.say("reads %s", key)
	err := l.readWhole(ctx, key, same)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return nil // deleted meanwhile; if it is needed, that is another finding
	case broken(err), errors.Is(err, objstore.ErrRange):
		l.repair(Damaged, key, "%v", err)
		return nil
	}
	return err
}

// soundObject reads an object that was not found to be wrong, and reports whether it is what its key and the table say.
func (l *look) soundObject(ctx context.Context, key string) (bool, error) {
	k, err := l.cfg.Keys.Parse(key)
	if err != nil {
		return false, err
	}
	same := func(bundle.Header, *bundle.Footer, int64) error { return nil }
	switch k.Kind {
	case objstore.KindWAL, objstore.KindSnapshot:
		same = isBundle(k)
	case objstore.KindSegment:
		p := part{k.Topic, k.Partition}
		y, err := l.readLayout(ctx, p, func(metastore.Key, error) {})
		if err != nil {
			return false, err
		}
		if i := slices.IndexFunc(y.extents, func(e records.Extent) bool { return e.Segment == k.ID }); i >= 0 {
			same = func(_ bundle.Header, f *bundle.Footer, pos int64) error { return isSegmentOf(p, y.extents[i], f, pos) }
		}
	}
	err = l.readWhole(ctx, key, same)
	if broken(err) || errors.Is(err, objstore.ErrRange) || errors.Is(err, objstore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (l *look) readWhole(ctx context.Context, key string, same func(bundle.Header, *bundle.Footer, int64) error) error {
	head, err := l.get(ctx, key, objstore.Exact(0, bundle.HeaderLen))
	if err != nil {
		return err
	}
	h, err := bundle.ParseHeader(head.Body)
	if err != nil {
		return err
	}
	if h.Cluster != l.config.Cluster {
		return fmt.Errorf("%w: an object of cluster %s", bundle.ErrCorrupt, h.Cluster)
	}
	f, kind, pos, err := l.readFooter(ctx, key)
	if err != nil {
		return err
	}
	if kind != h.Kind {
		return fmt.Errorf("%w: the header says %v, the trailer %v", bundle.ErrCorrupt, h.Kind, kind)
	}
	if err := same(h, f, pos); err != nil {
		return err
	}
	for i := range f.Runs {
		if len(f.Refs) > 0 && f.Refs[i].Object != bundle.Here {
			continue
		}
		if err := l.readRun(ctx, key, f, i); err != nil {
			return fmt.Errorf("run %d: %w", i, err)
		}
	}
	return nil
}

// readRun checks the batches of a run, which it reads in pieces, against the footer.
func (l *look) readRun(ctx context.Context, key string, f *bundle.Footer, i int) error {
	r := &f.Runs[i]
	w := runWalk{run: r, index: f.BatchesOf(r), next: r.Base, digest: bundle.NewDigest(f.Topics[r.Topic].ID, r.Partition, r.LeaderEpoch, r.Base)}
	var rest []byte
	want := int64(chunk)
	for at := int64(0); at < int64(r.Len); {
		n := min(want, int64(r.Len)-at)
		o, err := l.get(ctx, key, objstore.Exact(int64(r.Pos)+at, n))
		if err != nil {
			return err
		}
		at += n
		if rest, err = w.take(append(rest, o.Body...), at == int64(r.Len)); err != nil {
			return err
		}
		want = max(chunk, int64(len(rest))) // a batch that is larger than a chunk doubles it
	}
	return w.end()
}

// runWalk is a walk over the batches of a run.
type runWalk struct {
	run    *bundle.Run
	index  []bundle.Batch
	n      int
	next   int64
	digest bundle.Digest
}

// take checks the whole batches at the start of b and returns what is left, a copy. last: nothing comes after b.
func (w *runWalk) take(b []byte, last bool) ([]byte, error) {
	for {
		batch, rest, err := recordbatch.Next(b)
		switch {
		case errors.Is(err, recordbatch.ErrTruncated) && !last:
			return append([]byte(nil), b...), nil
		case err != nil:
			return nil, fmt.Errorf("%w: batch %d: %w", bundle.ErrCorrupt, w.n, err)
		case batch == nil:
			return nil, nil
		}
		if err := w.batch(batch); err != nil {
			return nil, err
		}
		b = rest
	}
}

func (w *runWalk) batch(b recordbatch.Batch) error {
	if err := b.CheckCRC(); err != nil {
		return fmt.Errorf("%w: batch %d: %w", bundle.ErrCorrupt, w.n, err)
	}
	if b.BaseOffset() != w.next || b.LeaderEpoch() != w.run.LeaderEpoch {
		return fmt.Errorf("%w: batch %d has offset %d and epoch %d, not %d and %d",
			bundle.ErrCorrupt, w.n, b.BaseOffset(), b.LeaderEpoch(), w.next, w.run.LeaderEpoch)
	}
	if w.index != nil && (w.n >= len(w.index) || int(w.index[w.n].Len) != len(b) || w.index[w.n].Records != uint32(b.NumRecords())) {
		return fmt.Errorf("%w: batch %d is not the one in the index", bundle.ErrCorrupt, w.n)
	}
	w.digest = w.digest.Add(b.CRC())
	w.next = b.NextOffset()
	w.n++
	return nil
}

func (w *runWalk) end() error {
	switch {
	case w.n != int(w.run.Batches) || w.next != w.run.Next:
		return fmt.Errorf("%w: %d batches up to offset %d, the footer says %d and %d", bundle.ErrCorrupt, w.n, w.next, w.run.Batches, w.run.Next)
	case uint32(w.digest) != w.run.Digest:
		return fmt.Errorf("%w: the digest is %08x, the footer says %08x: records of another partition?", bundle.ErrCorrupt, uint32(w.digest), w.run.Digest)
	}
	return nil
}
