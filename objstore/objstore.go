// Package objstore is the contract of an object store as Varve needs it: immutable objects, named once, in a flat key
// space, with plain PUT, GET (whole, exact range, open range, suffix), LIST and DELETE. Nothing here relies on conditional
// headers: an object means nothing until a conditional write in the metastore says so.
//
// Drivers live in the folders beside this one (mem, disk, s3, minio, null), wrappers with the same contract too (fault, sim,
// meter, hedge).
// storetest holds the rules below as a conformance suite that runs on every one of them. keys.go says how keys are built.
package objstore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Store is an object store. All methods may be called from many goroutines.
//
// A context that ends makes a call return early; what a Put or Delete did until then is unknown, so the error of a
// cancelled or timed-out write matches ErrUnknown (and the context's error). So does the error of a cancelled read. A call
// that starts after its context ended does nothing.
//
// Keys are those that CheckKey takes; for others every method but List answers ErrRefused.
type Store interface {
	// Put stores body under key, whole or not at all, replacing what was there. The store does not keep or change body after
	// it returns; the caller does not change it before. A reader that starts after Put returned nil sees the object (strong
	// read-after-write). Repeating a Put of the same key and bytes is harmless, at any time.
	// Errors: ErrThrottled, ErrRefused, ErrCorrupt: not stored. ErrUnknown: perhaps stored, perhaps later.
	Put(ctx context.Context, key string, body []byte) error

	// Get returns the bytes of key that r names. The caller owns Object.Body. Range.Into says where to put them instead.
	// Errors: ErrNotFound, ErrRange, ErrThrottled, ErrRefused, ErrUnknown. A body that is shorter than asked for is never
	// returned as a success.
	Get(ctx context.Context, key string, r Range) (Object, error)

	// List returns at most limit objects whose keys start with prefix and are greater than after, in ascending byte order of
	// keys (limit 0 means MaxList, which is also the most). A page shorter than limit is the last one. A listing is a hint:
	// no decision about existence or the end of a log may rest on it.
	List(ctx context.Context, prefix, after string, limit int) ([]Info, error)

	// Delete removes keys, at most MaxDelete of them (ErrRefused if more). A key that is absent counts as removed. If only
	// some could be removed the error is a *DeleteError, which names the others.
	Delete(ctx context.Context, keys ...string) error
}

// MaxDelete is the most keys that one Delete takes (S3 DeleteObjects).
const MaxDelete = 1000

// Object is what Get returns.
type Object struct {
	Body  []byte
	Parts [][]byte // the slices that Range.Into named, if it did; Body is nil then
	Size  int64    // of the whole object, in bytes
}

// Info is one line of a listing.
type Info struct {
	Key      string
	Size     int64
	Modified time.Time
}

// The errors of a Store, each with the caller's next move. Drivers wrap them (test with errors.Is) and add what the
// store said. An error that matches none of them is a bug in a driver.
var (
	// ErrNotFound: no object of that key. Re-read the index once; then it is retention, or damage.
	ErrNotFound = errors.New("object not found")
	// ErrRange: the object is there but does not have all of the bytes asked for. The index is wrong; do not retry.
	ErrRange = errors.New("range outside of the object")
	// ErrThrottled: the store asks to slow down (503); nothing happened. Back off with jitter and repeat. Never fatal.
	ErrThrottled = errors.New("object store throttles")
	// ErrRefused: configuration, credentials, a bucket that does not exist, a full disk; nothing happened. Repeating helps
	// only after somebody changed something: name it in health and log, back off far.
	ErrRefused = errors.New("object store refuses")
	// ErrCorrupt: the store found that the bytes it got are not the bytes that were sent. Check them, repeat once.
	ErrCorrupt = errors.New("object damaged on its way")
	// ErrUnknown: time-out, reset, 5xx. A write may have happened or may yet happen: repeat the same key and bytes.
	ErrUnknown = errors.New("outcome unknown")
)

// Transient reports whether err says that the same request may go through later: slow, or unsure. All writes may be repeated. Whoever puts
// also repeats on ErrCorrupt.
func Transient(err error) bool { return errors.Is(err, ErrThrottled) || errors.Is(err, ErrUnknown) }

// DeleteError says which keys of a Delete were not confirmed. It matches ErrUnknown, or Reason if that is set.
type DeleteError struct {
	Keys   []string // not confirmed; the others are gone
	Reason error    // why, for the first of them
}

