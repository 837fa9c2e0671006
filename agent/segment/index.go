package segment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// IndexConfig of an Index.
type IndexConfig struct {
	Cluster records.Cluster
	Keys    objstore.Keys
	Bytes   int64 // of extents and outlines of segments to keep in memory, 0: 16 MiB; at least 1 MiB
}

// Index knows where the records of partitions lie that are in segments. It reads the extents of a partition from the table page
// by page, and what a segment holds from its footer, and keeps both, for all partitions together, up to a number of bytes. Who
// changes extents says so by Forget; what others changed shows when an object is gone.
type Index struct {
	facts   metastore.Store
	objects objstore.Store
	cfg     IndexConfig
	life    context.Context // ends loads
	end     context.CancelFunc
	running sync.WaitGroup // loads

	mu struct {
		sync.Mutex
		closed  bool
		shelf   shelf
		flights map[any]*flight
	}
}

// flight is a load under way. What it found is set before done is closed.
type flight struct {
	done  chan struct{}
	found bool
	err   error
}

// ErrClosed: the index was asked after Close.
var ErrClosed = errors.New("segment index is closed")

// loadTime bounds one load, which may be several requests.
const loadTime = 10 * time.Second

// NewIndex returns an Index over two stores.
func NewIndex(facts metastore.Store, objects objstore.Store, cfg IndexConfig) *Index {
	if cfg.Bytes == 0 {
		cfg.Bytes = defaultLimit
	}
	x := &Index{facts: facts, objects: objects, cfg: cfg}
	x.life, x.end = context.WithCancel(context.Background())
	x.mu.shelf, x.mu.flights = newShelf(max(cfg.Bytes, leastLimit)), map[any]*flight{}
	return x
}

// Close ends all loads and waits for them. Whoever asks from then on gets ErrClosed.
func (x *Index) Close() {
	x.mu.Lock()
	x.mu.closed = true
	x.mu.Unlock()
	x.end()
	x.running.Wait()
}

// Bytes returns how much memory is used for what is kept.
func (x *Index) Bytes() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.shelf.bytes
}

// Forget drops what is kept of a partition's extents below an offset: they were changed.
func (x *Index) Forget(topic uuid.UUID, index int32, below int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.shelf.forget(Name{topic, index}, below)
}

// Locate appends to dst where the records from offset on lie in segments, in order and without a gap, at most n pieces of at most
// 512 KiB each, if no batch is larger. The first one holds offset; none are appended if no extent does. Without load it answers from
// memory alone and never blocks: known is false if memory does not have the answer. Errors are those of the stores, of ctx, and
// bundle.ErrCorrupt, records.ErrBadItem: what is stored contradicts itself.
func (x *Index) Locate(ctx context.Context, dst []bundle.Location, topic uuid.UUID, index int32, offset int64, n int, load bool) (_ []bundle.Location, known bool, err error) {
	at := Name{topic, index}
	for tries, gone := 0, false; ; {
		found, extent, complete := x.look(dst, at, offset, n)
		if complete {
			if extent != nil {
				x.ahead(ctx, at, extent)
			}
			return found, true, nil
		}
		if !load {
			return dst, false, nil
		}
		if tries++; tries > maxTries {
			return dst, false, fmt.Errorf("locate offset %d of %s-%d: %w: the index is too small for its readers", offset, topic, index, objstore.ErrThrottled)
		}
		if extent == nil {
			there, own, err := x.once(ctx, at, func(ctx context.Context) (bool, error) { return x.loadPage(ctx, at, offset) })
			if err != nil {
				return dst, false, err
			}
			if own && !there {
				return dst, true, nil
			}
			if !own {
				tries-- // somebody else's page, which may be another one
			}
			continue
		}
		_, _, err := x.once(ctx, extent.Segment, func(ctx context.Context) (bool, error) { return true, x.loadOutline(ctx, at, *extent) })
		switch {
		case errors.Is(err, objstore.ErrNotFound) && !gone:
			gone = true
			x.Forget(topic, index, extent.Next)
		case err != nil:
			return dst, false, err
		}
	}
}

