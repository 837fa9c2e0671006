package partition

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// A million bundles go through a session, each held by a run for a while: what is known of objects stays as small as what is named.
func TestAMillionBundles(t *testing.T) {
	const bundles, round = 1_000_000, 10_000
	s := NewSet(nil)
	s.Begin(s.NewFold(), map[uint16]int32{3: 1})
	if err := s.Committed(bundle.Object{Kind: bundle.WAL, Session: session}, &bundle.Footer{Ops: []bundle.Op{{Kind: bundle.OpSlotOpen, Slot: 3, Epoch: 1}}}); err != nil {
		t.Fatal(err)
	}
	p, err := s.Get(ID{topicID, 0}, "t", 3)
	if err != nil {
		t.Fatal(err)
	}
	ft := &bundle.Footer{Topics: []bundle.Topic{{ID: topicID, Name: "t"}}, Runs: []bundle.Run{{Slot: 3, LeaderEpoch: 1, Pos: 64, Len: 70}}}
	var used []uint64
	for i := range bundles {
		ft.Runs[0].Base, ft.Runs[0].Next = int64(i), int64(i+1)
		if err := s.Committed(bundle.Object{Kind: bundle.WAL, Session: session, Seq: uint64(i + 1), Size: 1 << 20}, ft); err != nil {
			t.Fatal(err)
		}
		if (i+1)%round > 0 {
			continue
		}
		p.Tiered(int64(i - 100))
		snap := s.Capture()
		snap.Footer()
		s.Recorded(snap)
		if n, c := len(s.objects.index), len(s.objects.table.chunks); n > 101+2*chunkLen || c > (round+200)/chunkLen+2 {
			t.Fatalf("after %d bundles %d objects are known, in %d chunks", i+1, n, c)
		}
		for k, loc := range p.Runs(nil, 0, round) {
			if loc.Object.Seq != uint64(loc.Base+1) {
				t.Fatalf("run %d at offset %d lies in %+v", k, loc.Base, loc.Object)
			}
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		used = append(used, m.HeapAlloc)
	}
	if first, last := used[4], used[len(used)-1]; last > first+1<<20 {
		t.Errorf("%d bytes of heap after %d bundles, %d after %d", first, 5*round, last, bundles)
	}
}

// The table against a map: what is named is never forgotten, and a view keeps what it had.
func TestObjectsAgainstAMap(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		o := newObjects()
		named := map[uint32]bundle.Object{}
		seq := uint64(0)
		type old struct {
			view  table
			named map[uint32]bundle.Object
		}
		var views []old
		add := func(x bundle.Object) {
			at := o.add(x)
			if was, taken := named[at.object]; taken && was != x {
				t.Fatalf("seed %d: number %d is given out twice", seed, at.object)
			}
			if (at.session == packs) != (x.Kind == bundle.PACK) {
				t.Fatalf("seed %d: %+v is of session %d", seed, x, at.session)
			}
			named[at.object] = x
		}
		for range 3000 {
			switch k := rnd.IntN(40); {
			case k < 36:
				seq++
				add(bundle.Object{Kind: bundle.WAL, Session: uuid.UUID{byte(1 + rnd.IntN(2))}, Seq: seq})
			case k < 37:
				add(bundle.Object{Kind: bundle.PACK, Session: uuid.UUID{9, byte(rnd.IntN(50))}})
			case k < 38:
				most := 2 + rnd.IntN(2) // of three, or all
				for n := range named {
					if rnd.IntN(3) < most {
						delete(named, n)
					}
				}
			case k < 39:
				copied := map[uint32]bundle.Object{}
				for n, x := range named {
					copied[n] = x
				}
				views = append(views, old{o.view(), copied})
			default:
				late := rnd.IntN(2) == 0
				was := o.view()
				o.sweep(was, func(name func(uint32)) {
					for n := range named {
						name(n)
					}
					if late { // asked for again, and anew, while the sweep runs
						for n := range 50 {
							add(bundle.Object{Kind: bundle.PACK, Session: uuid.UUID{9, byte(n)}})
						}
						for range chunkLen {
							seq++
							add(bundle.Object{Kind: bundle.WAL, Session: uuid.UUID{1}, Seq: seq})
						}
					}
				})
			}
			for n, x := range named {
				if o.get(n) != x {
					t.Fatalf("seed %d: number %d is %+v, not %+v", seed, n, o.get(n), x)
				}
			}
		}
		for _, v := range views {
			for n, x := range v.named {
				if v.view.get(n) != x {
					t.Fatalf("seed %d: a view changed", seed)
				}
			}
		}
	}
}
