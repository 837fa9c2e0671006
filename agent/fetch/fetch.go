package fetch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cache"
	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
)

// BlockLen is the length of a block in bytes.
const BlockLen = 2 << 20

// Config of a Reader.
type Config struct {
	CacheBytes int64   // how much to keep, in bytes, 7/16 of it at least for what was just committed; 0: nothing
	Loads      int     // most GETs at once, 0: 32; at least 4
	Extents    Extents // what lies in segments; nil: nothing
}

// Log is a led partition's tail as this package sees it.
type Log interface {
	// Locate appends to dst where the committed runs from offset on lie, at most n, without a gap. It appends none, or begins above
	// offset, if the tail does not reach down to it.
	Locate(dst []bundle.Location, offset int64, n int) []bundle.Location
	// LocateTime returns the first run of the tail that holds a record with a timestamp of ts (ms) or later.
	LocateTime(ts int64) (bundle.Location, bool)
	// LocateMaxTime returns the first run that holds the tail's largest timestamp.
	LocateMaxTime() (bundle.Location, bool)
	// Tiered tells the tail that extents reach up to next, so that it can forget what lies below.
	Tiered(next int64)
}

// Extents is what lies in segments, by topic and partition.
type Extents interface {
	// Locate is as Log's, for pieces of segments. Without load it never blocks, and known is false if memory has no answer.
	Locate(ctx context.Context, dst []bundle.Location, topic uuid.UUID, index int32, offset int64, n int, load bool) (_ []bundle.Location, known bool, err error)
	// LocateTime returns the first piece from offset from on that may hold a record with a timestamp of ts (ms) or later.
	LocateTime(ctx context.Context, topic uuid.UUID, index int32, from, ts int64) (loc bundle.Location, ok bool, err error)
	// LocateMaxTime returns the largest timestamp from offset from on, and from where on LocateTime finds it.
	LocateMaxTime(ctx context.Context, topic uuid.UUID, index int32, from int64) (ts, at int64, ok bool, err error)
	// Partition returns the partition's item as it is now.
	Partition(ctx context.Context, topic uuid.UUID, index int32) (p records.Partition, ok bool, err error)
	// Forget drops what memory has of extents below an offset: an object was gone.
	Forget(topic uuid.UUID, index int32, below int64)
}

// Slice is some bytes of a block. Release it once they are sent.
type Slice struct {
	Bytes []byte
	buf   *memory.Buf
}

// Release lets go of the block.
func (s Slice) Release() { s.buf.Release() }

// The errors of Read, each with the caller's next move; besides those of objstore.Store, of metastore.Store and of the context.
var (
	// ErrMiss: not in memory, and the mode was Cached. Read again with Load, where waiting is allowed.
	ErrMiss = errors.New("not in memory")
	// ErrGone: neither the tail nor an extent holds the offset. If the log start has moved above it, that is why; else an alarm.
	ErrGone = errors.New("nothing holds the offset any more")
	// ErrCorrupt: the bytes are not what the index says, also after reading them once more past the cache. An alarm.
	ErrCorrupt = errors.New("stored batch is damaged")
)

// Mode says how far a read may go.
type Mode uint8

const (
	// Cached reads from memory only and never blocks.
	Cached Mode = iota
	// Load reads from the store what is not in memory.
	Load
	// Await is Load for the first MiB, and Cached for what follows: whoever has that need not wait for more.
	Await
)

// awaited is how many bytes Await waits for.
const awaited = 1 << 20

// waits reports whether the next thing that is not in memory is waited for.
func (t *trip) waits() bool { return t.q.Mode == Load || t.q.Mode == Await && t.n < awaited }

// Reader reads batches.
type Reader struct {
	store objstore.Store
	keys  objstore.Keys
	pool  *memory.Pool
	cfg   Config

	tail    *cache.Cache[blockKey] // what this session committed
	history *cache.Cache[blockKey] // what was loaded
	streams *streams
	trips   sync.Pool   // *trip
	wide    atomic.Bool // history has wideShare of the cache
	sizing  sync.Mutex  // held over a change of both limits

	near, far, ahead chan struct{} // hold one token per load under way: of WAL; of packs and segments; ahead of a reader
	queue            chan struct{} // one per load ahead of a reader, under way or waiting
}

// How many shares of the cache what was loaded gets: a quarter, because history is read on, and seldom twice, and the tail has all its
// readers; eleven sixteenths, as long as somebody goes through history: with less, of an agent with 512 MiB, what was loaded ahead of 16 partitions pushes
// itself out.
const (
	shares       = 16
	historyShare = 4
	wideShare    = 11
)

// New returns a Reader.
func New(store objstore.Store, keys objstore.Keys, pool *memory.Pool, cfg Config) *Reader {
	if cfg.Loads == 0 {
		cfg.Loads = 32
	}
	cfg.Loads = max(cfg.Loads, 4)
	return &Reader{
		store: store, keys: keys, pool: pool, cfg: cfg,
		tail: cache.New[blockKey](cfg.CacheBytes - cfg.CacheBytes*historyShare/shares), history: cache.New[blockKey](cfg.CacheBytes * historyShare / shares), streams: newStreams(),
		near: make(chan struct{}, max(cfg.Loads/8, 1)), far: make(chan struct{}, cfg.Loads/4), ahead: make(chan struct{}, cfg.Loads/2+cfg.Loads/8),
		queue: make(chan struct{}, cfg.Loads),
	}
}

// Close ends all loads, those ahead of readers too, waits for them and gives up the cache. Reads fail from then on.
func (r *Reader) Close() {
	r.history.Close()
	r.tail.Close()
}

