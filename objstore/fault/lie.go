package fault

import (
	"context"
	"errors"
	"sync"

	"github.com/varvelog/varve/objstore"
)

// Lie is a way in which a store that calls itself compatible breaks the contract. The start-up probe must find each.
type Lie uint8

// The lies.
const (
	StaleGet      Lie = iota + 1 // a key reads for ever as it was at its first Get, also if it was absent then
	DroppedPut                   // Put says that it stored what it did not
	DamagedPut                   // one bit of what is stored differs
	IgnoredSuffix                // a suffix range gives the whole object
	IgnoredRange                 // an exact range gives the whole object
	ShiftedRange                 // an exact range starts one byte late
	DeadDelete                   // Delete removes nothing
	EmptyList                    // List finds nothing
	numLies
)

// Lies lists all of them.
func Lies() []Lie {
	var all []Lie
	for l := StaleGet; l < numLies; l++ {
		all = append(all, l)
	}
	return all
}

// String is the lie in words.
func (l Lie) String() string {
	if l == 0 || l >= numLies {
		return "no lie"
	}
	return [...]string{"", "stale get", "dropped put", "damaged put", "ignored suffix", "ignored range", "shifted range", "dead delete", "empty list"}[l]
}

// Liar wraps inner in a store that lies in one way. It serves tests of whatever must find out.
func Liar(inner objstore.Store, lie Lie) objstore.Store {
	l := &liar{Store: inner, lie: lie}
	l.mu.first = map[string]first{}
	return l
}

type liar struct {
	objstore.Store
	lie Lie
	mu  struct {
		sync.Mutex
		first map[string]first // by key: what StaleGet answers from
	}
}

// first is what the first Get of a key saw: the whole object, or that there is none.
type first struct {
	body []byte
	err  error
}

// Put implements objstore.Store.
func (l *liar) Put(ctx context.Context, key string, body []byte) error {
	if err := objstore.Check(ctx, key); err != nil {
		return err
	}
	switch {
	case l.lie == DroppedPut:
		return nil
	case l.lie == DamagedPut && len(body) > 0:
		body = append([]byte{body[0] ^ 1}, body[1:]...)
	}
	return l.Store.Put(ctx, key, body)
}

// Get implements objstore.Store.
func (l *liar) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	o, err := l.Store.Get(ctx, key, r)
	if l.lie == StaleGet {
		return l.stale(ctx, key, r)
	}
	if err != nil || r.IsAll() {
		return o, err
	}
	off, n, _ := r.Resolve(o.Size)
	switch {
	case l.lie == IgnoredSuffix && r.IsSuffix(), l.lie == IgnoredRange && r.IsExact():
		return l.Store.Get(ctx, key, objstore.Range{})
	case l.lie == ShiftedRange && r.IsExact() && off+1+n <= o.Size:
		return l.Store.Get(ctx, key, objstore.Exact(off+1, n).Into(o.Parts...).Watch(r.Tell))
	}
	return o, nil
}

// stale answers from what the first Get of key saw.
func (l *liar) stale(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	l.mu.Lock()
	seen, ok := l.mu.first[key]
	l.mu.Unlock()
	if !ok {
		o, err := l.Store.Get(ctx, key, objstore.Range{})
		if err != nil && !errors.Is(err, objstore.ErrNotFound) {
			return o, err
		}
		seen = first{o.Body, err}
		l.mu.Lock()
		l.mu.first[key] = seen
		l.mu.Unlock()
	}
	if seen.err != nil {
		return objstore.Object{}, seen.err
	}
	size := int64(len(seen.body))
	off, n, err := r.Resolve(size)
	if err != nil {
		return objstore.Object{}, err
	}
	return r.Copy(seen.body[off:off+n], size), nil
}

// List implements objstore.Store.
func (l *liar) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	page, err := l.Store.List(ctx, prefix, after, limit)
	if l.lie == EmptyList {
		page = nil
	}
	return page, err
}

// Delete implements objstore.Store.
func (l *liar) Delete(ctx context.Context, keys ...string) error {
	if l.lie == DeadDelete {
		return objstore.CheckDelete(ctx, keys)
	}
	return l.Store.Delete(ctx, keys...)
}
