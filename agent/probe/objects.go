package probe

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/varvelog/varve/objstore"
)

// bodySize of the probe's objects, in bytes: small, and larger than the ranges asked for.
const bodySize = 4 << 10

// bytesComeBack: what was PUT is read back, whole and in ranges, at once and after each further PUT, and not after DELETE.
func bytesComeBack(t *try) error {
	key := t.object()
	if err := t.gone(key, "before it was written"); err != nil {
		return err
	}
	one, two := body(bodySize, 1), body(bodySize/2, 2)
	for _, b := range [][]byte{one, one, two} { // the same bytes again, then others
		if err := t.objects.Put(t.ctx, key, b); err != nil {
			return err
		}
		if err := t.reads(key, b); err != nil {
			return err
		}
	}
	if err := t.objects.Delete(t.ctx, key); err != nil {
		return err
	}
	return t.gone(key, "after its DELETE")
}

// listingSees: a listing has what was PUT before, with its size.
func listingSees(t *try) error {
	key := t.object()
	if err := t.objects.Put(t.ctx, key, body(bodySize, 1)); err != nil {
		return err
	}
	page, err := t.objects.List(t.ctx, key, "", 0)
	if err != nil {
		return err
	}
	if len(page) != 1 || page[0].Key != key || page[0].Size != bodySize {
		return lies(nil, "LIST does not show an object that was written before; a table older than its bucket would not be noticed")
	}
	return nil
}

// body is n bytes in which no stretch equals another near it.
func body(n int, seed uint32) []byte {
	b := make([]byte, n)
	for i := range b {
		seed = seed*1664525 + 1013904223
		b[i] = byte(seed >> 24)
	}
	return b
}

// gone checks that key is absent.
func (t *try) gone(key, when string) error {
	_, err := t.objects.Get(t.ctx, key, objstore.Range{})
	if errors.Is(err, objstore.ErrNotFound) {
		return nil
	}
	if err == nil {
		return lies(nil, "an object can be read %s", when)
	}
	return err
}

// reads gets want in every kind of range, all at once.
func (t *try) reads(key string, want []byte) error {
	size := int64(len(want))
	ranges := []objstore.Range{{}, objstore.Exact(100, 200), objstore.Exact(0, 1), objstore.From(size - 50), objstore.Suffix(64), objstore.Suffix(2 * size)}
	errs := make([]error, len(ranges))
	var wg sync.WaitGroup
	for i, r := range ranges {
		wg.Go(func() { errs[i] = t.read(key, r, want) })
	}
	wg.Wait()
	for _, err := range errs { // what is sure first
		if errors.Is(err, ErrLies) {
			return err
		}
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *try) read(key string, r objstore.Range, want []byte) error {
	o, err := t.objects.Get(t.ctx, key, r)
	if errors.Is(err, objstore.ErrNotFound) || errors.Is(err, objstore.ErrRange) {
		return lies(err, "GET (%s) does not see an object that was written before it began", r)
	}
	if err != nil {
		return err
	}
	off, n, err := r.Resolve(int64(len(want)))
	if err != nil {
		return fmt.Errorf("resolve range: %w", err)
	}
	if o.Size != int64(len(want)) || !bytes.Equal(o.Body, want[off:off+n]) {
		return lies(nil, "GET (%s) gives other bytes than the last PUT wrote", r)
	}
	return nil
}
