package segment

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// kept is led partitions in memory, with their extents in a table, and a Retainer.
type kept struct {
	*shelved
	r      *Retainer
	parts  []*keptPart
	limits map[uuid.UUID]Limits
	moves  int   // calls of MoveStarts
	fail   error // of the next MoveStarts
	now    int64
}

// keptPart is a partition's tail: a Log too.
type keptPart struct {
	Tail
	runs   []bundle.Location
	tiered int64
}

func (p *keptPart) Runs(dst []bundle.Location, from int64, n int) []bundle.Location {
	for _, r := range p.runs {
		if r.Next > from && n > 0 {
			dst, n = append(dst, r), n-1
		}
	}
	return dst
}

func (p *keptPart) Replace([]bundle.Location) error { return errors.New("nobody packs here") }

func (p *keptPart) Tiered(next int64) {
	p.tiered = next
	p.forget(next)
}

func (p *keptPart) forget(below int64) {
	p.runs = slices.DeleteFunc(p.runs, func(r bundle.Location) bool { return r.Next <= below })
	p.Base, p.Bytes, p.MaxTimestamp, p.Tail.Runs = p.Stable, 0, 0, len(p.runs)
	for i, r := range p.runs {
		if p.Bytes += int64(r.Len); i == 0 {
			p.Base, p.MaxTimestamp = r.Base, r.MaxTimestamp
		}
	}
}

func newKept(t *testing.T) *kept {
	k := &kept{shelved: newShelved(t), limits: map[uuid.UUID]Limits{}, now: 1_000_000}
	k.restart()
	return k
}

// restart makes a new Retainer, which knows nothing.
func (k *kept) restart() {
	k.r = NewRetainer(RetainConfig{Interval: time.Hour, Grace: time.Minute}, RetainDeps{
		Facts: k.facts, Keys: k.keys, Cluster: k.cluster, Index: k.index(), Partitions: k, Keeps: k, Starts: k, Metrics: newMetrics(), Log: slog.New(slog.DiscardHandler),
	})
}

func (k *kept) Tails(yield func(Tail) bool) {
	for _, p := range k.parts {
		p.forget(p.LogStart)
		if !yield(p.Tail) {
			return
		}
	}
}

func (k *kept) Leads(uint16, int32) bool { return true }

func (k *kept) Limits(topic uuid.UUID) (Limits, bool) {
	l, ok := k.limits[topic]
	return l, ok
}

func (k *kept) MoveStarts(_ context.Context, starts []Start) []error {
	k.moves++
	errs := make([]error, len(starts))
	for i, s := range starts {
		if errs[i] = k.fail; k.fail == nil {
			p := s.Log.(*keptPart)
			p.LogStart = max(p.LogStart, s.Offset)
			p.forget(p.LogStart)
		}
	}
	k.fail = nil
	return errs
}

// partition makes one with extents of 10 offsets and 100 bytes with these timestamps, and runs of the tail likewise.
func (k *kept) partition(l Limits, extents, runs []int64) *keptPart {
	k.t.Helper()
	p := &keptPart{Tail: Tail{Name: Name{uuid.New(), 1}, TopicName: "t", Epoch: 4}}
	p.Log = p
	k.limits[p.Topic] = l
	for _, ts := range extents {
		k.link(p.Topic, 1, records.Extent{
			Base: p.Stable, Next: p.Stable + 10, Segment: uuid.New(), Size: 164, FooterLen: 100, Bytes: 100, MinTimestamp: ts, MaxTimestamp: ts,
		})
		p.Stable += 10
	}
	for _, ts := range runs {
		p.runs = append(p.runs, bundle.Location{Base: p.Stable, Next: p.Stable + 10, Len: 100, MaxTimestamp: ts})
		p.Stable += 10
	}
	p.forget(0)
	k.parts = append(k.parts, p)
	return p
}