// maxTries is how many loads of its own a Locate takes: a page and an outline, once more if they are out of date, and as many for
// readers who push each other out of memory.
const maxTries = 8

// look does what Locate says with what is in memory. If it is not complete, the outline of extent is missing, or, if extent is nil,
// the page that holds offset. If it is, whoever reads on will miss the outline of extent, if that is not nil.
func (x *Index) look(dst []bundle.Location, at Name, offset int64, n int) (_ []bundle.Location, extent *records.Extent, complete bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.mu.shelf.page(at, offset)
	if p == nil {
		return dst, nil, false
	}
	was := len(dst)
	for i := find(p.extents, offset); i < len(p.extents) && len(dst)-was < n; i++ {
		e := &p.extents[i]
		pieces := x.pieces(at, e)
		if pieces == nil {
			return dst, e, len(dst) > was // some are enough for now
		}
		for _, piece := range pieces {
			if piece.Next > offset && len(dst)-was < n {
				dst = append(dst, piece)
			}
		}
	}
	return dst, nil, true
}

// pieces returns the pieces of an extent, nil if its outline must be loaded. A small one needs none.
func (x *Index) pieces(at Name, e *records.Extent) []bundle.Location {
	if o := x.mu.shelf.outline(e.Segment); o != nil {
		return o.pieces
	}
	if e.Size > bundle.HeaderLen && e.Size <= bundle.HeaderLen+pieceLen {
		return []bundle.Location{{
			Object: object(e), Pos: bundle.HeaderLen, Len: uint32(e.Size - bundle.HeaderLen),
			Base: e.Base, Next: e.Next, MaxTimestamp: e.MaxTimestamp, LeaderEpoch: -1,
		}}
	}
	return nil
}

// object names the segment of an extent: its key has the base too.
func object(e *records.Extent) bundle.Object {
	return bundle.Object{Kind: bundle.SEG, Session: e.Segment, Seq: uint64(e.Base), Size: e.Size}
}

// ahead begins to load the outline of an extent that will be asked for soon, and does not wait.
func (x *Index) ahead(ctx context.Context, at Name, extent *records.Extent) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.mu.closed && x.mu.flights[extent.Segment] == nil {
		x.start(ctx, extent.Segment, func(ctx context.Context) (bool, error) { return true, x.loadOutline(ctx, at, *extent) })
	}
}

// start begins a load, under the lock.
func (x *Index) start(ctx context.Context, key any, f func(context.Context) (bool, error)) *flight {
	fl := &flight{done: make(chan struct{})}
	x.mu.flights[key] = fl
	x.running.Go(func() { x.fly(ctx, key, fl, f) })
	return fl
}

// once runs f, unless a load of the same key is under way, and waits for it. own says that it was f. Errors: those of the load, of
// ctx, ErrClosed.
func (x *Index) once(ctx context.Context, key any, f func(context.Context) (bool, error)) (found, own bool, err error) {
	x.mu.Lock()
	if x.mu.closed {
		x.mu.Unlock()
		return false, false, ErrClosed
	}
	fl, there := x.mu.flights[key]
	if !there {
		fl = x.start(ctx, key, f)
	}
	x.mu.Unlock()
	select {
	case <-fl.done:
		return fl.found, !there, fl.err
	case <-ctx.Done():
		return false, !there, ctx.Err()
	}
}

// fly runs a load to its end, also when who began it has left: others may wait for it.
func (x *Index) fly(ctx context.Context, key any, fl *flight, f func(context.Context) (bool, error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
	defer cancel()
	stop := context.AfterFunc(x.life, cancel)
	defer stop()
	fl.found, fl.err = f(ctx)
	x.mu.Lock()
	delete(x.mu.flights, key)
	x.mu.Unlock()
	close(fl.done)
}
