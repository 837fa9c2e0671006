package fetch

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// block returns block i of o, with a reference for the caller.
func (r *Reader) block(ctx context.Context, o bundle.Object, i int, mode Mode) (*memory.Buf, error) {
	if mode == Cached {
		if buf := r.cache.Peek(key(o, i)); buf != nil {
			return buf, nil
		}
		return nil, ErrMiss
	}
	return r.cache.Get(ctx, key(o, i), func(ctx context.Context) (*memory.Buf, error) { return r.load(ctx, o, i) })
}

// fresh loads block i past the cache.
func (r *Reader) fresh(ctx context.Context, o bundle.Object, i int, _ Mode) (*memory.Buf, error) {
	return r.load(ctx, o, i)
}

// load gets a block from the store.
func (r *Reader) load(ctx context.Context, o bundle.Object, i int) (*memory.Buf, error) {
	select {
	case r.loads <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-r.loads }()
	off := int64(i) * BlockLen
	n := min(BlockLen, int64(o.Size)-off)
	k := r.keys.WAL(o.Session, o.Seq)
	got, err := r.store.Get(objstore.WithPurpose(ctx, objstore.PurposeCatchup), k, objstore.Exact(off, n))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", k, err)
	}
	if int64(len(got.Body)) != n {
		return nil, fmt.Errorf("read %s: %w: %d bytes instead of %d", k, objstore.ErrUnknown, len(got.Body), n)
	}
	return memory.Wrap(got.Body), nil
}

// readAhead starts to load the blocks of the next runs, so that a reader who goes through history waits for the first
// one only. What it loads goes into the cache; an error there is met again by the read itself.
func (r *Reader) readAhead(ctx context.Context, locs []bundle.Location) {
	if r.cfg.CacheBytes == 0 || len(locs) < 2 {
		return
	}
	started := 0
	var last blockKey
	for n, loc := range locs {
		if loc.Len == 0 {
			return
		}
		for i := int(loc.Pos / BlockLen); i <= int((loc.Pos+uint64(loc.Len)-1)/BlockLen); i++ {
			k := key(loc.Object, i)
			if k == last || r.cache.Has(k) {
				continue
			}
			last = k
			if n == 0 {
				continue // the read itself loads this one
			}
			if started++; started > r.cfg.ReadAhead {
				return
			}
			o := loc.Object
			r.cache.Prefetch(ctx, k, func(ctx context.Context) (*memory.Buf, error) { return r.load(ctx, o, i) })
		}
	}
}

// check reports whether run is the batches that loc says: contiguous from Base to Next, each with a true CRC.
func check(run []byte, loc bundle.Location) error {
	next := loc.Base
	for len(run) > 0 {
		b, rest, err := recordbatch.Next(run)
		if err != nil || b == nil {
			return errors.Join(fmt.Errorf("%w: no batch at offset %d", ErrCorrupt, next), err)
		}
		if b.BaseOffset() != next {
			return fmt.Errorf("%w: batch of offset %d at the place of offset %d", ErrCorrupt, b.BaseOffset(), next)
		}
		if err := b.CheckCRC(); err != nil {
			return errors.Join(fmt.Errorf("%w: batch at offset %d", ErrCorrupt, next), err)
		}
		next, run = b.NextOffset(), rest
	}
	if next != loc.Next {
		return fmt.Errorf("%w: run from offset %d ends at %d instead of %d", ErrCorrupt, loc.Base, next, loc.Next)
	}
	return nil
}
