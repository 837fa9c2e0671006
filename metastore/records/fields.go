// Pure.

package records

import (
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// fields reads attributes of one item and keeps the first error, so that a decoder is a list of fields.
type fields struct {
	kind string
	item metastore.Item
	err  error
}

var (
	errMissing = errors.New("missing")
	errType    = errors.New("wrong type")
	errRange   = errors.New("out of range")
)

// fail notes that attr is wrong.
func (f *fields) fail(attr string, err error) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s: attribute %q: %w", ErrBadItem, f.kind, attr, err)
	}
}

// str reads a required string.
func (f *fields) str(attr string) string {
	v, there := f.item[attr]
	s, ok := v.Str()
	if !ok {
		f.fail(attr, absentOr(there))
	}
	return s
}

// num reads a required number from lo to hi.
func (f *fields) num(attr string, lo, hi int64) int64 {
	v, there := f.item[attr]
	n, ok := v.Num()
	switch {
	case !ok:
		f.fail(attr, absentOr(there))
	case n < lo || n > hi:
		f.fail(attr, errRange)
	default:
		return n
	}
	return 0
}

// count reads a required number that is never negative.
func (f *fields) count(attr string) int64 { return f.num(attr, 0, math.MaxInt64) }

// counter is count for attributes that Add creates: an absent one is 0.
func (f *fields) counter(attr string) int64 {
	if _, there := f.item[attr]; !there {
		return 0
	}
	return f.count(attr)
}

// i32 reads a required number from 0 to the greatest int32.
func (f *fields) i32(attr string) int32 { return int32(f.num(attr, 0, math.MaxInt32)) }

// bytes reads required bytes.
func (f *fields) bytes(attr string) []byte {
	v, there := f.item[attr]
	b, ok := v.Bytes()
	if !ok {
		f.fail(attr, absentOr(there))
	}
	return b
}

// id reads a required UUID of 16 bytes.
func (f *fields) id(attr string) uuid.UUID {
	b := f.bytes(attr)
	if f.err != nil {
		return uuid.Nil
	}
	u, err := uuid.FromBytes(b)
	if err != nil {
		f.fail(attr, errRange)
	}
	return u
}

// packed hands required bytes to parse.
func packed[T any](f *fields, attr string, parse func([]byte) (T, error)) T {
	var zero T
	b := f.bytes(attr)
	if f.err != nil {
		return zero
	}
	v, err := parse(b)
	if err != nil {
		f.fail(attr, err)
		return zero
	}
	return v
}

func absentOr(there bool) error {
	if there {
		return errType
	}
	return errMissing
}

// IDValue is u as an attribute: 16 bytes, a copy of its own.
func IDValue(u uuid.UUID) metastore.Value { return metastore.B(u[:]) }
