// Package fetch reads committed batches: from memory where they are, else from the object store by ranged GETs.
//
// The unit of reading, caching and joining is a block: 4 MiB of an object, aligned, or what is left of it. A bundle that
// this agent wrote enters the cache whole at its commit, so that a reader at the tail causes no request at all. Batches are
// handed out as slices of cached blocks, verbatim, with a reference to keep them alive while they are being sent.
//
// Goroutines: loads, one per block under way, at most Config.Loads at the store; read-ahead uses the same ones; Close ends
// them. No locks of its own.
package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cache"
	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// BlockLen is the length of a block in bytes.
const BlockLen = 4 << 20

// Config of a Reader.
type Config struct {
	CacheBytes int64 // how much to keep, in bytes; 0: nothing
	Loads      int   // most GETs at once, 0: 32
	ReadAhead  int   // most blocks to get ahead of a reader, 0: 4
}

// Log is a led partition as this package sees it: where its committed runs lie, from the one that holds offset on, at most
// n of them, without a gap.
type Log interface {
	Locate(dst []bundle.Location, offset int64, n int) []bundle.Location
}

// Slice is some bytes of a block. Release it once they are sent.
type Slice struct {
	Bytes []byte
	buf   *memory.Buf
}

// Release lets go of the block.
func (s Slice) Release() { s.buf.Release() }

// The errors of Read, each with the caller's next move; besides those of objstore.Store and of the context.
var (
	// ErrMiss: not in memory, and the mode was Cached. Read again with Load, where waiting is allowed.
	ErrMiss = errors.New("not in memory")
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
)

type blockKey struct {
	session uuid.UUID
	seq     uint64
	block   uint32
}

// Reader reads batches.
type Reader struct {
	store objstore.Store
	keys  objstore.Keys
	pool  *memory.Pool
	cfg   Config
	cache *cache.Cache[blockKey]
	loads chan struct{} // holds one token per load under way
}

// New returns a Reader.
func New(store objstore.Store, keys objstore.Keys, pool *memory.Pool, cfg Config) *Reader {
	if cfg.Loads == 0 {
		cfg.Loads = 32
	}
	if cfg.ReadAhead == 0 {
		cfg.ReadAhead = 4
	}
	return &Reader{
		store: store, keys: keys, pool: pool, cfg: cfg,
		cache: cache.New[blockKey](cfg.CacheBytes), loads: make(chan struct{}, cfg.Loads),
	}
}

// Close ends all loads, those ahead of readers too, waits for them and gives up the cache. Reads fail from then on.
func (r *Reader) Close() { r.cache.Close() }

// Stats returns the cache's counters.
func (r *Reader) Stats() cache.Stats { return r.cache.Stats() }

// Committed puts a bundle that was just committed into the cache. body is the whole object; if it is marked as sound its
// batches are not checked again when they are read.
func (r *Reader) Committed(o bundle.Object, body *memory.Buf) {
	b := body.Bytes()[:o.Size]
	if len(b) <= BlockLen {
		// A small bundle lies in a buffer that may be many times larger: keep a copy of its own size.
		if len(b) < body.Cap()/2 {
			sound := body.Sound()
			body = memory.Wrap(bytes.Clone(b))
			if sound {
				body.MarkSound()
			}
			defer body.Release()
		}
		r.cache.Put(key(o, 0), body)
		return
	}
	for i := 0; i*BlockLen < len(b); i++ {
		block := memory.Slice(body, i*BlockLen, min((i+1)*BlockLen, len(b))) // see whole
		r.cache.Put(key(o, i), block)
		block.Release()
	}
}

func key(o bundle.Object, block int) blockKey {
	return blockKey{o.Session, o.Seq, uint32(block)}
}

// Request says what to read: whole batches of log from the one that holds From on, none that begins at Before or later.
type Request struct {
	Log          Log
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
	var space [runsPerLook]bundle.Location
	next := q.From
	for next < q.Before {
		locs := q.Log.Locate(space[:0], next, runsPerLook)
		if len(locs) == 0 {
			return dst, n, nil
		}
		if q.Mode == Load {
			r.readAhead(ctx, locs)
		}
		for _, loc := range locs {
			if loc.Base >= q.Before {
				return dst, n, nil
			}
			var more bool
			was := n
			dst, n, more, err = r.readRun(ctx, q, loc, next, dst, n)
			if err != nil || !more {
				return dst, n, err
			}
			if n == was && loc.Next <= next {
				return dst, n, fmt.Errorf("%w: run at offset %d holds nothing from offset %d on", ErrCorrupt, loc.Base, next)
			}
			next = loc.Next
		}
	}
	return dst, n, nil
}