// Error names the first key and the reason.
func (e *DeleteError) Error() string {
	return fmt.Sprintf("delete: %d keys not confirmed, the first is %q: %v", len(e.Keys), e.Keys[0], e.Reason)
}

// Unwrap returns the reason.
func (e *DeleteError) Unwrap() error {
	if e.Reason == nil {
		return ErrUnknown
	}
	return e.Reason
}

// Range says which bytes of an object to get. The zero Range is the whole object.
type Range struct {
	kind   uint8
	off, n int64
	into   [][]byte      // see Into
	watch  func(n int64) // see Watch; nil: nobody
}

const (
	rangeAll uint8 = iota
	rangeExact
	rangeFrom
	rangeSuffix
)

// Exact asks for exactly n > 0 bytes from offset off; ErrRange if the object ends before.
func Exact(off, n int64) Range { return Range{kind: rangeExact, off: off, n: n} }

// From asks for all bytes from offset off on; ErrRange if off is not inside the object.
func From(off int64) Range { return Range{kind: rangeFrom, off: off} }

// Suffix asks for the last n > 0 bytes, or for all of a shorter object. An empty object gives an empty body.
func Suffix(n int64) Range { return Range{kind: rangeSuffix, n: n} }

// Resolve returns the first byte and the count that r means in an object of the given size.
func (r Range) Resolve(size int64) (off, n int64, err error) {
	if err := r.checkInto(); err != nil {
		return 0, 0, err
	}
	switch r.kind {
	case rangeExact:
		if r.off < 0 || r.n <= 0 || r.off > size || r.n > size-r.off {
			return 0, 0, fmt.Errorf("%w: %s of %d bytes", ErrRange, r, size)
		}
		return r.off, r.n, nil
	case rangeFrom:
		if r.off < 0 || r.off >= size {
			return 0, 0, fmt.Errorf("%w: %s of %d bytes", ErrRange, r, size)
		}
		return r.off, size - r.off, nil
	case rangeSuffix:
		if r.n <= 0 {
			return 0, 0, fmt.Errorf("%w: %s", ErrRange, r)
		}
		n = min(r.n, size)
		return size - n, n, nil
	}
	return 0, size, nil
}

// Header returns the value of an HTTP Range header (RFC 9110 section 14.2), empty for the whole object.
func (r Range) Header() string {
	switch r.kind {
	case rangeExact:
		return fmt.Sprintf("bytes=%d-%d", r.off, r.off+r.n-1)
	case rangeFrom:
		return fmt.Sprintf("bytes=%d-", r.off)
	case rangeSuffix:
		return fmt.Sprintf("bytes=-%d", r.n)
	}
	return ""
}

// IsAll reports whether r is the whole object.
func (r Range) IsAll() bool { return r.kind == rangeAll }

// IsExact reports whether r was made by Exact.
func (r Range) IsExact() bool { return r.kind == rangeExact }

// IsSuffix reports whether r was made by Suffix.
func (r Range) IsSuffix() bool { return r.kind == rangeSuffix }

// Places reports whether the bytes are to go where Into says.
func (r Range) Places() bool { return r.into != nil }

// String returns the header's value, or words for the whole object.
func (r Range) String() string {
	if r.IsAll() {
		return "whole object"
	}
	return r.Header()
}

// Purpose says what a request is for, so that meter can tell where requests, bytes and dollars go. The words are the
// label values of varve_s3_requests_total.
type Purpose string

// The purposes that exist so far.
const (
	PurposeWAL      Purpose = "wal"      // a flush
	PurposeSnapshot Purpose = "snapshot" // state of the log, so that a restart replays little
	PurposeTail     Purpose = "tail"     // a read of what was written a moment ago
	PurposeCatchup  Purpose = "catchup"  // a read of older data
	PurposeRecover  Purpose = "recover"  // replay at a start or take-over
	PurposeGC       Purpose = "gc"
	PurposeOther    Purpose = "other" // probes, tools
)

type purposeKey struct{}

// WithPurpose marks the requests made under the returned context.
func WithPurpose(ctx context.Context, p Purpose) context.Context {
	return context.WithValue(ctx, purposeKey{}, p)
}

// PurposeOf returns the purpose of ctx, PurposeOther if none was given.
func PurposeOf(ctx context.Context) Purpose {
	if p, ok := ctx.Value(purposeKey{}).(Purpose); ok {
		return p
	}
	return PurposeOther
}
