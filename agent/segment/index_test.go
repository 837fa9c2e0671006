package segment

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	factsmem "github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// shelved is partitions with segments in mem stores, and counts what is asked of them.
type shelved struct {
	t       testing.TB
	facts   *countedFacts
	objects *countedObjects
	cluster records.Cluster
	keys    objstore.Keys
	topic   uuid.UUID
	next    int64
	extents []records.Extent
	told    bool    // extents say what the largest timestamp up to them is
	stamps  []int64 // of each record from offset 0 on
	bytes   []byte  // of all batches
}

type countedFacts struct {
	metastore.Store
	gets, queries atomic.Int32
	gate          chan struct{} // queries wait until it is closed
	lossy         func(apply func() error) error
	busy          atomic.Int32 // so many queries are refused
}

func (c *countedFacts) Transact(ctx context.Context, ops []metastore.Op) error {
	apply := func() error { return c.Store.Transact(ctx, ops) }
	if c.lossy != nil {
		return c.lossy(apply)
	}
	return apply()
}

func (c *countedFacts) Get(ctx context.Context, k metastore.Key, cons metastore.Consistency) (metastore.Item, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, k, cons)
}

func (c *countedFacts) Query(ctx context.Context, q metastore.Query) (metastore.Page, error) {
	c.queries.Add(1)
	if c.busy.Add(-1) >= 0 {
		return metastore.Page{}, metastore.ErrThrottled
	}
	if c.gate != nil {
		select {
		case <-c.gate:
		case <-ctx.Done():
			return metastore.Page{}, ctx.Err()
		}
	}
	return c.Store.Query(ctx, q)
}

func (c *countedFacts) asked() int32 { return c.gets.Load() + c.queries.Load() }

type countedObjects struct {
	objstore.Store
	gets atomic.Int32
}

func (c *countedObjects) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, key, r)
}

func newShelved(t testing.TB) *shelved {
	return &shelved{
		t: t, facts: &countedFacts{Store: factsmem.New()}, objects: &countedObjects{Store: mem.New()},
		cluster: "c", keys: objstore.Keys{Cluster: "c"}, topic: uuid.New(),
	}
}

func (s *shelved) index() *Index {
	x := NewIndex(s.facts, s.objects, IndexConfig{Cluster: s.cluster, Keys: s.keys, Bytes: leastLimit})
	s.t.Cleanup(x.Close)
	return x
}

func (s *shelved) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// segment writes and links a segment of partition 3: batches of two records, with values of size bytes and these timestamps. Some
// of them are under another leader epoch, and each entry of the sparse index has per batches.
func (s *shelved) segment(size, per int, stamps ...int64) {
	s.t.Helper()
	e := records.Extent{Base: s.next, Segment: uuid.New(), MinTimestamp: stamps[0], MaxTimestamp: stamps[0]}
	f := &bundle.Footer{Topics: []bundle.Topic{{ID: s.topic, Name: "t"}}}
	body := bundle.AppendHeader(nil, bundle.Header{Kind: bundle.SEG})
	for i, ts := range stamps {
		epoch := int32(i / max(len(stamps)/2, 1))
		if n := len(f.Runs); n == 0 || f.Runs[n-1].LeaderEpoch != epoch {
			f.Runs = append(f.Runs, bundle.Run{
				Partition: 3, LeaderEpoch: epoch, Base: s.next, Next: s.next, Pos: uint64(len(body)),
				FirstBatch: uint32(len(f.Sparse)), MaxTimestamp: ts,
			})
		}
		r := &f.Runs[len(f.Runs)-1]
		b, err := (&recordbatch.Builder{BaseOffset: s.next, LeaderEpoch: epoch}).Append(nil, []recordbatch.Record{
			{Timestamp: ts, Value: bytes.Repeat([]byte{byte(i)}, size)}, {Timestamp: ts - 1},
		})
		s.must(err)
		r.MaxTimestamp, e.MaxTimestamp = max(r.MaxTimestamp, ts), max(e.MaxTimestamp, ts)
		if int(r.Batches)%per == 0 {
			f.Sparse = append(f.Sparse, bundle.Sparse{OffsetDelta: uint32(s.next - r.Base), PosDelta: r.Len})
		}
		entry := &f.Sparse[len(f.Sparse)-1]
		entry.Batches, entry.MaxTimestamp = entry.Batches+1, r.MaxTimestamp
		body = append(body, b...)
		s.bytes = append(s.bytes, b...)
		s.stamps = append(s.stamps, ts, ts-1)
		s.next += 2
		r.Next, r.Len, r.Batches = s.next, r.Len+uint32(len(b)), r.Batches+1
	}
	f.Slots = []bundle.Slot{{Slot: 0, Runs: uint32(len(f.Runs))}}
	e.Next, e.Size, e.Bytes = s.next, uint64(len(body)), int64(len(body)-bundle.HeaderLen)
	s.must(f.Check(bundle.SEG, int64(len(body))))
	object := bundle.AppendFooter(body, bundle.SEG, f)
	e.FooterLen = uint32(len(object) - len(body))
	s.must(s.objects.Put(s.t.Context(), s.keys.Segment(s.topic, 3, e.Base, e.Segment), object))
	s.link(s.topic, 3, e)
	s.extents = append(s.extents, e)
}

