package simtest

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/fetch"
	"github.com/varvelog/varve/agent/memory"
	"github.com/varvelog/varve/agent/segment"
	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	objmem "github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/recordbatch"
	"github.com/varvelog/varve/objstore/sim"
)

// archive is a topic whose log lies in segments that are made as they are read: batches of one record, all alike but for their offsets.
type archive struct {
	t       *testing.T
	keys    objstore.Keys
	cluster records.Cluster
	topic   uuid.UUID
	facts   *factsmem.Store
	batch   []byte
	per     int64 // batches of a segment
	end     int64 // of each partition's log
	mu      sync.Mutex
	scratch []byte
}

const (
	historyBatch   = 128 << 10 // bytes of a batch, nearly: they straddle blocks
	historySegment = 64 << 20
)

// newArchive links so many segments of each partition.
func newArchive(t *testing.T, partitions, segments int) *archive {
	h := &archive{t: t, keys: objstore.Keys{Cluster: "c"}, cluster: "c", topic: uuid.New(), facts: factsmem.New()}
	value := make([]byte, historyBatch-100)
	chacha := rand.NewChaCha8([32]byte{1})
	_, _ = chacha.Read(value)
	var err error
	if h.batch, err = (&recordbatch.Builder{}).Append(nil, []recordbatch.Record{{Value: value}}); err != nil {
		t.Fatal(err)
	}
	h.per = int64(historySegment / len(h.batch))
	h.end = h.per * int64(segments)
	for p := range int32(partitions) {
		var ops []metastore.Op
		for i := range int64(segments) {
			e := h.extent(p, i*h.per)
			ops = append(ops, metastore.Op{Kind: metastore.OpPut, Key: h.cluster.ExtentKey(h.topic, p, e.Base), Set: e.Item()})
		}
		item := records.Partition{Topic: h.topic, Index: p, Tiered: h.end, Extents: int64(segments), Bytes: h.size(), V: 1, Nonce: uuid.New()}
		ops = append(ops, metastore.Op{Kind: metastore.OpPut, Key: h.cluster.PartitionKey(h.topic, p), Set: item.Item()})
		for _, op := range ops {
			if _, err := h.facts.Write(context.Background(), op); err != nil {
				t.Fatal(err)
			}
		}
	}
	return h
}

// size is the bytes of a partition.
func (h *archive) size() int64 { return h.end * int64(len(h.batch)) }

func (h *archive) extent(partition int32, base int64) records.Extent {
	body := bundle.HeaderLen + h.per*int64(len(h.batch))
	return records.Extent{
		Base: base, Next: base + h.per, Segment: uuid.NewSHA1(h.topic, binary.BigEndian.AppendUint64(nil, uint64(base)<<16|uint64(partition))), Size: uint64(body), FooterLen: uint32(len(h.footer(partition, base))),
		Bytes: body - bundle.HeaderLen, Records: h.per,
	}
}

// footer returns a segment's footer and trailer. It is laid out behind bytes that nobody reads.
func (h *archive) footer(partition int32, base int64) []byte {
	size := int64(len(h.batch))
	r := bundle.Run{Partition: partition, Base: base, Next: base + h.per, Pos: bundle.HeaderLen, Len: uint32(h.per * size), Batches: uint32(h.per)}
	f := &bundle.Footer{Topics: []bundle.Topic{{ID: h.topic, Name: "t"}}, Slots: []bundle.Slot{{Runs: 1}}, Runs: []bundle.Run{r}}
	for i := range h.per {
		f.Sparse = append(f.Sparse, bundle.Sparse{OffsetDelta: uint32(i), PosDelta: uint32(i * size), Batches: 1})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	body := int(bundle.HeaderLen + h.per*size)
	if h.scratch == nil {
		h.scratch = make([]byte, body, body+bundle.FooterSize(f))
	}
	return append([]byte(nil), bundle.AppendFooter(h.scratch[:body], bundle.SEG, f)[body:]...)
}

// make is the sim.Recipe of the segments.
func (h *archive) make(key string) (int64, func([]byte, int64)) {
	p, err := h.keys.Parse(key)
	if err != nil || p.Kind != objstore.KindSegment {
		return 0, nil
	}
	foot := h.footer(p.Partition, p.Base)
	size := int64(len(h.batch))
	end := bundle.HeaderLen + h.per*size
	return end + int64(len(foot)), func(dst []byte, off int64) {
		for len(dst) > 0 {
			n := 0
			switch at := off - bundle.HeaderLen; {
			case at < 0:
				n = min(len(dst), int(-at))
			case off >= end:
				n = copy(dst, foot[off-end:])
			default:
				n = copy(dst, h.batch[at%size:])
				var base [8]byte
				binary.BigEndian.PutUint64(base[:], uint64(p.Base+at/size))
				if at%size < 8 {
					copy(dst[:n], base[at%size:])
				}
			}
			dst, off = dst[n:], off+int64(n)
		}
	}
}

// taxed counts what is under way at a store.
type taxed struct {
	objstore.Store
	mu              sync.Mutex
	gets, now, most int
}

func (s *taxed) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	s.mu.Lock()
	s.gets++
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	o, err := s.Store.Get(ctx, key, r)
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	return o, err
}

// emptyTail is a Log of a partition all of which lies in segments.
type emptyTail struct{}

