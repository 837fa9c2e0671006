package partition

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/varvelog/varve/objstore/bundle"
)

// The tail answers as a scan of its runs would, whatever is added, replaced and forgotten.
func TestTailAgainstAScan(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var got tail
		var want []tailRun
		var sessions []uint32
		end, session := int64(0), uint32(0)
		for range 600 {
			if rnd.IntN(40) == 0 {
				session = uint32(rnd.IntN(3))
			}
			r := tailRun{base: end, span: uint32(1 + rnd.IntN(5)), maxTS: int64(rnd.IntN(1000)), length: uint32(rnd.IntN(100)), object: uint32(rnd.IntN(1000))}
			end = r.next()
			got.add(r, session)
			want, sessions = append(want, r), append(sessions, session)
			if rnd.IntN(30) == 0 {
				offset := want[0].base + rnd.Int64N(end-want[0].base+1)
				if rnd.IntN(10) == 0 {
					offset = end
				}
				got.forget(offset)
				for len(want) > 0 && want[0].next() <= offset {
					want, sessions = want[1:], sessions[1:]
				}
			}
			if n := len(want); n > 0 && rnd.IntN(30) == 0 {
				i := rnd.IntN(n)
				j := i + 1 + rnd.IntN(n-i)
				r := want[i]
				r.span, r.object = uint32(want[j-1].next()-r.base), 5000
				got.replace(i, j, []tailRun{r})
				want = slices.Replace(slices.Clone(want), i, j, r)
				sessions = slices.Replace(slices.Clone(sessions), i, j, packs)
			}
			compareTail(t, seed, &got, want, sessions, int64(rnd.IntN(1100)))
			if t.Failed() {
				return
			}
			if len(want) == 0 {
				want, sessions = nil, nil
			}
		}
	}
}

func compareTail(t *testing.T, seed uint64, got *tail, want []tailRun, sessions []uint32, ts int64) {
	t.Helper()
	at, top, bytes, walBytes, wal := len(want), int64(-1), int64(0), int64(0), 0
	var sources []uint32
	for i, r := range want {
		if r.maxTS >= ts && at == len(want) {
			at = i
		}
		top, bytes = max(top, r.maxTS), bytes+int64(r.length)
		if sessions[i] == packs {
			continue
		}
		wal, walBytes = wal+1, walBytes+int64(r.length)
		if i == 0 || sessions[i] != sessions[i-1] {
			sources = append(sources, r.object)
		}
	}
	var named []uint32
	got.sources(func(o uint32) { named = append(named, o) })
	switch {
	case !slices.Equal(got.runs, want):
		t.Errorf("seed %d: %d runs, want %d", seed, len(got.runs), len(want))
	case got.findTime(ts) != at:
		t.Errorf("seed %d: time %d found at %d of %d, want %d", seed, ts, got.findTime(ts), len(want), at)
	case got.bytes != bytes || got.walBytes != walBytes || got.walRuns != wal:
		t.Errorf("seed %d: %d bytes, %d of %d runs in bundles; want %d, %d of %d", seed, got.bytes, got.walBytes, got.walRuns, bytes, walBytes, wal)
	case len(want) > 0 && got.top() != top:
		t.Errorf("seed %d: top %d, want %d", seed, got.top(), top)
	case !slices.Equal(named, sources):
		t.Errorf("seed %d: sources %v, want %v", seed, named, sources)
	}
}

// A producer has live state while a batch of it is under way, and then only; what the log forgets it may begin anew.
func TestLiveProducers(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	a, b := &producer{id: 7}, &producer{id: 8}
	for i := range 8 { // more than the window
		r.mustSend(p, a.batch(t, 1), i)
	}
	r.mustSend(p, b.batch(t, 1), 20)
	if len(p.mu.live) != 2 || len(p.mu.log.producers) != 0 {
		t.Fatalf("%d live, %d committed", len(p.mu.live), len(p.mu.log.producers))
	}
	for range 8 {
		r.commit(1)
		if len(r.queued) > 1 && p.mu.live.get(7) == nil {
			t.Fatal("live state was dropped too early")
		}
	}
	if len(p.mu.live) != 1 || p.mu.live.get(8) == nil {
		t.Fatalf("live: %v", p.mu.live)
	}
	got := p.Producers()
	if len(got) != 1 || len(got[0].Last) != window || got[0].Last[4].LastSeq != 7 || got[0].Last[0].FirstSeq != 3 {
		t.Fatalf("committed: %+v", got)
	}
	r.commit(1)
	if len(p.mu.live) != 0 {
		t.Fatal("live state is left")
	}
	a.seq++ // a hole is one whether the batches before are under way or not
	_, err := r.send(p, a.batch(t, 1), 30)
	wantErr(t, err, ErrOutOfOrder)
	newer := &producer{id: 7, epoch: 1}
	r.mustSend(p, newer.batch(t, 1), 31)
	_, err = r.send(p, (&producer{id: 7, seq: 8}).batch(t, 1), 32)
	wantErr(t, err, ErrProducerEpoch)
}

// Beyond its bound a log forgets who wrote longest ago; who has a batch under way is known by it, and goes on.
func TestEvictedProducerGoesOn(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	old := &producer{id: 1}
	r.mustSend(p, old.batch(t, 1), 1)
	r.commit(1)
	second := old.batch(t, 1)
	r.mustSend(p, second, 2)
	for i := range int64(maxProducers) {
		p.mu.log.producers.add(100+i, 0, bundle.Appended{}, 1<<50)
	}
	if p.mu.log.producers.get(1) != nil {
		t.Fatal("the oldest producer was kept")
	}
	r.mustSend(p, old.batch(t, 1), 3)
	if got := r.mustSend(p, second, 4); got.Base != 1 || !got.Pending {
		t.Fatalf("a duplicate of what is under way: %+v", got)
	}
	r.commit(2)
	if err, ok := r.answers[4]; !ok || err != nil {
		t.Fatalf("the duplicate: %v", r.answers)
	}
	if got := r.mustSend(p, second, 5); got.Base != 1 || got.Pending {
		t.Fatalf("a duplicate after the commit: %+v", got)
	}
}
