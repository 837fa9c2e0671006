package group

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// TestHalfDeleted: a coordinator is cut off in the middle of deleting a group, after its mark and before its pages: the next one finds no
// group, and no offsets.
func TestHalfDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		cut := fault.New(facts, fault.Plan{Hook: func(c fault.Call) fault.Action {
			if c.Op == fault.Write && c.Ops[0].Kind == metastore.OpDelete {
				return fault.Action{Do: fault.Fail}
			}
			return fault.Action{Do: fault.Pass}
		}})
		old, now := lead(t, cut, 3), lead(t, facts, 4)
		defer old.Close()
		defer now.Close()
		old.mustCommit(part(0), 5)
		old.mustCommit(part(64), 6)
		if err := old.delete(); err == nil {
			t.Error("deleted without a delete")
		}
		now.mustFetch(part(0), -1)
		now.mustFetch(part(64), -1)
		if all := answer(func(done func([]Listed)) { now.List(func(all []Listed, _ error) { done(all) }) }); len(all) > 0 {
			t.Errorf("there are groups: %v", all)
		}
	})
}

// TestHalfDeletedGoes: what a coordinator began to delete is deleted by the search for expired offsets, though nobody asks for the group again.
func TestHalfDeletedGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		facts := mem.New()
		l := lead(t, facts, 1)
		defer l.Close()
		l.mustCommit(part(0), 5)
		key := records.Cluster("c").GroupKey(Slot("g", testSlots), "g")
		time.Sleep(2 * idleTime)
		_, err := facts.Write(t.Context(), metastore.Op{Kind: metastore.OpUpdate, Key: key, Set: metastore.Item{
			records.AttrState: metastore.S(string(records.GroupRemoved))}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if _, err := facts.Get(t.Context(), key, metastore.Consistent); !errors.Is(err, metastore.ErrNotFound) {
			t.Errorf("the group is still there: %v", err)
		}
		pages, err := facts.Query(t.Context(), metastore.Query{PK: records.Cluster("c").GroupPagesPK(Slot("g", testSlots), "g"), Consistency: metastore.Consistent})
		if err != nil || len(pages.Rows) > 0 {
			t.Errorf("%d of its pages are still there: %v", len(pages.Rows), err)
		}
	})
}

// TestOffsetsOfMembersStay: offsets of a group with members do not expire, however old they are, and after the last one left they are kept for
// the whole retention.
func TestOffsetsOfMembersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lead(t, mem.New(), 1)
		defer l.Close()
		l.mustCommit(part(0), 5)
		a := l.join(Join{})
		_ = l.sync(Sync{Member: a.Member, Generation: a.Generation})
		for range 3 * 60 * 20 { // three times the retention
			time.Sleep(3 * time.Second)
			if err := l.beat(a.Member, a.Generation); err != nil {
				t.Fatal(err)
			}
		}
		// A search found the group without members, and one joined before the group heard of it.
		l.send("g", message{serve: (*actor).expire, fail: func(error) {}, gone: func() {}})
		l.mustFetch(part(0), 5)
		_ = answer(func(done func(Left)) { l.Leave("g", Leave{Leavers: []Leaver{{Member: a.Member}}}, done) })
		time.Sleep(50 * time.Minute)
		l.mustFetch(part(0), 5)
		time.Sleep(30 * time.Minute)
		l.mustFetch(part(0), -1)
	})
}
