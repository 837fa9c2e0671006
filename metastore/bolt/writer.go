package bolt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/varvelog/varve/metastore"
	bbolt "go.etcd.io/bbolt"
)

// maxBatch is the most requests of one commit.
const maxBatch = 256

// request is a write or a transaction that waits for the writer.
type request struct {
	ops    []metastore.Op
	answer chan answer // has room for the one answer
}

type answer struct {
	after []metastore.Item // of each op
	err   error
}

// Write applies op and returns when it is on disk.
func (s *Store) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	if err := metastore.ValidateWrite(op); err != nil {
		return nil, err
	}
	after, err := s.submit(ctx, []metastore.Op{op})
	if err != nil {
		return nil, err
	}
	return after[0], nil
}

// Transact applies ops and returns when they are on disk.
func (s *Store) Transact(ctx context.Context, ops []metastore.Op) error {
	if err := metastore.ValidateTransact(ops); err != nil {
		return err
	}
	_, err := s.submit(ctx, ops)
	return err
}

// submit hands ops to the writer and waits for the answer, or for the end of ctx: then they may be applied or not.
func (s *Store) submit(ctx context.Context, ops []metastore.Op) ([]metastore.Item, error) {
	if err := done(ctx); err != nil {
		return nil, err
	}
	r := &request{ops: ops, answer: make(chan answer, 1)}
	select {
	case s.queue <- r:
	case <-ctx.Done():
		return nil, done(ctx)
	case <-s.quit:
		return nil, s.closed()
	}
	select {
	case a := <-r.answer:
		return a.after, a.err
	case <-ctx.Done():
		return nil, done(ctx)
	}
}

// writer takes requests until Close.
func (s *Store) writer() {
	defer close(s.stopped)
	for {
		select {
		case r := <-s.queue:
			s.commit(s.gather(r))
		case <-s.quit:
			return
		}
	}
}

// gather adds to first whatever waits already; it does not wait for more.
func (s *Store) gather(first *request) []*request {
	batch := []*request{first}
	for len(batch) < maxBatch {
		select {
		case r := <-s.queue:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

var errNothing = errors.New("nothing to commit")

// commit applies the requests one after the other, each of them whole or not at all, and commits what changed at once.
func (s *Store) commit(batch []*request) {
	answers, committing, changed := make([]answer, len(batch)), false, false
	err := s.guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(itemBucket)
			for i, r := range batch {
				answers[i] = s.apply(b, r.ops)
				changed = changed || answers[i].err == nil
			}
			if !changed {
				return errNothing
			}
			committing = true
			return nil
		})
	})
	if errors.Is(err, errNothing) {
		err = nil
	}
	if err != nil && (committing || !errors.Is(err, metastore.ErrRefused)) {
		full := ""
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			full = "the disk is full (or a quota is): "
		}
		err = fmt.Errorf("%w: commit to %s: %s%w", metastore.ErrUnknown, s.path, full, plain{err})
	}
	for i, r := range batch {
		// An answer that was found on top of changes that did not come to stay means nothing.
		if err != nil {
			answers[i] = answer{err: err}
		}
		r.answer <- answers[i]
	}
}

// apply changes the items in b as ops say, if all of them hold.
func (s *Store) apply(b *bbolt.Bucket, ops []metastore.Op) answer {
	after, err := metastore.ApplyAll(ops, func(k metastore.Key) (metastore.Item, error) { return s.load(b, k) })
	if err != nil {
		return answer{err: err}
	}
	for i, op := range ops {
		switch {
		case op.Kind == metastore.OpCheck:
		case after[i] == nil:
			err = cmp.Or(err, b.Delete(storedKey(op.Key)))
		default:
			err = cmp.Or(err, b.Put(storedKey(op.Key), encode(after[i])))
		}
	}
	if err != nil {
		// bbolt refuses keys and values that Validate lets no caller send: half of ops may be in b, so nothing may be committed.
		panic(err)
	}
	return answer{after: after}
}

// plain hides the kind of an error and keeps its text.
type plain struct{ err error }

// Error is the text of what is hidden.
func (p plain) Error() string { return p.err.Error() }