// link puts an extent, and the partition's item.
func (s *shelved) link(topic uuid.UUID, index int32, e records.Extent) {
	s.t.Helper()
	p := records.Partition{Topic: topic, Index: index, Nonce: uuid.New()}
	it, err := s.facts.Store.Get(s.t.Context(), s.cluster.PartitionKey(topic, index), metastore.Consistent)
	if err == nil {
		p, err = records.DecodePartition(it)
		s.must(err)
	} else {
		p.LogStart = e.Base
	}
	if p.Tiered, p.Bytes, p.Extents, p.V = e.Next, p.Bytes+e.Bytes, p.Extents+1, p.V+1; s.told {
		p.Top = after(p.Top, &e, p.LogStart)
		e.Top = p.Top
	}
	_, err = s.facts.Write(s.t.Context(), metastore.Op{Kind: metastore.OpPut, Key: s.cluster.ExtentKey(topic, index, e.Base), Set: e.Item()})
	s.must(err)
	_, err = s.facts.Write(s.t.Context(), metastore.Op{Kind: metastore.OpPut, Key: s.cluster.PartitionKey(topic, index), Set: p.Item()})
	s.must(err)
}

// all returns the pieces from offset on, up to the end, which must be contiguous, and their bytes.
func (s *shelved) all(x *Index, offset int64, n int) (pieces []bundle.Location, content []byte) {
	s.t.Helper()
	for at := offset; at < s.next; {
		got, known, err := x.Locate(s.t.Context(), nil, s.topic, 3, at, n, true)
		s.must(err)
		if !known || len(got) == 0 || len(got) > n || got[0].Base > at || got[0].Next <= at {
			s.t.Fatalf("offset %d: %d pieces, known %v", at, len(got), known)
		}
		for i, p := range got {
			if i > 0 && p.Base != got[i-1].Next {
				s.t.Fatalf("a gap between %d and %d", got[i-1].Next, p.Base)
			}
			o, err := s.objects.Store.Get(s.t.Context(), s.keys.Segment(s.topic, 3, int64(p.Object.Seq), p.Object.Session), objstore.Exact(int64(p.Pos), int64(p.Len)))
			s.must(err)
			b, _, err := recordbatch.Next(o.Body)
			s.must(err)
			if b.BaseOffset() != p.Base {
				s.t.Fatalf("piece at %d begins with offset %d", p.Base, b.BaseOffset())
			}
			content = append(content, o.Body...)
			at = p.Next
		}
		pieces = append(pieces, got...)
	}
	return pieces, content
}