// sweeps sweeps and returns how often the table was asked.
func (k *kept) sweeps() int32 {
	k.t.Helper()
	before := k.facts.asked()
	k.must(k.r.Sweep(k.t.Context(), time.UnixMilli(k.now)))
	return k.facts.asked() - before
}

// state checks the log start, and that the table has exactly the extents from it up to tiered, and their objects' keys queued below it.
func (k *kept) state(p *keptPart, start int64, extents int) {
	k.t.Helper()
	if p.LogStart != start {
		k.t.Fatalf("log start %d, want %d", p.LogStart, start)
	}
	x := k.r.d.Index
	item, _, err := x.Partition(k.t.Context(), p.Topic, 1)
	k.must(err)
	all, _, err := x.query(k.t.Context(), p.Name, -1)
	k.must(err)
	if len(all) != extents || item.Extents != int64(extents) || item.Bytes != int64(extents)*100 {
		k.t.Fatalf("%d extents, item %+v, want %d", len(all), item, extents)
	}
	if extents > 0 && (all[0].Base > start || all[0].Base != item.LogStart || all[extents-1].Next != item.Tiered) || item.LogStart > start {
		k.t.Fatalf("extents %+v, item %+v, log start %d", all, item, start)
	}
}

// queued returns the keys in the garbage queue.
func (k *kept) queued() (keys []string) {
	k.t.Helper()
	for shard := range records.GarbageShards {
		page, err := k.facts.Store.Query(k.t.Context(), metastore.Query{PK: k.cluster.GarbagePK(shard)})
		k.must(err)
		for _, row := range page.Rows {
			g, err := records.DecodeGarbage(row.Item)
			k.must(err)
			if g.NotBefore != k.now+60_000 || g.Bytes != int64(len(g.Keys))*100 {
				k.t.Fatalf("%+v at %d", g, k.now)
			}
			keys = append(keys, g.Keys...)
		}
	}
	return keys
}

func TestRetainByTime(t *testing.T) {
	k := newKept(t)
	p := k.partition(Limits{1000, -1}, []int64{998_000, 998_999, 999_500}, []int64{999_600})
	k.sweeps()
	k.state(p, 20, 1)
	if n := len(k.queued()); n != 2 {
		t.Fatalf("%d keys are queued", n)
	}
	k.now = 1_000_550 // the last extent, and nothing of the tail
	k.sweeps()
	k.state(p, 30, 0)
	k.now = 1_001_000 // all of it
	k.sweeps()
	k.state(p, 40, 0)
	if item, _, err := k.r.d.Index.Partition(t.Context(), p.Topic, 1); err != nil || item.Tiered != 30 {
		t.Fatal(item, err)
	}
	m := k.r.d.Metrics
	if a, b, c := count(t, m.moves), count(t, m.expiredRecords), count(t, m.expiredBytes); a != 3 || b != 40 || c != 400 {
		t.Errorf("%v moves, %v records, %v bytes, want 3, 40, 400", a, b, c)
	}
}

