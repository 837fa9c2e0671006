package objstore

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// Into makes a Get of an Exact range put the bytes into dst instead of into new memory: slice by slice, in order; together they are as
// long as the range, or it is ErrRange. Object.Body is nil then, and Object.Parts is dst. Nothing is written to dst after Get has
// returned; beside an error dst holds anything. With no dst the range is as it was.
func (r Range) Into(dst ...[]byte) Range {
	r.into = dst
	return r
}

// GetInto gets the bytes of key from off on that dst has room for. Its errors are those of Get; beside one dst holds anything.
func GetInto(ctx context.Context, s Store, key string, off int64, dst ...[]byte) error {
	n := total(dst)
	got, err := s.Get(ctx, key, Exact(off, n).Into(dst...))
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
	for _, dst := range r.into {
		got, err := io.ReadFull(src, dst)
		if done += int64(got); err != nil {
			return Object{}, fmt.Errorf("%d bytes of %d: %w", done, n, err)
		}
	}
	return Object{Parts: r.into, Size: size}, nil
}

// Copy is Read of bytes in memory, which are all that r means.
func (r Range) Copy(src []byte, size int64) Object {
	if r.into == nil {
		return Object{Body: slices.Clone(src), Size: size}
	}
	for _, dst := range r.into {
		src = src[copy(dst, src):]
	}
	return Object{Parts: r.into, Size: size}
}

// IsScattered reports whether a Get of r fills more than one slice, so that a driver had better not ask its source for each.
func (r Range) IsScattered() bool { return len(r.into) > 1 }
