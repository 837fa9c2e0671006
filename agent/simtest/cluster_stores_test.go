package simtest

import (
	"context"
	"fmt"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/objstore"
)

// way is the network between an agent and a store.
type way struct{ from, to *host }

// there and back take a request over and an answer home. A request that does not arrive before ctx ends never does; an answer
// that does not leaves the outcome unknown.
func (w way) there(ctx context.Context) error { return w.from.n.cross(ctx, w.from, w.to) }
func (w way) back(ctx context.Context) error  { return w.from.n.cross(ctx, w.to, w.from) }

// objectsWay is an object store at the other end of the network.
type objectsWay struct {
	objstore.Store
	way
}

func (o *objectsWay) call(ctx context.Context, f func() error) error {
	if err := o.there(ctx); err != nil {
		return fmt.Errorf("%w: %w", objstore.ErrUnknown, err)
	}
	err := f()
	if lost := o.back(ctx); lost != nil {
		return fmt.Errorf("%w: %w", objstore.ErrUnknown, lost)
	}
	return err
}

func (o *objectsWay) Put(ctx context.Context, key string, body []byte) error {
	return o.call(ctx, func() error { return o.Store.Put(ctx, key, body) })
}

func (o *objectsWay) Get(ctx context.Context, key string, r objstore.Range) (got objstore.Object, err error) {
	err = o.call(ctx, func() (err error) {
		got, err = o.Store.Get(ctx, key, r)
		return err
	})
	return got, err
}

func (o *objectsWay) List(ctx context.Context, prefix, after string, limit int) (got []objstore.Info, err error) {
	err = o.call(ctx, func() (err error) {
		got, err = o.Store.List(ctx, prefix, after, limit)
		return err
	})
	return got, err
}

func (o *objectsWay) Delete(ctx context.Context, keys ...string) error {
	return o.call(ctx, func() error { return o.Store.Delete(ctx, keys...) })
}

// factsWay is a metastore at the other end of the network.
type factsWay struct {
	metastore.Store
	way
}

func (o *factsWay) call(ctx context.Context, f func() error) error {
	if err := o.there(ctx); err != nil {
		return fmt.Errorf("%w: %w", metastore.ErrUnknown, err)
	}
	err := f()
	if lost := o.back(ctx); lost != nil {
		return fmt.Errorf("%w: %w", metastore.ErrUnknown, lost)
	}
	return err
}

func (o *factsWay) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (it metastore.Item, err error) {
	err = o.call(ctx, func() (err error) {
		it, err = o.Store.Get(ctx, key, c)
		return err
	})
	return it, err
}

func (o *factsWay) Query(ctx context.Context, q metastore.Query) (page metastore.Page, err error) {
	err = o.call(ctx, func() (err error) {
		page, err = o.Store.Query(ctx, q)
		return err
	})
	return page, err
}

func (o *factsWay) Write(ctx context.Context, op metastore.Op) (it metastore.Item, err error) {
	err = o.call(ctx, func() (err error) {
		it, err = o.Store.Write(ctx, op)
		return err
	})
	return it, err
}

func (o *factsWay) Transact(ctx context.Context, ops []metastore.Op) error {
	return o.call(ctx, func() error { return o.Store.Transact(ctx, ops) })
}