func TestIndexPieces(t *testing.T) {
	s := newShelved(t)
	s.segment(100, 1, 1, 2, 3)              // small: no footer is read
	s.segment(300<<10, 1, 4, 5, 6, 7, 8, 9) // larger than a piece together
	s.segment(1<<20, 1, 10, 11)             // each larger than a piece
	s.segment(50, 2, 12)
	s.segment(60<<10, 1, make([]int64, 64)...) // joined
	x := s.index()
	for _, n := range []int{1, 3, 100} {
		pieces, content := s.all(x, 0, n)
		if !bytes.Equal(content, s.bytes) {
			t.Fatalf("%d bytes, want the %d that were written", len(content), len(s.bytes))
		}
		if len(pieces) != 1+6+2+1+2*4 {
			t.Fatalf("%d pieces", len(pieces))
		}
	}
	for at := range s.next {
		if got, _, err := x.Locate(t.Context(), nil, s.topic, 3, at, 1, true); err != nil || len(got) != 1 || got[0].Base > at || got[0].Next <= at {
			t.Fatal(at, got, err)
		}
	}
	if got, known, err := x.Locate(t.Context(), nil, s.topic, 3, s.next, 1, true); err != nil || !known || len(got) > 0 {
		t.Fatal(got, known, err)
	}
	if got, known, err := x.Locate(t.Context(), nil, s.topic, 4, 0, 1, true); err != nil || !known || len(got) > 0 {
		t.Fatal("another partition", got, known, err)
	}
	if n := s.objects.gets.Load(); n != 3 {
		t.Errorf("%d footers were read, want those of 3 large segments, once", n)
	}
}

// From memory alone it never asks, and says so.
func TestIndexWithoutLoad(t *testing.T) {
	s := newShelved(t)
	s.segment(300<<10, 1, 1, 2, 3, 4)
	s.segment(300<<10, 1, 5, 6, 7, 8)
	x := s.index()
	locate := func(at int64, load, want bool) {
		t.Helper()
		got, known, err := x.Locate(t.Context(), nil, s.topic, 3, at, 4, load) // as many as the first one has
		if err != nil || known != want || known != (len(got) > 0) {
			t.Fatal(got, known, err)
		}
	}
	locate(0, false, false)
	if n := s.facts.asked() + s.objects.gets.Load(); n != 0 {
		t.Fatalf("%d requests", n)
	}
	locate(0, true, true)
	locate(0, false, true)
	locate(8, false, false) // its page is here, its outline is not
	locate(8, true, true)
	locate(8, false, true)
	x.Forget(s.topic, 3, 1)
	locate(8, false, false)
}

// Who comes to the end of a segment finds the next one's footer on its way.
func TestIndexLooksAhead(t *testing.T) {
	s := newShelved(t)
	s.segment(300<<10, 1, 1, 2, 3, 4)
	s.segment(300<<10, 1, 5, 6, 7, 8)
	x := s.index()
	if got, _, err := x.Locate(t.Context(), nil, s.topic, 3, 0, 100, true); err != nil || len(got) != 4 {
		t.Fatal(got, err)
	}
	x.running.Wait()
	if got, known, err := x.Locate(t.Context(), nil, s.topic, 3, 8, 100, false); err != nil || !known || len(got) != 4 {
		t.Fatal(got, known, err)
	}
}

// Concurrent loads of one page are one load, and so are those of one footer.
func TestIndexLoadsOnce(t *testing.T) {
	s := newShelved(t)
	s.segment(300<<10, 1, 1, 2, 3, 4)
	s.facts.gate = make(chan struct{})
	x := s.index()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, _, err := x.Locate(t.Context(), nil, s.topic, 3, 2, 1, true); err != nil || len(got) != 1 {
				t.Error(got, err)
			}
		})
	}
	for s.facts.queries.Load() == 0 {
	}
	close(s.facts.gate)
	wg.Wait()
	if q, g := s.facts.queries.Load(), s.objects.gets.Load(); q != 1 || g != 1 {
		t.Fatalf("%d queries, %d GETs", q, g)
	}
}

