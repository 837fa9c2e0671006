package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// As many slots as are written at once can never be written: all others are given away nevertheless, and slots go on moving.
func TestManySlotsCannotBeTaken(t *testing.T) {
	defer func(n int) { playSlots = n }(playSlots)
	playSlots = 96
	p := newPlay(t)
	p.mute = true
	a, b := p.enters("a1"), p.enters("b1")
	p.pass(30 * time.Second)
	stuck := map[int32]bool{}
	for n := range sorted(b.open) {
		if len(stuck) < writesAtOnce+2 {
			stuck[int32(sorted(b.open)[n])] = true
		}
	}
	a.fate = func(f Effect) whatNext {
		if j := jobOf(f); j.Kind == jobTake && stuck[j.Slot] {
			return isLost
		}
		return goesWell
	}
	b.dead = true
	p.gone(a, b)
	p.pass(20 * time.Second)
	for n := range uint16(playSlots) {
		if s := p.slot(n); s.Leader != a.id && !stuck[int32(n)] {
			t.Fatalf("slot %d is led by a session that has ended: %+v", n, s)
		}
	}
	c := p.enters("c1")
	p.pass(30 * time.Second)
	if len(c.open) < (playSlots-len(stuck))/3 {
		t.Errorf("a newcomer leads %d slots", len(c.open))
	}
}

// As many from[] as are shortened at once can never be written: those of the other slots are shortened nevertheless.
func TestManySlotsCannotBeCleared(t *testing.T) {
	p, a, b, c := three(t)
	n := p.mine(a)
	stuck := map[int32]bool{0: true, int32(n): true}
	never := func(f Effect) whatNext {
		if j := jobOf(f); j.Kind == jobClear && stuck[j.Slot] {
			return isLost
		}
		return goesWell
	}
	a.fate, c.fate = never, never
	for s := range uint16(playSlots) { // each has a session in it that keeps nothing
		gone := uuid.UUID{9, byte(s)}
		p.write(metastore.Op{Kind: metastore.OpPut, Key: records.Cluster("c").SessionKey(gone), Set: records.Session{Agent: "z", State: records.Drained, End: 1}.Item()})
		item := p.slot(s)
		v := item.V
		item.V++
		item.From = append(item.From, records.From{Session: gone, End: 1, Epoch: 0})
		p.write(putSlot("c", v, item))
	}
	p.write(raiseOps("c")[0])
	b.dead = true // its slots come to the others
	p.gone(a, b)
	p.pass(5 * time.Minute)
	for s := range uint16(playSlots) {
		if item := p.slot(s); len(item.From) > 0 && !stuck[int32(s)] {
			t.Errorf("slot %d: from %+v", s, item.From)
		}
	}
}

// A slot item is a write unit of 1 KB while it names as many sessions as here; see room_test.go.
func TestSlotItemFits(t *testing.T) {
	for _, x := range []struct{ name, from int }{{8, 29}, {20, 28}, {records.MaxName, 21}} {
		name := strings.Repeat("n", x.name)
		s := records.Slot{
			Slot: 1<<16 - 1, Leader: uuid.New(), Agent: name, Epoch: 1 << 30, Want: name, V: 1 << 40, Nonce: uuid.New(),
			Replicas: []records.Member{{Agent: name, Session: uuid.New()}}, ISR: []records.Member{{Agent: name, Session: uuid.New()}},
			From: make([]records.From, x.from),
		}
		key := records.Cluster("production").SlotKey(s.Slot)
		if n := key.Size() + s.Item().Size(); n > 1024 || n < 1024-2*28 {
			t.Errorf("names of %d bytes, %d sessions: %d bytes", x.name, x.from, n)
		}
	}
}