// count returns what a counter counted.
func count(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestRetainByBytes(t *testing.T) {
	k := newKept(t)
	p := k.partition(Limits{-1, 250}, []int64{1, 1, 1}, []int64{1, 1})
	k.sweeps()
	k.state(p, 20, 1)
	k.limits[p.Topic] = Limits{-1, 100} // changed while it runs
	k.sweeps()
	k.state(p, 40, 0)
	k.limits[p.Topic] = Limits{-1, -1}
	k.now += 1 << 40
	k.sweeps()
	k.state(p, 40, 0)
}

// What somebody else moved (DeleteRecords) is unlinked too, also for a topic that keeps everything; an extent that is half below stays.
func TestRetainUnlinksWhatIsBelow(t *testing.T) {
	k := newKept(t)
	p := k.partition(Limits{-1, -1}, []int64{1, 1, 1}, nil)
	k.sweeps()
	p.LogStart = 15
	k.sweeps()
	k.state(p, 15, 2)
	p.LogStart = 30
	k.sweeps()
	k.state(p, 30, 0)
	if n := len(k.queued()); n != 3 {
		t.Fatalf("%d keys are queued", n)
	}
}

// R28: the log start passes tiered. Tiered stays: the step that passes what was never linked takes it off its packs too.
func TestRetainLeavesTiered(t *testing.T) {
	k := newKept(t)
	p := k.partition(Limits{-1, -1}, []int64{1}, []int64{1, 1, 1})
	p.LogStart = 25
	k.sweeps()
	item, _, err := k.r.d.Index.Partition(t.Context(), p.Topic, 1)
	if err != nil || item.LogStart != 10 || item.Tiered != 10 || item.Extents != 0 || item.Bytes != 0 {
		t.Fatal(item, err)
	}
}

// The log start passed tiered, and new extents were linked above the gap before the old ones were unlinked.
func TestRetainUnlinksBelowAGap(t *testing.T) {
	k := newKept(t)
	p := k.partition(Limits{-1, -1}, []int64{1, 1}, nil)
	p.Stable = 40
	k.link(p.Topic, 1, records.Extent{Base: 30, Next: 40, Segment: uuid.New(), Size: 164, Bytes: 100, MaxTimestamp: 1})
	p.LogStart = 33
	k.sweeps()
	if n := len(k.queued()); n != 2 {
		t.Fatalf("%d keys are queued", n)
	}
	got, err := k.r.d.Index.Extents(t.Context(), p.Topic, 1, 33)
	if err != nil || len(got) != 1 || got[0].Base != 30 {
		t.Fatal(got, err)
	}
	if item, _, err := k.r.d.Index.Partition(t.Context(), p.Topic, 1); err != nil || item.Extents != 1 || item.Bytes != 100 || item.LogStart > 30 {
		t.Fatal(item, err)
	}
}

// Idle partitions cost no request: what is known of their extents is remembered, and the tail is in memory.
func TestRetainIdleCostsNothing(t *testing.T) {
	k := newKept(t)
	for range 20 {
		k.partition(Limits{1000, 10_000}, []int64{999_500, 999_600}, []int64{999_700})
		k.partition(Limits{1000, 10_000}, nil, []int64{999_700})
		k.partition(Limits{-1, -1}, []int64{1, 2}, []int64{3})
		k.partition(Limits{1000, -1}, nil, []int64{1, 999_700}) // its start moves in the first sweep
		k.partition(Limits{1000, -1}, []int64{1, 999_700}, nil)
	}
	if n := k.sweeps(); n == 0 {
		t.Fatal("it knows extents without a request")
	}
	if k.moves != 1 {
		t.Fatalf("%d rounds of moves, want one for all partitions", k.moves)
	}
	for range 3 {
		if n := k.sweeps(); n != 0 {
			t.Fatalf("%d requests for partitions where nothing has changed", n)
		}
	}
	k.restart()
	gone := k.parts[0]
	if n := k.sweeps(); n == 0 || len(k.r.known) == 0 {
		t.Fatal("nothing learned")
	}
	k.parts = k.parts[1:]
	k.sweeps()
	if k.r.known[gone.Name] != nil {
		t.Fatal("it remembers a partition that is not led any more")
	}
}

// A partition with many extents is unlinked in transactions of a size that the table takes.
func TestRetainManyExtents(t *testing.T) {
	k := newKept(t)
	p := k.partition(Limits{1000, -1}, make([]int64, 300), nil)
	k.sweeps()
	k.state(p, 3000, 0)
	if n := len(k.queued()); n != 300 {
		t.Fatalf("%d keys are queued", n)
	}
}

// A log start that was not committed unlinks nothing.
func TestRetainWithoutCommit(t *testing.T) {
	k := newKept(t)
	p := k.partition(Limits{1000, -1}, []int64{1, 2}, nil)
	k.fail = records.ErrFenced
	if err := k.r.Sweep(t.Context(), time.UnixMilli(k.now)); !errors.Is(err, records.ErrFenced) {
		t.Fatal(err)
	}
	k.state(p, 0, 2)
	k.fail = ErrNotLed // no error, and nothing moved
	k.sweeps()
	k.state(p, 0, 2)
	k.sweeps()
	k.state(p, 20, 0)
}

// An earlier leader linked more than our snapshot knew: the tail is told, and bytes are not counted twice.
func TestRetainAfterTakeOver(t *testing.T) {
	k := newKept(t)
	p := k.partition(Limits{-1, 250}, []int64{1, 1, 1}, []int64{1})
	p.runs = append([]bundle.Location{{Base: 20, Next: 30, Len: 100, MaxTimestamp: 1}}, p.runs...)
	p.forget(0)
	k.sweeps()
	k.sweeps()
	if k.state(p, 10, 2); p.tiered != 30 {
		t.Fatalf("the tail was told %d", p.tiered)
	}
}

// A hole in the extents is an error that stops nothing else.
func TestRetainHole(t *testing.T) {
	k := newKept(t)
	bad := k.partition(Limits{1000, -1}, []int64{1, 1, 1}, nil)
	good := k.partition(Limits{1000, -1}, []int64{1, 1}, nil)
	_, err := k.facts.Write(t.Context(), metastore.Op{Kind: metastore.OpDelete, Key: k.cluster.ExtentKey(bad.Topic, 1, 0)})
	k.must(err)
	if err := k.r.Sweep(t.Context(), time.UnixMilli(k.now)); !errors.Is(err, records.ErrBadItem) {
		t.Fatal(err)
	}
	k.state(good, 20, 0)
}

// A lost reply, a lost request, and another writer in between: each extent is unlinked once, and each key queued once.
func TestRetainUnknownOutcomes(t *testing.T) {
	for name, play := range map[string]func(k *kept, p *keptPart, try int, apply func() error) error{
		"the reply is lost": func(_ *kept, _ *keptPart, try int, apply func() error) error {
			if err := apply(); err != nil || try > 1 {
				return err
			}
			return metastore.ErrUnknown
		},
		"the request is lost": func(_ *kept, _ *keptPart, try int, apply func() error) error {
			if try == 1 {
				return metastore.ErrUnknown
			}
			return apply()
		},
		"it is applied twice": func(_ *kept, _ *keptPart, _ int, apply func() error) error {
			if err := apply(); err != nil {
				return err
			}
			return apply()
		},
		"somebody links": func(k *kept, p *keptPart, try int, apply func() error) error {
			if try == 1 {
				k.link(p.Topic, 1, records.Extent{Base: 20, Next: 30, Segment: uuid.New(), Size: 164, Bytes: 100, MaxTimestamp: 999_999})
			}
			return apply()
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKept(t)
			p := k.partition(Limits{1000, -1}, []int64{1, 2}, []int64{999_999})
			try := 0
			k.facts.lossy = func(apply func() error) error {
				try++
				return play(k, p, try, apply)
			}
			k.sweeps()
			extents := 0
			if name == "somebody links" {
				extents = 1
			}
			k.state(p, 20, extents)
			if n := len(k.queued()); n != 2 {
				t.Fatalf("%d keys are queued", n)
			}
		})
	}
}

// A sweep reads items of so many partitions only. Where as many get new segments between two sweeps, the others have their turn all the same.
func TestRetainEveryonesTurn(t *testing.T) {
	k := newKept(t)
	for range maxLearned {
		k.partition(Limits{1 << 40, -1}, []int64{999_500}, nil)
	}
	late := k.partition(Limits{1000, -1}, []int64{1, 2}, nil)
	for range 2 {
		k.sweeps()
		for _, p := range k.parts[:maxLearned] {
			k.link(p.Topic, 1, records.Extent{
				Base: p.Stable, Next: p.Stable + 10, Segment: uuid.New(), Size: 164, FooterLen: 100, Bytes: 100, MinTimestamp: 999_500, MaxTimestamp: 999_500,
			})
			p.Stable += 10
			p.forget(0)
		}
	}
	k.state(late, 20, 0)
}
