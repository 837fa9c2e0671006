package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// blockKey names a block: the UUID and number of an object are its own, whatever its kind.
type blockKey struct {
	id    uuid.UUID
	seq   uint64
	block uint32
}

func key(o bundle.Object, block int) blockKey {
	return blockKey{o.Session, o.Seq, uint32(block)}
}

// Committed puts a bundle that was just committed into the cache. body is the whole object; if it is marked as sound its
// batches are not checked again when they are read.
func (r *Reader) Committed(o bundle.Object, body *memory.Buf) {
	r.narrow()
	b := body.Bytes()[:o.Size]
	if len(b) <= BlockLen {
		// A small bundle lies in a buffer that may be many times larger: keep a copy of its own size.
		if len(b) < body.Cap()/2 {
			sound := body.Sound()
			body = memory.Wrap(bytes.Clone(b))
			if sound {
				body.MarkSound()
			}
			defer body.Release()
		}
		r.tail.Put(key(o, 0), body)
		return
	}
	for i := 0; i*BlockLen < len(b); i++ {
		block := memory.Slice(body, i*BlockLen, min((i+1)*BlockLen, len(b))) // see whole
		r.tail.Put(key(o, i), block)
		block.Release()
	}
}

// block returns block i of an object, with a reference for the caller.
func (t *trip) block(ctx context.Context, o bundle.Object, i int) (*memory.Buf, error) {
	k := key(o, i)
	if buf := t.r.tail.Peek(k); buf != nil {
		return buf, nil
	}
	t.far = true
	if !t.waits() {
		if buf := t.r.history.Peek(k); buf != nil {
			return buf, nil
		}
		return nil, ErrMiss
	}
	for {
		r, topic, index := t.r, t.q.Topic, t.q.Index // not t: the load may outlive it
		buf, err := r.history.Get(ctx, k, func(ctx context.Context) (*memory.Buf, error) { return r.fresh(ctx, topic, index, o, i) })
		if !errors.Is(err, errNoTurn) {
			return buf, err
		}
	}
}

// fresh loads block i past the cache.
func (t *trip) fresh(ctx context.Context, o bundle.Object, i int) (*memory.Buf, error) {
	return t.r.fresh(ctx, t.q.Topic, t.q.Index, o, i)
}

// fresh loads block i of an object that holds records of a partition, in the turn of its kind.
func (r *Reader) fresh(ctx context.Context, topic uuid.UUID, index int32, o bundle.Object, i int) (*memory.Buf, error) {
	pool := r.far
	if o.Kind == bundle.WAL {
		pool = r.near
	}
	return r.inTurn(ctx, pool, topic, index, o, i)
}

// inTurn is load, once the pool has a place.
func (r *Reader) inTurn(ctx context.Context, pool chan struct{}, topic uuid.UUID, index int32, o bundle.Object, i int) (*memory.Buf, error) {
	select {
	case pool <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-pool }()
	return r.load(ctx, topic, index, o, i)
}

// load gets a block from the store, of an object that holds records of a partition.
func (r *Reader) load(ctx context.Context, topic uuid.UUID, index int32, o bundle.Object, i int) (*memory.Buf, error) {
	off := int64(i) * BlockLen
	n := min(BlockLen, int64(o.Size)-off)
	k := r.key(topic, index, o)
	buf := r.pool.Get(int(n))
	if err := objstore.GetInto(objstore.WithPurpose(ctx, objstore.PurposeCatchup), r.store, k, off, buf.Bytes()); err != nil {
		buf.Release()
		return nil, fmt.Errorf("read %s: %w", k, err)
	}
	return buf, nil
}

// key returns the key of an object that holds records of a partition.
func (r *Reader) key(topic uuid.UUID, index int32, o bundle.Object) string {
	switch o.Kind {
	case bundle.PACK:
		return r.keys.Pack(o.Session)
	case bundle.SEG:
		return r.keys.Segment(topic, index, int64(o.Seq), o.Session)
	}
	return r.keys.WAL(o.Session, o.Seq)
}

// Copy copies the bytes of a run to dst, which has its length, if all of its blocks are in memory. It never blocks.
func (r *Reader) Copy(run bundle.Location, dst []byte) bool {
	for at := run.Pos; len(dst) > 0; {
		k := key(run.Object, int(at/BlockLen))
		buf := r.tail.Peek(k)
		if buf == nil {
			buf = r.history.Peek(k)
		}
		if buf == nil {
			return false
		}
		n := copy(dst, buf.Bytes()[min(int(at%BlockLen), buf.Len()):])
		buf.Release()
		if n == 0 {
			return false
		}
		dst, at = dst[n:], at+uint64(n)
	}
	return true
}
