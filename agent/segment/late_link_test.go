package segment

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// heldFacts answers no transaction, and keeps it for later.
type heldFacts struct {
	metastore.Store
	held [][]metastore.Op
}

func (s *heldFacts) Transact(_ context.Context, ops []metastore.Op) error {
	s.held = append(s.held, ops)
	return errNoFacts
}

// landing lets what a dead leader sent arrive just before the nth request of its heir.
type landing struct {
	metastore.Store
	t     *testing.T
	held  [][]metastore.Op
	after int
}

func (s *landing) step() {
	if s.after--; s.after != 0 {
		return
	}
	for _, ops := range s.held {
		if err := s.Store.Transact(context.Background(), ops); !errors.Is(err, metastore.ErrCondition) {
			s.t.Error("a link of a leader that was replaced was done:", err)
		}
	}
}

func (s *landing) Get(ctx context.Context, key metastore.Key, c metastore.Consistency) (metastore.Item, error) {
	s.step()
	return s.Store.Get(ctx, key, c)
}

func (s *landing) Transact(ctx context.Context, ops []metastore.Op) error {
	s.step()
	return s.Store.Transact(ctx, ops)
}

// A leader sends a link, hears nothing and dies. The link comes through before its successor is named, or at any moment of that one's first
// round, or never: all records are there once, what the link would have named is garbage or named, and the bucket holds no more than that.
func TestLinkOfADeadLeaderLandsLate(t *testing.T) { synctest.Test(t, testLateLink) }

func testLateLink(t *testing.T) {
	landed := 0
	for after := -1; ; after++ { // -1: before the successor is named; 0: never
		r := newRig(t)
		r.state(r.session, records.Active, 1, 0)
		names := r.topic("a", 3)
		r.open()
		r.write(names, 1000, 2)
		r.round(time.Minute)
		recorded := r.snapshot()
		held := &heldFacts{Store: r.table}
		r.room.d.Facts = held
		r.round(6 * time.Hour)
		if len(held.held) == 0 {
			t.Fatal("no link was sent")
		}
		if after < 0 {
			for i, ops := range held.held {
				if err := r.table.Transact(t.Context(), ops); (i == 0) != (err == nil) {
					t.Fatal(i, err)
				}
			}
		}
		committed := int64(r.seq)
		old := r.heir(recorded)
		r.lead()
		late := &landing{Store: r.table, t: t, held: held.held, after: after}
		r.room.d.Facts = late
		r.round(time.Minute)
		r.round(6 * time.Hour)
		r.check()
		for _, n := range names {
			if p, extents := r.extents(n); p.Tiered != 4 || len(extents) != 1 || p.Extents != 1 {
				t.Fatal(after, p, extents)
			}
		}
		r.room.d.Facts = r.table
		r.round(time.Minute)
		r.drain(old, committed)
		s := r.sweeper(1)
		r.look(s)
		time.Sleep(time.Second)
		r.look(s)
		if err := r.collector(r.inner).Sweep(t.Context(), r.now.Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		r.check()
		r.exact(after)
		if after > 0 && late.after > 0 {
			break // it has made fewer requests
		}
		landed++
	}
	t.Logf("%d moments", landed)
}
