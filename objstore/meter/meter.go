// Package meter wraps an object store and counts what it does: requests, bytes, latency and dollars, by operation, purpose
// and result. Counts are exact and the same on every machine, so tests hold them. A call costs two readings of the clock and
// a few atomic additions, and allocates nothing.
//
// A call that sends nothing, because its key is illegal or its context has ended before, is not counted. A Delete of many
// keys is one request.
package meter

import (
	"context"
	"errors"
	"math"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/objstore"
)

// Op is a method of objstore.Store.
type Op uint8

// The methods.
const (
	Put Op = iota
	Get
	List
	Delete
	numOps
)

// String returns the label's value.
func (op Op) String() string { return [...]string{"put", "get", "list", "delete"}[op] }

// Result says how a call ended, as the sentinel that its error matches.
type Result uint8

// The results.
const (
	OK Result = iota
	NotFound
	OutOfRange
	Throttled
	Refused
	Corrupt
	Unknown
	Other // an error that matches no sentinel, which is a bug in a driver
	numResults
)

// String returns the label's value.
func (r Result) String() string {
	return [...]string{"ok", "not_found", "range", "throttled", "refused", "corrupt", "unknown", "other"}[r]
}

// maxPurposes bounds how many purposes are told apart; later ones count as objstore.PurposeOther.
const maxPurposes = 32

// Store is an objstore.Store that counts. It is a prometheus.Collector too.
type Store struct {
	inner  objstore.Store
	prices Prices
	zone   string
	rows   atomic.Pointer[map[objstore.Purpose]*row] // replaced, never changed
	adding sync.Mutex                                // held while rows is replaced
}

// row counts the calls of one purpose.
type row [numOps]struct {
	results [numResults]cell
	seconds histogram
}

type cell struct{ requests, bytes atomic.Int64 }

// New wraps inner. The zero Prices mean S3Standard.
func New(inner objstore.Store, prices Prices) *Store {
	if prices == (Prices{}) {
		prices = S3Standard
	}
	s := &Store{inner: inner, prices: prices}
	s.rows.Store(&map[objstore.Purpose]*row{objstore.PurposeOther: {}})
	return s
}

// In says in which zone the process is that asks the store: the label "zone". To be called before the first request; it returns s.
func (s *Store) In(zone string) *Store {
	s.zone = zone
	return s
}

// Prices returns the price list in use.
func (s *Store) Prices() Prices { return s.prices }

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	if err := objstore.Check(ctx, key); err != nil {
		return err
	}
	start := time.Now()
	err := s.inner.Put(ctx, key, body)
	s.count(ctx, Put, start, len(body), err)
	return err
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if err := objstore.Check(ctx, key); err != nil {
		return objstore.Object{}, err
	}
	start := time.Now()
	o, err := s.inner.Get(ctx, key, r)
	s.count(ctx, Get, start, o.Len(), err)
	return o, err
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	if err := objstore.Check(ctx); err != nil {
		return nil, err
	}
	start := time.Now()
	page, err := s.inner.List(ctx, prefix, after, limit)
	s.count(ctx, List, start, 0, err)
	return page, err
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if err := objstore.CheckDelete(ctx, keys); err != nil || len(keys) == 0 {
		return err
	}
	start := time.Now()
	err := s.inner.Delete(ctx, keys...)
	s.count(ctx, Delete, start, 0, err)
	return err
}

func (s *Store) count(ctx context.Context, op Op, start time.Time, bytes int, err error) {
	c := &s.row(objstore.PurposeOf(ctx))[op]
	r := &c.results[resultOf(err)]
	r.requests.Add(1)
	r.bytes.Add(int64(bytes))
	c.seconds.observe(time.Since(start))
}

// row returns the counters of a purpose, which it makes at the first call.
func (s *Store) row(p objstore.Purpose) *row {
	if r := (*s.rows.Load())[p]; r != nil {
		return r
	}
	s.adding.Lock()
	defer s.adding.Unlock()
	old := *s.rows.Load()
	if r := old[p]; r != nil {
		return r
	}
	if len(old) >= maxPurposes {
		return old[objstore.PurposeOther]
	}
	rows := make(map[objstore.Purpose]*row, len(old)+1)
	for k, v := range old {
		rows[k] = v
	}
	r := &row{}
	rows[p] = r
	s.rows.Store(&rows)
	return r
}

// resultOf returns the result that err stands for.
func resultOf(err error) Result {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, objstore.ErrNotFound):
		return NotFound
	case errors.Is(err, objstore.ErrRange):
		return OutOfRange
	case errors.Is(err, objstore.ErrThrottled):
		return Throttled
	case errors.Is(err, objstore.ErrRefused):
		return Refused
	case errors.Is(err, objstore.ErrCorrupt):
		return Corrupt
	case errors.Is(err, objstore.ErrUnknown):
		return Unknown
	}
	return Other
}

// bounds are the upper ends of the latency buckets in seconds: half a millisecond to 46 seconds, two for each doubling.
var bounds = func() (b [34]float64) {
	for i := range b {
		b[i] = 0.0005 * math.Pow(2, float64(i)/2)
	}
	return b
}()

// histogram counts latencies. The bucket after the last bound takes the rest.
type histogram struct {
	buckets [len(bounds) + 1]atomic.Uint64
	nanos   atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	h.buckets[sort.SearchFloat64s(bounds[:], d.Seconds())].Add(1)
	h.nanos.Add(int64(d))
}
