package segment

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// lost is what a read says when an object is gone that runs lie in.
type lost struct {
	object source
	err    error
}

func (l *lost) Error() string { return l.err.Error() }
func (l *lost) Unwrap() error { return l.err }

// fill gets what is wanted: from memory, else by as few GETs as there are objects, nearly. A *lost says that an object is gone.
func (r *Room) fill(ctx context.Context, parts []part, wants []want) error {
	missing := wants
	if r.d.Blocks != nil {
		missing = missing[:0]
		k := 0
		for i := range parts {
			for _, run := range parts[i].runs {
				if r.d.Blocks.Copy(run, wants[k].dst) {
					wants[k].check()
				} else {
					missing = append(missing, wants[k])
				}
				k++
			}
		}
	}
	all := spans(missing, r.rules.get)
	return atOnce(ctx, getsAtOnce, len(all), func(ctx context.Context, i int) error { return r.get(ctx, r.key(all[i].object), &all[i]) })
}

// get reads one span, of the object with a key.
func (r *Room) get(ctx context.Context, key string, s *span) error {
	r.yield(ctx)
	waste := r.d.Pool.Get(s.gap())
	defer waste.Release()
	dst := s.places(waste.Bytes())
	f := follower{wants: s.wants, begin: s.pos}
	return withPatience(ctx, int(s.end-s.pos), func(ctx context.Context) error {
		f.came(0)
		err := objstore.GetWatched(ctx, r.d.Objects, key, int64(s.pos), f.came, dst...)
		switch {
		case errors.Is(err, objstore.ErrNotFound):
			return &lost{sourceOf(s.object), fmt.Errorf("read %s: %w", key, err)}
		case err != nil:
			return fmt.Errorf("read %s: %w", key, err)
		}
		f.came(int64(s.end - s.pos)) // what the store did not tell of
		return nil
	})
}

// key returns the key of an object that tail runs lie in.
func (r *Room) key(o bundle.Object) string {
	if o.Kind == bundle.PACK {
		return r.d.Keys.Pack(o.Session)
	}
	return r.d.Keys.WAL(o.Session, o.Seq)
}

// put writes an object, the same bytes as often as it takes.
func (r *Room) put(ctx context.Context, key string, body []byte) error {
	r.yield(ctx)
	err := withPatience(ctx, len(body), func(ctx context.Context) error { return r.d.Objects.Put(ctx, key, body) })
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// write makes an object of parts: reads them, checks them, lays them out and PUTs them. before, if not nil, is called when the
// object is complete and before it is written.
func (r *Room) write(ctx context.Context, kind bundle.Kind, key string, id uuid.UUID, parts []part, before func(*draft) error) (*draft, error) {
	buf := r.d.Pool.Get(int(draftSize(parts)))
	defer buf.Release()
	d, wants := newDraft(kind, id, bundle.Header{Kind: kind, Cluster: r.d.ClusterID, Session: r.d.Session}, parts, buf.Bytes())
	if err := r.fill(ctx, parts, wants); err != nil {
		return nil, err
	}
	if err := d.finish(); err != nil {
		return nil, err
	}
	if before != nil {
		if err := before(d); err != nil {
			return nil, err
		}
	}
	if err := r.put(ctx, key, d.body); err != nil {
		return nil, err
	}
	r.metrics.wrote(kind, len(d.body))
	d.drop()
	return d, nil
}

// atOnce calls f for 0 to n-1, limit of them at once, and returns the first error; what is not begun then is left out.
func atOnce(ctx context.Context, limit, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	turns := make(chan struct{}, limit)
	for i := range n {
		turns <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			if err := f(ctx, i); err != nil {
				cancel(err)
			}
			<-turns
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
