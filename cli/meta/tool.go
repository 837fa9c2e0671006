package meta

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// Config of a Tool.
type Config struct {
	Objects objstore.Store
	Facts   metastore.Store
	Keys    objstore.Keys
	Cluster records.Cluster

	Rate     int           // most requests a second, to both stores together; 0: as many as they take
	Parallel int           // most reads at once; 0: 16
	Settle   time.Duration // pause before what is wrong in a live cluster is looked at again; 0: none
	Overdue  time.Duration // how long after its time a Garbage item may be there
}

// Tool is a way into one cluster's bucket and table.
type Tool struct {
	cfg      Config
	pace     pace
	requests atomic.Int64
	doing    atomic.Pointer[string]
}

// New returns a Tool. The stores stay the caller's.
func New(cfg Config) *Tool {
	if cfg.Parallel == 0 {
		cfg.Parallel = 16
	}
	t := &Tool{cfg: cfg}
	if cfg.Rate > 0 {
		t.pace.each = time.Second / time.Duration(cfg.Rate)
	}
	t.say("begins")
	return t
}

// Progress says what the Tool is doing; it may be called at any time, from any goroutine.
func (t *Tool) Progress() string {
	return fmt.Sprintf("%s; %d requests", *t.doing.Load(), t.requests.Load())
}

func (t *Tool) say(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	t.doing.Store(&s)
}

// pace spreads requests over time.
type pace struct {
	each time.Duration
	mu   sync.Mutex
	next time.Time
}

func (p *pace) wait(ctx context.Context) error {
	if p.each == 0 {
		return ctx.Err()
	}
	p.mu.Lock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	p.next = p.next.Add(p.each)
	p.mu.Unlock()
	return sleep(ctx, wait)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

const (
	tries   = 8           // of a request whose store is slow or unsure
	oneTry  = time.Minute // the longest that one takes
	rereads = 4           // of an item that moved under a reader
)

// ask makes a request, and again while the store is slow or unsure. do must be harmless when repeated.
func (t *Tool) ask(ctx context.Context, do func(context.Context) error) error {
	pause := 50 * time.Millisecond
	for try := 1; ; try++ {
		if err := t.pace.wait(ctx); err != nil {
			return err
		}
		t.requests.Add(1)
		tctx, cancel := context.WithTimeout(ctx, oneTry)
		err := do(tctx)
		cancel()
		if err == nil || try == tries || !objstore.Transient(err) && !metastore.Transient(err) || ctx.Err() != nil {
			return err
		}
		if err := sleep(ctx, pause/2+time.Duration(rand.Int64N(int64(pause)))); err != nil {
			return err
		}
		pause = min(2*pause, 5*time.Second)
	}
}

// item reads an item consistently; nil if there is none.
func (t *Tool) item(ctx context.Context, key metastore.Key) (it metastore.Item, err error) {
	err = t.ask(ctx, func(ctx context.Context) (err error) {
		it, err = metastore.Find(ctx, t.cfg.Facts, key)
		return err
	})
	return it, err
}

// query calls each for the items under a partition key whose sort keys start with prefix, in their order.
func (t *Tool) query(ctx context.Context, pk, prefix string, each func(metastore.Row) error) error {
	q := metastore.Query{PK: pk, Prefix: prefix, Consistency: metastore.Consistent}
	for {
		var page metastore.Page
		err := t.ask(ctx, func(ctx context.Context) (err error) {
			page, err = t.cfg.Facts.Query(ctx, q)
			return err
		})
		if err != nil {
			return fmt.Errorf("query %s: %w", pk, err)
		}
		for _, row := range page.Rows {
			if err := each(row); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		q.After = page.Next
	}
}

// transact writes ops, whose conditions make a repetition harmless.
func (t *Tool) transact(ctx context.Context, ops ...metastore.Op) error {
	return t.ask(ctx, func(ctx context.Context) error { return t.cfg.Facts.Transact(ctx, ops) })
}

// get reads an object or a part of it.
func (t *Tool) get(ctx context.Context, key string, r objstore.Range) (o objstore.Object, err error) {
	err = t.ask(ctx, func(ctx context.Context) (err error) {
		o, err = t.cfg.Objects.Get(ctx, key, r)
		return err
	})
	if err != nil {
		err = fmt.Errorf("read %s: %w", key, err)
	}
	return o, err
}

// there reports whether an object exists: a listing alone does not decide that.
func (t *Tool) there(ctx context.Context, key string) (bool, error) {
	_, err := t.get(ctx, key, objstore.Suffix(1))
	if errors.Is(err, objstore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// list calls each for the objects whose keys start with prefix, in the order of keys.
func (t *Tool) list(ctx context.Context, prefix string, each func(objstore.Info) error) error {
	for after := ""; ; {
		var page []objstore.Info
		err := t.ask(ctx, func(ctx context.Context) (err error) {
			page, err = t.cfg.Objects.List(ctx, prefix, after, objstore.MaxList)
			return err
		})
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, err)
		}
		for _, info := range page {
			if err := each(info); err != nil {
				return err
			}
		}
		if len(page) < objstore.MaxList {
			return nil
		}
		after = page[len(page)-1].Key
	}
}

// each calls do for 0 to n-1, at most Config.Parallel at once, and returns the first error after the last has ended.
func (t *Tool) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	next := atomic.Int64{}
	for range min(t.cfg.Parallel, n) {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < n && ctx.Err() == nil; i = int(next.Add(1) - 1) {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
