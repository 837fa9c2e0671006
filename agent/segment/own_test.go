package segment

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// A leader packs, hands its slots over before a snapshot says so, and lives on: its successor cuts from the WAL, and nobody counts the pack
// down. The one who wrote it finds that out itself; not as long as a snapshot names the pack, the newest one may be older than the pack, or
// a successor may be opening from an older one.
func TestOwnPackThatASuccessorNeverHeardOf(t *testing.T) { synctest.Test(t, testOwnPack) }

func testOwnPack(t *testing.T) {
	r := newRig(t)
	r.state(r.session, records.Active, 1, 1)
	names := r.topic("a", 3)
	room := r.open()
	r.write(names, 300, 2)
	r.now = r.now.Add(time.Minute)
	room.Round(t.Context(), r.now)
	pack := r.logs[names[0]].runs[0].Object
	if pack.Kind != bundle.PACK {
		t.Fatal(pack)
	}
	var runs []tailRun
	for _, n := range names {
		runs = append(runs, tailRun{n, pack, 0, 4})
	}
	r.snapshotOf(r.session, runs...) // one that the successor did not read
	s := r.sweeper(15 * time.Minute)
	s.d.Mine, s.d.Own, s.d.Session = func() bool { return false }, room, r.session
	looks := func(when string, orphan bool) {
		t.Helper()
		for range 2 {
			time.Sleep(8 * time.Hour)
			r.look(s)
		}
		if got := slices.Contains(r.queuedKeys(), r.keys.Pack(pack.Session)); got != orphan {
			t.Fatalf("%s: an orphan: %v", when, got)
		}
	}
	looks("it is not known that the snapshot is newer", false)
	r.seq++
	r.snapped = r.seq
	looks("a snapshot names it", false)
	if len(room.OldPacks()) != 1 {
		t.Fatal(room.OldPacks())
	}

	for _, n := range names { // the successor has this from before
		r.logs[n].runs = slices.Clone(r.flushed[n])
	}
	r.epoch++
	r.open() // the successor's
	r.round(time.Minute)
	r.round(6 * time.Hour)
	r.check()
	pins := r.cluster.PinsKey(r.session)
	r.put(pins, records.Pins{Slots: map[uint16]records.Pin{1: {Seq: 1, Epoch: 3}}, V: 1}.Item())
	looks("a successor may be opening", false)
	r.put(pins, records.Pins{V: 2}.Item())
	looks("nothing needs it", true)
	if _, err := r.table.Get(t.Context(), r.cluster.PackKey(pack.Session), metastore.Consistent); err == nil {
		t.Fatal("its item is still there")
	}
	time.Sleep(time.Hour)
	if r.look(s); len(room.OldPacks()) != 0 {
		t.Fatal("it is not forgotten")
	}
	if err := r.collector(r.inner).Sweep(t.Context(), time.Now().Add(24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.check()
}

// No more packs are remembered than the bound says.
func TestOwnPacksAreBounded(t *testing.T) {
	o := ownPacks{all: map[uuid.UUID]ownPack{}}
	for range maxOwnPacks + 5 {
		o.add(uuid.New(), 1, time.Now())
	}
	if len(o.all) != maxOwnPacks {
		t.Fatal(len(o.all))
	}
}
