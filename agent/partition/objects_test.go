package partition

import (
	"maps"
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
		m := mapped{t: t, rnd: rand.New(rand.NewPCG(seed, 5)), objects: newObjects(), named: map[uint32]bundle.Object{}}
		for range 3000 {
			m.step()
			m.check(m.objects.get, m.named)
		}
		for _, v := range m.views {
			m.check(v.view.get, v.named)
		}
		if t.Failed() {
			t.Fatal("seed", seed)
		}
	}
}

// mapped is a table of objects, and which of its numbers something names.
type mapped struct {
	t       *testing.T
	rnd     *rand.Rand
	objects *objects
	named   map[uint32]bundle.Object
	seq     uint64
	views   []oldView
}

type oldView struct {
	view  table
	named map[uint32]bundle.Object
}

func (m *mapped) check(get func(uint32) bundle.Object, named map[uint32]bundle.Object) {
	for n, x := range named {
		if get(n) != x {
			m.t.Fatalf("number %d is %+v, not %+v", n, get(n), x)
		}
	}
}

func (m *mapped) add(x bundle.Object) {
	at := m.objects.add(x)
	if was, taken := m.named[at.object]; taken && was != x {
		m.t.Fatalf("number %d is given out twice", at.object)
	}
	if (at.session == packs) != (x.Kind == bundle.PACK) {
		m.t.Fatalf("%+v is of session %d", x, at.session)
	}
	m.named[at.object] = x
}

func (m *mapped) addWAL() {
	m.seq++
	m.add(bundle.Object{Kind: bundle.WAL, Session: uuid.UUID{byte(1 + m.rnd.IntN(2))}, Seq: m.seq})
}

func (m *mapped) addPack(n int) {
	m.add(bundle.Object{Kind: bundle.PACK, Session: uuid.UUID{9, byte(n)}})
}

func (m *mapped) step() {
	switch k := m.rnd.IntN(40); {
	case k < 36:
		m.addWAL()
	case k < 37:
		m.addPack(m.rnd.IntN(50))
	case k < 38:
		most := 2 + m.rnd.IntN(2) // of three, or all
		for n := range m.named {
			if m.rnd.IntN(3) < most {
				delete(m.named, n)
			}
		}
	case k < 39:
		m.views = append(m.views, oldView{m.objects.view(), maps.Clone(m.named)})
	default:
		m.objects.sweep(m.objects.view(), m.mark)
	}
}

// mark names what is named; sometimes objects are asked for again, and anew, while the sweep runs.
func (m *mapped) mark(name func(uint32)) {
	for n := range m.named {
		name(n)
	}
	if m.rnd.IntN(2) == 0 {
		return
	}
	for n := range 50 {
		m.addPack(n)
	}
	for range chunkLen {
		m.addWAL()
	}
}
