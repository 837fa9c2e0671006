package fetch

import (
	"context"
	"errors"
	"fmt"

	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// spot is the place of a batch inside of a run.
type spot struct {
	object bundle.Object
	pos    uint64
	offset int64 // its base
}

// readRun adds batches of one run, and reports whether the next run may be read too. It goes from header to header and looks
// into, and checks, those batches only that it adds.
func (t *trip) readRun(ctx context.Context, loc bundle.Location) (more bool, err error) {
	more, err = t.walk(ctx, loc, (*trip).block)
	switch {
	case !errors.Is(err, ErrCorrupt):
		return more, err
	case t.q.Mode == Cached:
		return false, ErrMiss
	}
	return t.walk(ctx, loc, (*trip).fresh) // from where it got to
}

// blockFunc is a method of trip that returns block i of an object, with a reference for the caller. (A method of one trip would be
// an allocation for each run.)
type blockFunc func(t *trip, ctx context.Context, o bundle.Object, i int) (*memory.Buf, error)

func (t *trip) walk(ctx context.Context, loc bundle.Location, get blockFunc) (more bool, err error) {
	end := loc.Pos + uint64(loc.Len)
	if end > loc.Object.Size || loc.Len == 0 {
		return false, fmt.Errorf("%w: %d bytes at %d lie outside of %s, which ends at %d",
			ErrCorrupt, loc.Len, loc.Pos, t.r.key(t.q.Topic, t.q.Index, loc.Object), loc.Object.Size)
	}
	w := window{t: t, o: loc.Object, get: get, last: -1}
	defer w.release()
	at := t.begin(loc)
	for at.pos < end {
		t.spot = at // whatever ends the walk: who goes on from the run's beginning loads all of it again
		h, err := w.header(ctx, at.pos, end)
		if err != nil {
			return false, err
		}
		if err := placed(h, at, end, loc.Next); err != nil {
			return false, err
		}
		size, next := 12+uint64(h.Length()), h.NextOffset()
		if next > t.next {
			free := t.n == 0 && t.q.AtLeastOne
			if h.BaseOffset() >= t.q.Before || !free && size > uint64(max(t.q.MaxBytes-t.n, 0)) {
				return false, nil
			}
			if err := w.take(ctx, at, int(size)); err != nil {
				return false, err
			}
			t.next = next
		}
		at.pos, at.offset = at.pos+size, next
	}
	if at.offset != loc.Next {
		return false, fmt.Errorf("%w: run from offset %d ends at %d instead of %d", ErrCorrupt, loc.Base, at.offset, loc.Next)
	}
	return t.n < t.q.MaxBytes, nil
}

// begin returns where to begin in a run: where the stream stopped, if it was there, else at its first batch.
func (t *trip) begin(loc bundle.Location) spot {
	if t.stream != nil {
		s := t.stream.spot
		if s.object == loc.Object && s.offset == t.next && s.offset > loc.Base && s.pos > loc.Pos && s.pos < loc.Pos+uint64(loc.Len) {
			return s
		}
	}
	return spot{loc.Object, loc.Pos, loc.Base}
}

// placed reports whether a batch's header is one that may stand where it was found.
func placed(h recordbatch.Batch, at spot, end uint64, next int64) error {
	switch {
	case h.BaseOffset() != at.offset:
		return fmt.Errorf("%w: batch of offset %d at the place of offset %d", ErrCorrupt, h.BaseOffset(), at.offset)
	case h.Magic() != 2 || h.Length() < recordbatch.HeaderLen-12 || at.pos+12+uint64(h.Length()) > end:
		return fmt.Errorf("%w: no batch at offset %d", ErrCorrupt, at.offset)
	case h.LastOffsetDelta() < 0 || h.NextOffset() > next:
		return fmt.Errorf("%w: batch at offset %d ends at %d, its run at %d", ErrCorrupt, at.offset, h.NextOffset(), next)
	}
	return nil
}

// window is the block of an object that a walk is in.
type window struct {
	t     *trip
	o     bundle.Object
	get   blockFunc
	i     int
	buf   *memory.Buf // block i
	head  [recordbatch.HeaderLen]byte
	last  int // index in trip.dst of the slice that may grow, -1: none
	start int // where it begins in block i
	end   int // and ends
}

func (w *window) release() {
	if w.buf != nil {
		w.buf.Release()
		w.buf = nil
	}
}

// move goes to the block that holds pos, and returns where in it.
func (w *window) move(ctx context.Context, pos uint64) (at int, err error) {
	if i := int(pos / BlockLen); w.buf == nil || w.i != i {
		buf, err := w.get(w.t, ctx, w.o, i)
		if err != nil {
			return 0, err
		}
		w.release()
		w.buf, w.i, w.last = buf, i, -1
		w.t.pass(key(w.o, i))
	}
	return int(pos % BlockLen), nil
}

// pass notes that the reader has come to a block. A stream that goes on from one block to another one is done with the first.
func (t *trip) pass(to blockKey) {
	if t.last == to {
		return
	}
	if t.stream != nil && t.far {
		t.r.history.Demote(t.last)
	}
	t.last = to
}

// header returns the header of the batch at pos, valid until the next call.
func (w *window) header(ctx context.Context, pos, end uint64) (recordbatch.Batch, error) {
	if end-pos < recordbatch.HeaderLen {
		return nil, fmt.Errorf("%w: %d bytes are left for a batch", ErrCorrupt, end-pos)
	}
	at, err := w.move(ctx, pos)
	if err != nil {
		return nil, err
	}
	if b := w.buf.Bytes(); at+recordbatch.HeaderLen <= len(b) {
		return recordbatch.Batch(b[at : at+recordbatch.HeaderLen]), nil
	}
	// The rest lies in the next block. The window stays: the batch begins here.
	n := copy(w.head[:], w.buf.Bytes()[at:])
	next, err := w.get(w.t, ctx, w.o, w.i+1)
	if err != nil {
		return nil, err
	}
	defer next.Release()
	copy(w.head[n:], next.Bytes())
	return recordbatch.Batch(w.head[:]), nil
}

// take adds the batch of size bytes at a spot to the trip, after a look at its CRC.
func (w *window) take(ctx context.Context, s spot, size int) error {
	at, err := w.move(ctx, s.pos)
	if err != nil {
		return err
	}
	buf, grows := w.buf, false
	var b []byte
	if at+size <= buf.Len() {
		b, grows = buf.Bytes()[at:at+size:at+size], true
		buf.Retain()
	} else if buf, b, err = w.join(ctx, s.pos, size); err != nil {
		return err
	}
	if !buf.Sound() {
		if err := recordbatch.Batch(b).CheckCRC(); err != nil {
			buf.Release()
			return errors.Join(fmt.Errorf("%w: batch at offset %d", ErrCorrupt, s.offset), err)
		}
	}
	t := w.t
	t.n += size
	if grows && w.last >= 0 && w.end == at {
		buf.Release() // the slice has its reference already
		w.end = at + size
		t.dst[w.last].Bytes = buf.Bytes()[w.start:w.end:w.end]
		return nil
	}
	t.dst = append(t.dst, Slice{b, buf})
	if w.last = -1; grows {
		w.last, w.start, w.end = len(t.dst)-1, at, at+size
	}
	return nil
}

// join returns the bytes of a batch that lies in several blocks: without a copy if they are of one bundle in memory.
func (w *window) join(ctx context.Context, pos uint64, size int) (*memory.Buf, []byte, error) {
	if body := w.buf.Whole(); body != nil {
		end := pos + uint64(size)
		return body, body.Bytes()[pos:end:end], nil
	}
	joined := w.t.r.pool.Get(size)
	out := joined.Bytes()[:0]
	for at := pos; len(out) < size; at = pos + uint64(len(out)) {
		i, err := w.move(ctx, at)
		if err == nil && i >= w.buf.Len() {
			err = fmt.Errorf("%w: block %d is too short", ErrCorrupt, w.i)
		}
		if err != nil {
			joined.Release()
			return nil, nil, err
		}
		part := w.buf.Bytes()[i:]
		out = append(out, part[:min(len(part), size-len(out))]...)
	}
	return joined, joined.Bytes(), nil
}
