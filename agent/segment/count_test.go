package segment

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// linkOne links what a partition has in packs, and nothing of the others.
func (r *rig) linkOne(n Name) {
	r.t.Helper()
	now := r.now.Add(6 * time.Hour)
	var tails []Tail
	for _, t := range r.room.tails(r.now) {
		if t.Name == n {
			tails = append(tails, t)
		}
	}
	parts, err := r.room.cuts(r.t.Context(), tails, now)
	if err == nil {
		err = r.room.cut(r.t.Context(), parts, now)
	}
	if err != nil || len(parts) != 1 {
		r.t.Fatal(parts, err)
	}
}

// inherit is a leader that opens from a snapshot taken before its predecessor linked a partition, which shares 16 packs with another.
func inherit(t *testing.T) (r *rig, linked, other Name) {
	r = newRig(t)
	linked, other = r.topic("a", 1)[0], r.topic("b", 1)[0]
	r.open()
	for range maxPacks {
		r.write([]Name{linked, other}, 2000, 1)
		r.round(time.Minute)
	}
	recorded := r.snapshot()
	r.linkOne(linked)
	r.takeOver(recorded)
	return r, linked, other
}

// What the predecessor's last links took off packs is not taken off again by a merge.
func TestMergeOfWhatIsLinked(t *testing.T) {
	r, linked, _ := inherit(t)
	r.write([]Name{linked}, 2000, 1)
	for range 3 {
		r.round(time.Minute)
		r.accounts()
	}
	r.check()
	if idle := r.accounts(); idle != 0 {
		t.Fatal(idle, "objects too many")
	}
}

// Nor when the topic is deleted before its leader had a look at the table.
func TestGoneTopicThatIsLinked(t *testing.T) {
	r, linked, _ := inherit(t)
	r.round(time.Second)
	delete(r.topics, linked.Topic)
	r.round(time.Second)
	r.check()
	r.accounts()
}

// A debit whose answer was lost, before somebody else's debit of the same pack, is not made twice.
func TestDebitBeforeAnothers(t *testing.T) { synctest.Test(t, testDebitBeforeAnothers) }

func testDebitBeforeAnothers(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", 4)
	r.open()
	r.write(names, 1000, 1)
	r.round(time.Minute)
	pack := r.logs[names[0]].runs[0].Object.Session
	other := New(r.cfg, r.room.d)
	r.room.d.Facts = &lateFacts{Store: r.table, after: func() {
		if err := other.debit(t.Context(), pack, 1, r.now); err != nil {
			t.Fatal(err)
		}
	}}
	if err := r.room.debit(t.Context(), pack, 1, r.now); err != nil {
		t.Fatal(err)
	}
	if p, ok, err := other.readPack(t.Context(), pack); err != nil || !ok || p.Live != 2 {
		t.Fatal(p, ok, err)
	}
}

// lateFacts does the first transaction, and after it something else before the answer is lost.
type lateFacts struct {
	metastore.Store
	after func()
}

func (s *lateFacts) Transact(ctx context.Context, ops []metastore.Op) error {
	err := s.Store.Transact(ctx, ops)
	if s.after == nil {
		return err
	}
	s.after()
	s.after = nil
	return errNoFacts
}

// The log start moves between the look at a tail and the cut of it: that is no damage.
func TestLogStartMovesUnderACut(t *testing.T) {
	r := newRig(t)
	n := r.topic("a", 1)[0]
	r.open()
	for range 3 {
		r.write([]Name{n}, 1000, 2)
		r.round(time.Minute)
	}
	facts := &askedFacts{Store: r.table, key: r.cluster.PartitionKey(n.Topic, 0), ask: func() { r.logs[n].moveStart(4) }}
	r.room.d.Facts = facts
	r.round(6 * time.Hour)
	r.room.d.Facts = r.table
	if r.room.ledger.parts[n].stays {
		t.Fatal("taken for damage")
	}
	r.round(time.Minute)
	r.check()
	if p, extents := r.extents(n); p.Tiered != 12 || len(extents) != 1 || extents[0].Base != 4 {
		t.Fatal(p, extents)
	}
	if idle := r.accounts(); idle != 0 {
		t.Fatal(idle)
	}
}