// R18: a footer that is gone has the extents read again, once.
func TestIndexReadsAgainOnce(t *testing.T) {
	s := newShelved(t)
	s.segment(300<<10, 1, 1, 2, 3, 4)
	x := s.index()
	if _, err := x.Extents(t.Context(), s.topic, 3, 0); err != nil { // the page is here, the outline not
		t.Fatal(err)
	}
	old := s.extents[0]
	s.must(s.objects.Delete(t.Context(), s.keys.Segment(s.topic, 3, 0, old.Segment)))
	if _, _, err := x.Locate(t.Context(), nil, s.topic, 3, 0, 1, true); !errors.Is(err, objstore.ErrNotFound) {
		t.Fatal(err)
	}
	if q := s.facts.queries.Load(); q != 2 {
		t.Fatalf("%d queries", q)
	}
	s.next = 0
	s.segment(300<<10, 1, 1, 2, 3, 4) // rewritten: another object for the same offsets
	got, _, err := x.Locate(t.Context(), nil, s.topic, 3, 0, 1, true)
	if err != nil || got[0].Object.Session == old.Segment {
		t.Fatal(got, err)
	}
}

func TestIndexRefusesWhatContradicts(t *testing.T) {
	s := newShelved(t)
	s.segment(300<<10, 1, 1, 2, 3, 4)
	e := s.extents[0]
	other := newShelved(t)
	other.facts, other.objects = s.facts, s.objects
	e.Base, e.Next = 8, 16 // claims other offsets
	s.must(s.objects.Put(t.Context(), s.keys.Segment(s.topic, 3, 8, e.Segment), nil))
	s.link(s.topic, 3, e)
	x := s.index()
	if _, _, err := x.Locate(t.Context(), nil, s.topic, 3, 8, 1, true); err == nil {
		t.Fatal("a footer that is not there")
	}
	e.Base, e.Next, e.Segment, e.Size = 20, 30, uuid.New(), 1000 // a gap: what lies before it waits to be unlinked
	s.link(s.topic, 3, e)
	for at, want := range map[int64]bool{3: true, 9: true, 15: true, 16: false, 19: false, 20: true, 29: true, 30: false} {
		if got, err := s.index().Extents(t.Context(), s.topic, 3, at); err != nil || (len(got) > 0) != want || want && (got[0].Base > at || got[0].Next <= at) {
			t.Fatal(at, got, err)
		}
	}
	swapped := newShelved(t)
	swapped.segment(300<<10, 1, 1, 2, 3, 4)
	e = swapped.extents[0]
	body, err := swapped.objects.Get(t.Context(), swapped.keys.Segment(swapped.topic, 3, 0, e.Segment), objstore.Range{})
	s.must(err)
	s.must(swapped.objects.Put(t.Context(), swapped.keys.Segment(swapped.topic, 5, 0, e.Segment), body.Body))
	swapped.link(swapped.topic, 5, e)
	if _, _, err := swapped.index().Locate(t.Context(), nil, swapped.topic, 5, 0, 1, true); !errors.Is(err, bundle.ErrCorrupt) {
		t.Fatal("another partition's segment was taken", err)
	}
}

// By time, against what every record says.
func TestIndexTimes(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		s := newShelved(t)
		s.told = seed%3 > 0
		for range 1 + rng.IntN(6) {
			s.told = s.told || seed%3 == 1 && rng.IntN(2) == 0
			stamps := make([]int64, 1+rng.IntN(12))
			for i := range stamps {
				stamps[i] = 100 + rng.Int64N(60) + s.next/2
			}
			s.segment([]int{10, 100 << 10}[rng.IntN(2)], 1+rng.IntN(3), stamps...)
		}
		x := s.index()
		for range 60 {
			ts, from := 95+rng.Int64N(100), rng.Int64N(s.next)
			first := int64(-1)
			for o := from; o < s.next && first < 0; o++ {
				if s.stamps[o] >= ts {
					first = o
				}
			}
			got := int64(-1)
			for at := from; got < 0; { // as ListOffsets goes on
				loc, ok, err := x.LocateTime(t.Context(), s.topic, 3, at, ts)
				s.must(err)
				if !ok {
					break
				}
				for o := max(loc.Base, at); o < loc.Next && got < 0; o++ {
					if s.stamps[o] >= ts {
						got = o
					}
				}
				at = loc.Next
			}
			if got != first {
				t.Fatalf("seed %d: from %d, time %d: offset %d, want %d", seed, from, ts, got, first)
			}
		}
		top, _, ok, err := x.LocateMaxTime(t.Context(), s.topic, 3, 0)
		s.must(err)
		want := s.stamps[0]
		for _, ts := range s.stamps {
			want = max(want, ts)
		}
		if !ok || top != want {
			t.Fatalf("seed %d: largest %d, want %d", seed, top, want)
		}
	}
}

