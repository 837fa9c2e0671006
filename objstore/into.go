package objstore

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
)

// Into makes a Get of an Exact range put the bytes into dst instead of into new memory: slice by slice, in order; together they are as
// long as the range, or it is ErrRange. Object.Body is nil then, and Object.Parts is dst. Nothing is written to dst after Get has
// returned; beside an error dst holds anything. With no dst the range is as it was.
func (r Range) Into(dst ...[]byte) Range {
	r.into = dst
	return r
}

// Watch makes a Get whose bytes go where Into says call f as they come, with how many are in their places: the processor has the last of
// them at hand then. 0 says that they begin to come, perhaps anew, whatever was told before. All calls are made before Get returns, one
// after the other. The last call need not tell of all bytes.
func (r Range) Watch(f func(n int64)) Range {
	r.watch = f
	return r
}

// Tell tells who watches that n bytes are in their places. Read and Copy do so; who changes the bytes after them tells of 0 again.
func (r Range) Tell(n int64) {
	if r.watch != nil && r.into != nil {
		r.watch(n)
	}
}

// GetInto gets the bytes of key from off on that dst has room for. Its errors are those of Get; beside one dst holds anything.
func GetInto(ctx context.Context, s Store, key string, off int64, dst ...[]byte) error {
	return GetWatched(ctx, s, key, off, nil, dst...)
}

// GetWatched is GetInto that tells watch, unless it is nil, of bytes that have come: see Range.Watch.
func GetWatched(ctx context.Context, s Store, key string, off int64, watch func(n int64), dst ...[]byte) error {
	n := total(dst)
	got, err := s.Get(ctx, key, Exact(off, n).Into(dst...).Watch(watch))
	switch {
	case err != nil:
		return err
	case got.Parts == nil || int64(got.Len()) != n:
		return fmt.Errorf("%w: %d bytes instead of %d where they are wanted", ErrUnknown, total(got.Parts), n)
	}
	return nil
}

// Len returns how many bytes o brought, wherever they are.
func (o Object) Len() int { return len(o.Body) + int(total(o.Parts)) }

// total returns how long slices are together.
func total(slices [][]byte) (n int64) {
	for _, s := range slices {
		n += int64(len(s))
	}
	return n
}

// checkInto refuses slices that an answer would not fill.
func (r Range) checkInto() error {
	if r.into == nil {
		return nil
	}
	if room := total(r.into); r.kind != rangeExact || room != r.n {
		return fmt.Errorf("%w: %s into %d bytes", ErrRange, r, room)
	}
	return nil
}

// Read makes what Get answers of src: it takes the n bytes that r means in an object of so many bytes. For drivers, which have called
// Resolve. An error that wraps io.ErrUnexpectedEOF or io.EOF says that src is too short.
func (r Range) Read(src io.Reader, n, size int64) (Object, error) {
	if r.into == nil {
		body := make([]byte, n)
		if got, err := io.ReadFull(src, body); err != nil {
			return Object{}, fmt.Errorf("%d bytes of %d: %w", got, n, err)
		}
		return Object{Body: body, Size: size}, nil
	}
	done := int64(0)
	r.Tell(0)
	for _, dst := range r.into {
		for at := 0; at < len(dst); {
			got, err := src.Read(dst[at:min(len(dst), at+r.step())])
			at, done = at+got, done+int64(got)
			if got > 0 {
				r.Tell(done)
			}
			if err != nil && done < n {
				return Object{}, fmt.Errorf("%d bytes of %d: %w", done, n, cut(err, done))
			}
		}
	}
	return Object{Parts: r.into, Size: size}, nil
}

// step is how many bytes may come between two calls of who watches: not much of a processor's cache of the second level.
func (r Range) step() int {
	if r.watch == nil {
		return math.MaxInt32
	}
	return 256 << 10
}

// cut is what io.ReadFull says of a source that ended.
func cut(err error, done int64) error {
	if err == io.EOF && done > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Copy is Read of bytes in memory, which are all that r means.
func (r Range) Copy(src []byte, size int64) Object {
	if r.into == nil {
		return Object{Body: slices.Clone(src), Size: size}
	}
	all := len(src)
	r.Tell(0)
	for _, dst := range r.into {
		for len(dst) > 0 && len(src) > 0 {
			n := copy(dst[:min(len(dst), r.step())], src)
			dst, src = dst[n:], src[n:]
			r.Tell(int64(all - len(src)))
		}
	}
	return Object{Parts: r.into, Size: size}
}

// IsScattered reports whether a Get of r fills more than one slice, so that a driver had better not ask its source for each.
func (r Range) IsScattered() bool { return len(r.into) > 1 }