// askedFacts calls ask when a key is read.
type askedFacts struct {
	metastore.Store
	key metastore.Key
	ask func()
}

func (s *askedFacts) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	if key == s.key {
		s.ask()
	}
	return s.Store.Get(ctx, key, c)
}

// The log start passes packs in the round that also cuts what comes behind: they are counted down all the same.
func TestLogStartPassesPacksBeforeACut(t *testing.T) {
	for _, exists := range []bool{false, true} {
		r := newRig(t)
		n := r.topic("a", 1)[0]
		r.open()
		if exists {
			r.write([]Name{n}, 1000, 2)
			r.round(time.Minute)
			r.round(6 * time.Hour)
		}
		for range 3 {
			r.write([]Name{n}, 1000, 2)
			r.round(time.Minute)
		}
		r.logs[n].moveStart(r.logs[n].end - 8)
		r.round(6 * time.Hour)
		r.round(time.Minute)
		r.check()
		if p, extents := r.extents(n); p.Tiered != r.logs[n].end || len(extents) == 0 {
			t.Fatal(p, extents)
		}
		if idle := r.accounts(); idle != 0 {
			t.Fatal(exists, idle)
		}
	}
}

// Who was replaced links nothing from then on: what its successor reads of tiered when it opens stays true, and so do the counts of packs.
func TestReplacedLeaderLinksNothing(t *testing.T) {
	r := newRig(t)
	n := r.topic("a", 1)[0]
	r.open()
	r.write([]Name{n}, 1000, 4)
	r.round(time.Minute)
	r.lead()
	s := records.Slot{Slot: r.logs[n].slot, Epoch: r.epoch + 1, Agent: "other", V: 2}
	if _, err := r.table.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: r.cluster.SlotKey(s.Slot), Set: s.Item()}); err != nil {
		t.Fatal(err)
	}
	r.round(6 * time.Hour)
	if p, extents := r.extents(n); p.V != 0 || len(extents) != 0 {
		t.Fatal(p, extents)
	}
	if len(r.queue()) != 1 || r.kinds()["t"] != 1 {
		t.Fatal(r.queue(), r.kinds())
	}
	r.accounts()
	r.check()
}

// widest notes how many items the largest transaction had, and how many there were.
type widest struct {
	metastore.Store
	most, count int
}

func (s *widest) Transact(ctx context.Context, ops []metastore.Op) error {
	s.most, s.count = max(s.most, len(ops)), s.count+1
	return s.Store.Transact(ctx, ops)
}

// Eight neighbours that are cut together and share no pack, each of as many packs as one segment may be cut from: their links have no more items
// than a transaction takes, and nearly as many.
func TestLinkTransactionIsBounded(t *testing.T) {
	r := newRig(t)
	names := r.topic("a", maxLinked)
	r.open()
	for _, n := range names {
		for range maxPacks {
			r.write([]Name{n}, 300, 1)
			r.round(time.Minute)
		}
	}
	facts := &widest{Store: r.table}
	r.room.d.Facts = facts
	r.round(6 * time.Hour)
	if facts.most > metastore.MaxTransact || facts.most < metastore.MaxTransact-maxPacks-3 || facts.count != 2 {
		t.Errorf("%d transactions, one of %d items", facts.count, facts.most)
	}
	for _, n := range names {
		if p, extents := r.extents(n); len(extents) != 1 || p.Tiered != 2*maxPacks {
			t.Error(p, extents)
		}
	}
	r.check()
	if idle := r.accounts(); idle != 0 {
		t.Error("objects too many:", idle)
	}
}