// Stats returns the cache's counters.
func (r *Reader) Stats() cache.Stats {
	t, h := r.tail.Stats(), r.history.Stats()
	return cache.Stats{
		Hits: t.Hits + h.Hits, Misses: t.Misses + h.Misses, Joined: t.Joined + h.Joined, Evicted: t.Evicted + h.Evicted,
		Bytes: t.Bytes + h.Bytes,
	}
}

// Request says what to read: whole batches of log from the one that holds From on, none that begins at Before or later.
type Request struct {
	Log          Log
	Topic        uuid.UUID // whose log it is
	Index        int32     // of the partition
	From, Before int64
	// MaxBytes bounds the sum of the batches. The first batch is returned however large it is if AtLeastOne is set.
	MaxBytes   int
	AtLeastOne bool
	Mode       Mode
}

// runsPerLook is how many runs a read asks the index for at once.
const runsPerLook = 16

// Read appends the batches to dst and returns how many bytes they are. On an error dst is returned as far as it got:
// what was read before is whole and may be used; with nothing read the error is what counts.
func (r *Reader) Read(ctx context.Context, q Request, dst []Slice) (_ []Slice, n int, err error) {
	t := r.newTrip(q, dst)
	if t.stream = r.streams.take(streamKey{q.Topic, q.Index, q.From}); t.stream != nil {
		t.last = t.stream.last
	}
	err = t.read(ctx)
	r.keepStream(ctx, t, err)
	dst, n = t.dst, t.n
	r.recycle(t)
	return dst, n, err
}

// newTrip returns a trip that begins where q says.
func (r *Reader) newTrip(q Request, dst []Slice) *trip {
	t, ok := r.trips.Get().(*trip)
	if !ok {
		t = &trip{}
	}
	t.r, t.q, t.dst, t.next = r, q, dst, q.From
	return t
}

// recycle keeps t for another Read, with nothing of this one. What loads for it goes on by itself.
func (r *Reader) recycle(t *trip) {
	*t = trip{}
	r.trips.Put(t)
}

// trip is one Read on its way. A Read from memory allocates nothing else: what would escape to the heap lies in it. It is pooled, so no
// load that may outlive the Read knows it.
type trip struct {
	r      *Reader
	q      Request
	dst    []Slice
	n      int      // bytes in dst
	next   int64    // offset to go on from
	stream *stream  // nil: did not read here before
	spot   spot     // where next lies, if it is inside of a run
	far    bool     // something came from the store, now or earlier
	last   blockKey // the block that was read last
	warm   bool     // nothing is read, only loaded ahead
	space  [runsPerLook]bundle.Location
}

func (t *trip) read(ctx context.Context) error {
	lost := false // an object was gone, and the index has been asked again
	for t.next < t.q.Before {
		locs, err := t.r.locate(ctx, &t.q, t.space[:0], t.next, t.waits())
		if err != nil {
			return err
		}
		if t.q.Mode != Cached && t.next == t.q.From {
			t.r.readAhead(ctx, t)
		}
		for _, loc := range locs {
			if loc.Base >= t.q.Before {
				return nil
			}
			was := t.n
			more, err := t.readRun(ctx, loc)
			if errors.Is(err, objstore.ErrNotFound) && !lost && t.q.Mode != Cached {
				if lost, err = true, t.r.relocate(ctx, &t.q, loc, t.next, err); err == nil {
					break // and look again
				}
			}
			if err != nil || !more {
				return err
			}
			if t.n == was && loc.Next <= t.next {
				return fmt.Errorf("%w: run at offset %d holds nothing from offset %d on", ErrCorrupt, loc.Base, t.next)
			}
			t.next = loc.Next
		}
	}
	return nil
}

// locate asks where the records from offset on lie, at most cap(dst) runs: the tail, and below it the extents. The first one
// holds offset.
func (r *Reader) locate(ctx context.Context, q *Request, dst []bundle.Location, offset int64, load bool) ([]bundle.Location, error) {
	if locs := q.Log.Locate(dst, offset, cap(dst)); len(locs) > 0 && locs[0].Base <= offset {
		return locs, nil
	}
	if r.cfg.Extents == nil {
		return nil, ErrGone
	}
	locs, known, err := r.cfg.Extents.Locate(ctx, dst[:0], q.Topic, q.Index, offset, cap(dst), load)
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, ErrMiss
	case len(locs) > 0:
		return locs, nil
	}
	// A take-over may have shown the tail late, never low: what was in neither is gone.
	return nil, fmt.Errorf("%w: offset %d", ErrGone, offset)
}

// relocate is called when the object of a run or piece is gone (404). It returns nil if the index has changed since it was asked:
// the bytes lie elsewhere now. A snapshot may name what was linked or packed since, so the table is asked, once.
func (r *Reader) relocate(ctx context.Context, q *Request, loc bundle.Location, offset int64, notFound error) error {
	if r.cfg.Extents == nil {
		return notFound
	}
	if loc.Object.Kind == bundle.SEG {
		r.cfg.Extents.Forget(q.Topic, q.Index, loc.Next)
		return nil
	}
	if now := q.Log.Locate(nil, offset, 1); len(now) == 0 || now[0].Base > offset || now[0].Object != loc.Object {
		return nil
	}
	p, ok, err := r.cfg.Extents.Partition(ctx, q.Topic, q.Index)
	switch {
	case err != nil:
		return err
	case ok && p.Tiered > offset:
		r.cfg.Extents.Forget(q.Topic, q.Index, p.Tiered)
		q.Log.Tiered(p.Tiered)
		return nil
	case ok && p.LogStart > offset:
		return fmt.Errorf("%w: offset %d lies below the log start", ErrGone, offset)
	}
	return notFound
}
