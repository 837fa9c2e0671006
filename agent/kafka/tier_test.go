package kafka

import (
	"bytes"
	"context"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/agent/topic"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// tier puts the first runs of a partition's tail into a segment, links it, and has the tail forget them, as the segment room does. It
// returns the segment's key.
func (w *world) tier(top *topic.Topic, index int32, runs int) (key string) {
	w.t.Helper()
	ctx, id := context.Background(), partition.ID{Topic: top.ID, Index: index}
	p, err := w.set.Get(id, top.Name, top.Slots[index])
	must(w.t, err)
	locs := p.Runs(nil, 0, runs)
	e := records.Extent{Base: locs[0].Base, Segment: uuid.New(), MaxTimestamp: locs[0].MaxTimestamp}
	f := &bundle.Footer{Topics: []bundle.Topic{{ID: top.ID, Name: top.Name}}, Slots: []bundle.Slot{{Slot: top.Slots[index], Epoch: testEpoch, Runs: 1}}}
	r := bundle.Run{Partition: index, Slot: top.Slots[index], LeaderEpoch: testEpoch, Base: e.Base, Pos: bundle.HeaderLen, MaxTimestamp: e.MaxTimestamp}
	body := bundle.AppendHeader(nil, bundle.Header{Kind: bundle.SEG})
	for _, loc := range locs { // a run of one batch each
		got, err := w.wal.store.Get(ctx, w.wal.keys.WAL(loc.Object.Session, loc.Object.Seq), objstore.Exact(int64(loc.Pos), int64(loc.Len)))
		must(w.t, err)
		r.MaxTimestamp = max(r.MaxTimestamp, loc.MaxTimestamp)
		f.Sparse = append(f.Sparse, bundle.Sparse{OffsetDelta: uint32(loc.Base - r.Base), PosDelta: r.Len, MaxTimestamp: r.MaxTimestamp, Batches: 1})
		body = append(body, got.Body...)
		r.Len, r.Batches, r.Next = r.Len+loc.Len, r.Batches+1, loc.Next
	}
	f.Runs = []bundle.Run{r}
	e.Next, e.Size, e.Bytes, e.MaxTimestamp = r.Next, uint64(len(body)), int64(r.Len), r.MaxTimestamp
	must(w.t, f.Check(bundle.SEG, int64(len(body))))
	object := bundle.AppendFooter(body, bundle.SEG, f)
	e.FooterLen = uint32(uint64(len(object)) - e.Size)
	key = w.wal.keys.Segment(top.ID, index, e.Base, e.Segment)
	must(w.t, w.wal.store.Put(ctx, key, object))
	item := records.Partition{Topic: top.ID, Index: index, Tiered: e.Next, Bytes: e.Bytes, Extents: 1, V: 1, Nonce: uuid.New()}
	for k, it := range map[metastore.Key]metastore.Item{
		records.Cluster("c").ExtentKey(top.ID, index, e.Base): e.Item(), records.Cluster("c").PartitionKey(top.ID, index): item.Item(),
	} {
		_, err := w.facts.Write(ctx, metastore.Op{Kind: metastore.OpPut, Key: k, Set: it})
		must(w.t, err)
	}
	p.Tiered(e.Next)
	return key
}

// startAt moves a log start, as DeleteRecords and retention do.
func (w *world) startAt(top *topic.Topic, index int32, offset int64) {
	w.t.Helper()
	must(w.t, w.set.Committed(bundle.Object{Kind: bundle.WAL, Session: w.wal.session}, &bundle.Footer{
		Topics: []bundle.Topic{{ID: top.ID, Name: top.Name}},
		Ops:    []bundle.Op{{Kind: bundle.OpLogStart, Slot: top.Slots[index], Epoch: testEpoch, Partition: index, Offset: offset}},
	}))
}

// answers is what clients are told of a partition: every offset's batch, and where every timestamp is.
func answers(c *client, end, from, to int64) (all []any) {
	for at := int64(0); at <= end; at++ {
		f := fetched(call[*kmsg.FetchResponse](c, fetching(11, "t", at)), 0)
		first, _, _ := recordbatch.Next(f.RecordBatches) // how many more come is another matter
		all = append(all, f.ErrorCode, hex.EncodeToString(first), f.HighWatermark, f.LogStartOffset)
	}
	for _, ts := range []int64{tsLatest, tsEarliest, tsMax, tsEarliestLocal, tsLatestTiered} {
		p := listed(call[*kmsg.ListOffsetsResponse](c, listing(9, "t", ts)))
		all = append(all, p.ErrorCode, p.Offset, p.Timestamp, p.LeaderEpoch)
	}
	for ts := from; ts <= to; ts++ {
		p := listed(call[*kmsg.ListOffsetsResponse](c, listing(9, "t", ts)))
		all = append(all, p.ErrorCode, p.Offset, p.Timestamp, p.LeaderEpoch)
	}
	return all
}

// times compares what ListOffsets says by time with the records themselves.
func (w *world) times(c *client, all []int64, start int64) {
	w.t.Helper()
	top := int64(-1)
	for o := start; o < int64(len(all)); o++ {
		if top < 0 || all[o] > all[top] {
			top = o
		}
	}
	if p := listed(call[*kmsg.ListOffsetsResponse](c, listing(9, "t", tsMax))); p.Offset != top || p.Timestamp != all[top] {
		w.t.Fatalf("log start %d: the largest timestamp is said to be at %d, it is at %d", start, p.Offset, top)
	}
	for ts := int64(98); ts <= 142; ts++ {
		want := start
		for want < int64(len(all)) && all[want] < ts {
			want++
		}
		if want == int64(len(all)) {
			want = -1
		}
		if p := listed(call[*kmsg.ListOffsetsResponse](c, listing(9, "t", ts))); p.Offset != want {
			w.t.Fatalf("log start %d: time %d is said to be at %d, it is at %d", start, ts, p.Offset, want)
		}
	}
}

// Where the records lie, in the tail or in segments, is nothing that a client can tell: Fetch at every offset and ListOffsets at every
// timestamp answer as before.
func TestSegmentsAnswerAsTheTailDid(t *testing.T) {
	for seed := range uint64(16) {
		rng := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(t, option{auto: true, cache: []int64{0, 64 << 20}[seed%2]})
		top, c := w.topic("t", 1), w.dial()
		var all []int64 // timestamp of each record
		for range 12 {
			stamps := make([]int64, 1+rng.IntN(4))
			for i := range stamps {
				stamps[i] = 100 + rng.Int64N(40)
			}
			all = append(all, stamps...)
			codecs := []recordbatch.Codec{recordbatch.None, recordbatch.Gzip, recordbatch.Zstd}
			if p := produced(call[*kmsg.ProduceResponse](c, producing(9, "t", stamped(t, codec(codecs[rng.IntN(3)]), stamps...)))); p.ErrorCode != 0 {
				t.Fatalf("produce: %+v", p)
			}
		}
		start, end := int64(0), int64(len(all))
		compare := func(change func()) {
			t.Helper()
			was := answers(c, end, 98, 142)
			change()
			is := answers(c, end, 98, 142)
			w.times(c, all, start)
			for i := range was {
				if was[i] != is[i] {
					t.Fatalf("seed %d, log start %d: answer %d is %.200v, was %.200v", seed, start, i, is[i], was[i])
				}
			}
		}
		compare(func() { w.tier(top, 0, 1+rng.IntN(5)) })
		compare(func() { w.tier(top, 0, 1+rng.IntN(4)) })
		start = rng.Int64N(end)
		w.startAt(top, 0, start)
		compare(func() {
			if p, err := w.set.Get(partition.ID{Topic: top.ID}, "t", top.Slots[0]); err == nil && len(p.Runs(nil, 0, 99)) > 0 {
				w.tier(top, 0, 99) // all of it
			}
		})
	}
}

// A segment that is gone because the log start passed it: out of range, and no other error; one that is gone without a reason is an
// error to try again, never an empty success.
func TestSegmentGoneUnderAReader(t *testing.T) {
	w, c := loaded(t, option{cache: 1}, 1, 3, 4, 5)
	top := w.topics.Lookup("t")
	key := w.tier(top, 0, 2)
	if f := fetched(call[*kmsg.FetchResponse](c, fetching(11, "t", 3)), 0); f.ErrorCode != 0 || len(f.RecordBatches) == 0 {
		t.Fatalf("%+v", f)
	}
	must(t, w.wal.store.Delete(t.Context(), key))
	if f := fetched(call[*kmsg.FetchResponse](c, fetching(11, "t", 3)), 0); f.ErrorCode != codeStorage || f.RecordBatches == nil || len(f.RecordBatches) > 0 {
		t.Fatalf("a segment that is gone: %+v", f)
	}
	_, err := w.facts.Write(t.Context(), metastore.Op{Kind: metastore.OpDelete, Key: records.Cluster("c").ExtentKey(top.ID, 0, 0)})
	must(t, err)
	if f := fetched(call[*kmsg.FetchResponse](c, fetching(11, "t", 3)), 0); f.ErrorCode != codeStorage {
		t.Fatalf("an extent that is gone: %+v", f)
	}
	w.startAt(top, 0, 7)
	if f := fetched(call[*kmsg.FetchResponse](c, fetching(11, "t", 3)), 0); f.ErrorCode != codeOffsetOutOfRange {
		t.Fatalf("below the log start: %+v", f)
	}
	if f := fetched(call[*kmsg.FetchResponse](c, fetching(11, "t", 7)), 0); f.ErrorCode != 0 || !bytes.Contains(f.RecordBatches, make([]byte, 100)) {
		t.Fatalf("above it: %+v", f)
	}
}