// Memory is bounded over all partitions, and a page of a partition with many extents costs few requests.
func TestIndexIsBounded(t *testing.T) {
	s := newShelved(t)
	topics := make([]uuid.UUID, 90)
	for i := range topics {
		topics[i] = uuid.New()
		for k := range int64(300) {
			s.link(topics[i], 0, records.Extent{Base: k * 10, Next: k*10 + 10, Segment: uuid.New(), Size: 1000, FooterLen: 100, Bytes: 900})
		}
	}
	x := s.index()
	for _, topic := range topics {
		for _, at := range []int64{2999, 5, 1500, 1700} {
			s.facts.gets.Store(0)
			s.facts.queries.Store(0)
			got, _, err := x.Locate(t.Context(), nil, topic, 0, at, 4, true)
			if err != nil || got[0].Base != at/10*10 {
				t.Fatal(got, err)
			}
			if n := s.facts.asked(); n > 2 {
				t.Fatalf("offset %d: %d requests", at, n)
			}
		}
		if n := x.Bytes(); n > leastLimit {
			t.Fatalf("%d bytes", n)
		}
	}
	// Who goes through all of them asks once a page, and needs no item for it.
	s.facts.gets.Store(0)
	s.facts.queries.Store(0)
	fresh := s.index()
	for at := int64(0); at < 3000; {
		got, err := fresh.Extents(t.Context(), topics[0], 0, at)
		s.must(err)
		at = got[len(got)-1].Next
	}
	if g, q := s.facts.gets.Load(), s.facts.queries.Load(); g != 1 || q != 3 {
		t.Fatalf("%d GETs, %d queries for 300 extents", g, q)
	}
}

// The bytes in extents are read once, until the log's begin or the tail's moves.
func TestIndexSize(t *testing.T) {
	s := newShelved(t)
	s.segment(100, 1, 1, 2, 3)
	x := s.index()
	for i, c := range []struct {
		start, tiered int64
		asked         int32
	}{{0, 6, 1}, {0, 6, 1}, {2, 6, 2}, {2, 8, 3}, {2, 8, 3}} {
		n, err := x.Size(t.Context(), s.topic, 3, c.start, c.tiered)
		if err != nil || n != s.extents[0].Bytes || s.facts.asked() != c.asked {
			t.Fatal(i, n, s.facts.asked(), err)
		}
	}
	if n, err := x.Size(t.Context(), s.topic, 4, 0, 6); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	before := x.Bytes()
	for i := range int32(2 * leastLimit / entryBytes) {
		if _, err := x.Size(t.Context(), s.topic, i, 0, 6); err != nil {
			t.Fatal(err)
		}
	}
	if n := x.Bytes(); n <= before || n > leastLimit {
		t.Fatalf("%d bytes, %d before", n, before)
	}
}

// A table that is busy is asked again.
func TestIndexIsPatient(t *testing.T) {
	s := newShelved(t)
	s.segment(300<<10, 1, 1, 2, 3, 4)
	s.facts.busy.Store(2)
	if got, _, err := s.index().Locate(t.Context(), nil, s.topic, 3, 2, 1, true); err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
}

func TestIndexClose(t *testing.T) {
	s := newShelved(t)
	s.segment(300<<10, 1, 1, 2)
	s.facts.gate = make(chan struct{})
	x := s.index()
	failed := make(chan error, 1)
	go func() {
		_, _, err := x.Locate(context.Background(), nil, s.topic, 3, 0, 1, true)
		failed <- err
	}()
	for s.facts.queries.Load() == 0 {
	}
	x.Close()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, _, err := x.Locate(t.Context(), nil, s.topic, 3, 0, 1, true); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}