// readRun adds the batches of one run, and reports whether the next run may be read too.
func (r *Reader) readRun(ctx context.Context, q Request, loc bundle.Location, from int64, dst []Slice, n int) ([]Slice, int, bool, error) {
	run, err := r.run(ctx, loc, q.Mode)
	if err != nil {
		return dst, n, false, err
	}
	defer run.Release()
	rest, first, end := run.Bytes, -1, 0
	more := true
	for pos := 0; len(rest) > 0; {
		var b recordbatch.Batch
		if b, rest, err = recordbatch.Next(rest); err != nil || b == nil {
			break
		}
		start := pos
		pos += len(b)
		if b.NextOffset() <= from {
			continue
		}
		if first < 0 {
			first = start
		}
		whole := n == 0 && end == 0 && q.AtLeastOne
		if b.BaseOffset() >= q.Before || !whole && n+pos-first > q.MaxBytes {
			more = false
			break
		}
		end = pos
	}
	if end > 0 {
		run.buf.Retain()
		dst = append(dst, Slice{run.Bytes[first:end], run.buf})
		n += end - first
	}
	return dst, n, more && n < q.MaxBytes, nil
}

// run returns the bytes of a run, checked unless they are sound.
func (r *Reader) run(ctx context.Context, loc bundle.Location, mode Mode) (Slice, error) {
	s, err := r.bytes(ctx, loc, mode, r.block)
	if err == nil && !s.buf.Sound() {
		err = check(s.Bytes, loc)
		if err != nil {
			s.Release()
			if mode == Cached {
				return Slice{}, ErrMiss
			}
			if s, err = r.bytes(ctx, loc, Load, r.fresh); err == nil {
				if err = check(s.Bytes, loc); err != nil {
					s.Release()
				}
			}
		}
	}
	return s, err
}

type blockFunc func(ctx context.Context, o bundle.Object, i int, mode Mode) (*memory.Buf, error)

// bytes returns [Pos, Pos+Len) of an object: a slice of one block, or a copy of what lies in several.
func (r *Reader) bytes(ctx context.Context, loc bundle.Location, mode Mode, get blockFunc) (Slice, error) {
	if loc.Pos+uint64(loc.Len) > loc.Object.Size || loc.Len == 0 {
		return Slice{}, fmt.Errorf("%w: %d bytes at %d lie outside of %s, which ends at %d", ErrCorrupt, loc.Len, loc.Pos, r.keys.WAL(loc.Object.Session, loc.Object.Seq), loc.Object.Size)
	}
	first, last := int(loc.Pos/BlockLen), int((loc.Pos+uint64(loc.Len)-1)/BlockLen)
	at := int(loc.Pos % BlockLen)
	if first == last {
		buf, err := get(ctx, loc.Object, first, mode)
		if err != nil {
			return Slice{}, err
		}
		return Slice{buf.Bytes()[at : at+int(loc.Len) : at+int(loc.Len)], buf}, nil
	}
	if s, ok := r.whole(ctx, loc, first, mode, get); ok {
		return s, nil
	}
	joined := r.pool.Get(int(loc.Len))
	out := joined.Bytes()[:0]
	for i := first; i <= last; i++ {
		buf, err := get(ctx, loc.Object, i, mode)
		if err != nil {
			joined.Release()
			return Slice{}, err
		}
		part := buf.Bytes()[at:]
		out = append(out, part[:min(len(part), int(loc.Len)-len(out))]...)
		buf.Release()
		at = 0
	}
	return Slice{joined.Bytes(), joined}, nil
}

// whole returns the bytes of a run that lies in several blocks of one bundle in memory, without a copy.
func (r *Reader) whole(ctx context.Context, loc bundle.Location, first int, mode Mode, get blockFunc) (Slice, bool) {
	block, err := get(ctx, loc.Object, first, mode)
	if err != nil {
		return Slice{}, false
	}
	defer block.Release()
	body := block.Whole()
	if body == nil {
		return Slice{}, false
	}
	end := loc.Pos + uint64(loc.Len)
	return Slice{body.Bytes()[loc.Pos:end:end], body}, true
}