func (emptyTail) Locate(dst []bundle.Location, _ int64, _ int) []bundle.Location { return dst }
func (emptyTail) LocateTime(int64) (bundle.Location, bool)                       { return bundle.Location{}, false }
func (emptyTail) LocateMaxTime() (bundle.Location, bool)                         { return bundle.Location{}, false }
func (emptyTail) Tiered(int64)                                                   {}

// What one Fetch asks for, as the benchmark's reader does, and how many partitions the server reads from the store for it at once.
const (
	fetchMost     = 50 << 20
	partitionMost = 8 << 20
	loadsAtOnce   = 16
)

// drain reads all partitions to their ends, as a consumer does that has one Fetch under way, begins each with another partition, and takes no
// time for records; and as the server answers it: what is in memory, and what is not is loaded for the next one; but if nothing is in
// memory, and at every second Fetch that misses something, it is waited for.
func (h *archive) drain(r *fetch.Reader, partitions int) {
	next := make([]int64, partitions)
	skipped := false
	for first := 0; ; first++ {
		room, missed := fetchMost, []int32(nil)
		for k := range next {
			if p := int32((first + k) % partitions); next[p] < h.end && room > 0 {
				n := h.read(r, p, &next[p], min(room, partitionMost), fetch.Cached)
				if room -= n; n == 0 && len(missed) < loadsAtOnce {
					missed = append(missed, p)
				}
			}
		}
		switch {
		case len(missed) == 0 && room == fetchMost:
			return
		case len(missed) == 0:
			continue
		}
		var wg sync.WaitGroup
		wait := room == fetchMost || skipped
		for _, p := range missed {
			if wait {
				wg.Go(func() { h.read(r, p, &next[p], min(room/len(missed), partitionMost), fetch.Await) })
			} else {
				wg.Go(func() { r.Warm(context.Background(), h.request(p, next[p], partitionMost, fetch.Load)) })
			}
		}
		skipped = !wait
		wg.Wait()
	}
}

func (h *archive) request(p int32, from int64, most int, mode fetch.Mode) fetch.Request {
	return fetch.Request{Log: emptyTail{}, Topic: h.topic, Index: p, From: from, Before: h.end, MaxBytes: most, AtLeastOne: true, Mode: mode}
}

func (h *archive) read(r *fetch.Reader, p int32, next *int64, most int, mode fetch.Mode) int {
	got, n, err := r.Read(context.Background(), h.request(p, *next, most, mode), nil)
	if n == 0 && !errors.Is(err, fetch.ErrMiss) {
		h.t.Errorf("partition %d, offset %d: %v", p, *next, err)
	}
	for _, s := range got {
		for rest := s.Bytes; len(rest) > 0; {
			b, after, err := recordbatch.Next(rest)
			if err != nil || b.BaseOffset() != *next {
				h.t.Errorf("partition %d, offset %d: %v", p, *next, err)
				return 0
			}
			*next, rest = b.NextOffset(), after
		}
		s.Release()
	}
	return n
}

// TestCatchUp: one consumer drains a log from segments on S3 (90 MB/s a connection, first byte after 15 ms) faster than 0.9 of what eight
// connections bring at best, with the memory of an agent of 1.5 GiB, and asks for each byte once; of many partitions nearly so, and with the memory that an agent
// has by default. VARVE_CATCHUP_GIB says how much (1).
func TestCatchUp(t *testing.T) {
	gib := 1
	if s := os.Getenv("VARVE_CATCHUP_GIB"); s != "" {
		var err error
		if gib, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		partitions, memory int
		least              float64 // of eight connections
	}{{1, 1536 << 20, 0.9}, {16, 1536 << 20, 0.7}, {1, 512 << 20, 0.75}, {16, 512 << 20, 0.5}} {
		partitions := c.partitions
		segments := max(partitions, gib*16)
		h := newArchive(t, partitions, segments/partitions)
		synctest.Test(t, func(t *testing.T) {
			h.t = t
			store := &taxed{Store: sim.New(sim.NewMade(objmem.New(), h.make), sim.S3Standard(), 1)}
			index := segment.NewIndex(h.facts, store, segment.IndexConfig{Cluster: h.cluster, Keys: h.keys})
			defer index.Close()
			r := fetch.New(store, h.keys, &memory.Pool{}, fetch.Config{Extents: index, CacheBytes: int64(c.memory / 6), Loads: 32})
			defer r.Close()
			began := time.Now()
			h.drain(r, partitions)
			took := time.Since(began)
			bytes := h.size() * int64(partitions)
			rate := float64(bytes) / took.Seconds() / 1e6
			t.Logf("%d partitions, memory of %d MiB: %d MiB in %s: %.0f MB/s, %d GETs, at most %d at once", partitions, c.memory>>20, bytes>>20, took, rate, store.gets, store.most)
			if least := c.least * 8 * 90; rate < least {
				t.Errorf("%d partitions, memory of %d MiB: %.0f MB/s, want %.0f", partitions, c.memory>>20, rate, least)
			}
			// Of each segment the footer and its blocks.
			if need := segments * (1 + (historySegment+fetch.BlockLen-1)/fetch.BlockLen); partitions == 1 && c.least > 0.8 && store.gets != need || store.gets > need*5/4 {
				t.Errorf("%d partitions: %d GETs, want %d", partitions, store.gets, need)
			}
		})
	}
}
