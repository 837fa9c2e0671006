package partition

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	topicID = uuid.MustParse("11111111-2222-4333-8444-555555555555")
	session = uuid.MustParse("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")
)

// rig is a Set over a WAL that commits when it is told to.
type rig struct {
	t       *testing.T
	set     *Set
	queued  []Entry
	seq     uint64
	answers map[int]error
	footers []*bundle.Footer // committed
}

func newRig(t *testing.T, slots ...uint16) *rig {
	t.Helper()
	r := &rig{t: t, answers: map[int]error{}}
	r.set = NewSet(r)
	epochs := map[uint16]int32{}
	for _, s := range slots {
		epochs[s] = 1
	}
	r.open(r.set.NewFold(), epochs)
	return r
}

// open takes over f and commits the slot-open records.
func (r *rig) open(f *Fold, epochs map[uint16]int32) {
	r.t.Helper()
	r.set.Begin(f, epochs)
	ft := &bundle.Footer{}
	for slot, epoch := range epochs {
		ft.Ops = append(ft.Ops, bundle.Op{Kind: bundle.OpSlotOpen, Slot: slot, Epoch: epoch})
	}
	r.apply(ft)
}

func (r *rig) apply(ft *bundle.Footer) {
	r.t.Helper()
	r.seq++
	if err := r.set.Committed(r.object(r.seq), ft); err != nil {
		r.t.Fatal(err)
	}
	r.footers = append(r.footers, ft)
}

func (r *rig) object(seq uint64) bundle.Object {
	return bundle.Object{Kind: bundle.WAL, Session: session, Seq: seq, Size: 1 << 20}
}

// Append implements Appender.
func (r *rig) Append(e Entry) { r.queued = append(r.queued, e) }

// Appended implements Done.
func (r *rig) Appended(tag int, err error) {
	if _, twice := r.answers[tag]; twice {
		r.t.Errorf("%d was answered twice", tag)
	}
	r.answers[tag] = err
}

// commit commits the first n queued entries as one bundle, each a run of its own.
func (r *rig) commit(n int) {
	r.t.Helper()
	ft := &bundle.Footer{Topics: []bundle.Topic{{ID: topicID, Name: "t"}}}
	for i, e := range r.queued[:n] {
		b := e.Batch
		ft.Runs = append(ft.Runs, bundle.Run{
			Partition: e.Partition, Slot: e.Slot, LeaderEpoch: e.Epoch, Base: b.BaseOffset(), Next: b.NextOffset(),
			Pos: 64, Len: uint32(len(b)), Batches: 1, MaxTimestamp: b.MaxTimestamp(), FirstBatch: uint32(i),
		})
		ft.Batches = append(ft.Batches, bundle.Batch{
			Len: uint32(len(b)), LastOffsetDelta: uint32(b.LastOffsetDelta()), MaxTimestamp: b.MaxTimestamp(), ProducerID: b.ProducerID(),
			ProducerEpoch: b.ProducerEpoch(), Attributes: uint16(b.Attributes()), BaseSequence: b.BaseSequence(), Records: uint32(b.NumRecords()),
		})
	}
	done := r.queued[:n]
	r.queued = r.queued[n:]
	r.apply(ft)
	for _, e := range done {
		if e.Done != nil {
			e.Done.Appended(e.Tag, nil)
		}
	}
}

func (r *rig) partition(index int32, slot uint16) *Partition {
	r.t.Helper()
	p, err := r.set.Get(ID{topicID, index}, "t", slot)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// producer sends batches of n records.
type producer struct {
	id    int64
	epoch int16
	seq   int32
}

func (p *producer) batch(t *testing.T, n int) recordbatch.Batch {
	t.Helper()
	bl := recordbatch.Builder{}
	if p != nil {
		bl.Producer = &recordbatch.Producer{ID: p.id, Epoch: p.epoch, Sequence: p.seq}
		p.seq = addSequence(p.seq, int32(n))
	}
	records := make([]recordbatch.Record, n)
	for i := range records {
		records[i] = recordbatch.Record{Timestamp: 1000 + int64(i), Value: []byte("v")}
	}
	b, err := bl.Append(nil, records)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const now = 1_000_000

func (r *rig) send(p *Partition, b recordbatch.Batch, tag int) (Result, error) {
	return p.Append(Append{Batch: bytes.Clone(b), Now: now, Before: now, After: 1000, Done: r, Tag: tag})
}

func (r *rig) mustSend(p *Partition, b recordbatch.Batch, tag int) Result {
	r.t.Helper()
	got, err := r.send(p, b, tag)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

func (r *rig) wantState(p *Partition, hw, end int64) {
	r.t.Helper()
	s, err := p.State()
	if err != nil {
		r.t.Fatal(err)
	}
	if s.HighWatermark != hw || s.LogEnd != end || s.LastStable != hw {
		r.t.Fatalf("high watermark %d, log end %d; want %d, %d", s.HighWatermark, s.LogEnd, hw, end)
	}
}

func wantSame(t *testing.T, got, want *bundle.Footer) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("the snapshot changed:\n%+v\nwas\n%+v", got, want)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}
