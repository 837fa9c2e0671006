package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// garbage returns the stretches of the WAL that are queued for deletion, in the order of their first bundles.
func (r *rig) garbage() (all []records.Garbage) {
	r.t.Helper()
	page, err := r.facts.Query(r.t.Context(), metastore.Query{PK: r.cfg.Cluster.GarbagePK(int(r.cfg.Session[0]))})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, row := range page.Rows {
		g, err := records.DecodeGarbage(row.Item)
		if err != nil {
			r.t.Fatal(err)
		}
		if g.Session != r.cfg.Session || g.Snapshots || (row.SK != r.cfg.Cluster.GarbageKey(g).SK) {
			r.t.Fatalf("%s: %+v", row.SK, g)
		}
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b records.Garbage) int { return int(a.From - b.From) })
	return all
}

// wantTrim checks where trim stands, and that what lies below it is queued, each bundle once, and nothing else.
func (r *rig) wantTrim(trim int64, stretches ...int64) {
	r.t.Helper()
	if s := r.session(); s.Trim != trim {
		r.t.Fatalf("the item says %d, want %d", s.Trim, trim)
	}
	var got []int64
	next := int64(1)
	for _, g := range r.garbage() {
		if g.From != next || g.End <= g.From {
			r.t.Fatalf("garbage from %d to %d, want it from %d on", g.From, g.End, next)
		}
		next = g.End
		got = append(got, g.End)
	}
	if !slices.Equal(got, stretches) || next != max(1, trim) {
		r.t.Fatalf("garbage ends at %v, want %v, and trim %d", got, stretches, trim)
	}
}

// trimRig has so many committed bundles, and a recorded snapshot of them.
func trimRig(t *testing.T, bundles int) *rig {
	t.Helper()
	r := newRig(t, func(c *Config) { c.Grace = time.Hour })
	for i := range bundles {
		r.append(i, 0, 10)
		if err := r.log.Barrier(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.log.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// A pin lands after the caller looked: what it holds is not trimmed.
func TestTrimBesideALatePin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := trimRig(t, 3)
		pins := records.Pins{Slots: map[uint16]records.Pin{1: {Seq: 1}}, V: 1}
		key := r.cfg.Cluster.PinsKey(r.cfg.Session)
		if _, err := r.facts.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: key, Set: pins.Item()}); err != nil {
			t.Fatal(err)
		}
		if err := r.log.Trim(t.Context(), 3, 0); !errors.Is(err, ErrPinned) {
			t.Fatalf("pinned since: %v", err)
		}
		r.wantTrim(0)
		if err := r.log.Trim(t.Context(), 3, 1); err != nil {
			t.Fatal(err)
		}
		r.wantTrim(3, 3)
		r.end(context.Canceled)
	})
}

// Trim moves forward only, never beyond what a recorded snapshot covers, stops with the session, and queues what it passes in the same
// transaction (mutant: a trim above snap + 1).
func TestTrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Grace = time.Hour })
		for i := range 3 {
			r.append(i, 0, 10)
			if err := r.log.Barrier(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.log.Trim(t.Context(), 2, 0); !errors.Is(err, ErrTrimTooFar) {
			t.Fatalf("with no snapshot: %v", err)
		}
		if err := r.log.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := func(seq uint64, err error, trim int64, stretches ...int64) {
			t.Helper()
			if got := r.log.Trim(t.Context(), seq, 0); !errors.Is(got, err) {
				t.Fatalf("trim to %d: %v, want %v", seq, got, err)
			}
			r.wantTrim(trim, stretches...)
		}
		want(0, nil, 0)
		want(1, nil, 0)
		want(2, nil, 2, 2)
		if g := r.garbage(); g[0].NotBefore != time.Now().Add(time.Hour).UnixMilli() {
			t.Fatalf("%+v", g)
		}
		want(1, nil, 2, 2)
		want(5, ErrTrimTooFar, 2, 2)
		want(4, nil, 4, 2, 4)
		if n := r.sessionBytes(); n > 900 {
			t.Fatalf("session item has %d bytes", n)
		}
		r.end(context.Canceled)
	})
}

// A trim whose answer was lost is recognised, by the try that follows and by a later trim; one that never comes back may land at any
// time. Whatever happens, each bundle is queued once (mutant: trim compares with less instead of as known).
func TestTrimWithoutAnAnswer(t *testing.T) {
	type write = func(pass func() error) error
	lost := func(pass func() error) error { _ = pass(); return metastore.ErrUnknown }
	never := func(func() error) error { return metastore.ErrUnknown }
	for name, c := range map[string]struct {
		tries []write // what becomes of the first ones; then all is well
		want  []int64
	}{
		"reply lost":       {[]write{lost}, []int64{3, 6}},
		"request lost":     {[]write{never}, []int64{3, 6}},
		"lost, then twice": {[]write{never, lost, lost}, []int64{3, 6}},
		"in vain":          {slices.Repeat([]write{never}, snapshotTries), []int64{6}},
		"in vain, done":    {append([]write{lost}, slices.Repeat([]write{never}, snapshotTries-1)...), []int64{3, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := trimRig(t, 6)
				n := 0
				r.facts.transact = func(_ context.Context, _ []metastore.Op, pass func() error) error {
					if n++; n <= len(c.tries) {
						return c.tries[n-1](pass)
					}
					return pass()
				}
				if err := r.log.Trim(t.Context(), 3, 0); (err != nil) != (len(c.tries) == snapshotTries) {
					t.Fatal(err)
				}
				if err := r.log.Trim(t.Context(), 6, 0); err != nil {
					t.Fatal(err)
				}
				r.wantTrim(6, c.want...)
				r.end(context.Canceled)
			})
		})
	}
}

// Writes that were given up land later, in any order, between trims that succeed.
func TestTrimsThatLandLate(t *testing.T) {
	for order := range 6 {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := trimRig(t, 9)
				var late []func() error
				r.facts.transact = func(_ context.Context, _ []metastore.Op, pass func() error) error {
					late = append(late, pass)
					return metastore.ErrUnknown
				}
				for _, seq := range []uint64{3, 5, 7} {
					if err := r.log.Trim(t.Context(), seq, 0); err == nil {
						t.Fatal("nobody said that it was done")
					}
				}
				r.facts.transact = nil
				i := []int{order % 3, (order + 1 + order/3) % 3, (order + 2 - order/3) % 3}
				for _, k := range i {
					_ = late[k*snapshotTries]()
				}
				if err := r.log.Trim(t.Context(), 9, 0); err != nil {
					t.Fatal(err)
				}
				for _, again := range late {
					if err := again(); err == nil {
						t.Error("a trim was applied that was there already")
					}
				}
				r.wantTrim(9, []int64{3, 5, 7}[i[0]], 9)
				r.end(context.Canceled)
			})
		})
	}
}

// A session that is fenced does not trim, and queues nothing: whoever drains it does, from its trim on.
func TestTrimAfterTheFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := trimRig(t, 6)
		if err := r.log.Trim(t.Context(), 3, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := r.facts.Store.Write(t.Context(), metastore.Op{
			Kind: metastore.OpUpdate, Key: r.log.key, Set: metastore.Item{records.AttrState: records.Fenced.Value()},
		}); err != nil {
			t.Fatal(err)
		}
		if err := r.log.Trim(t.Context(), 5, 0); !errors.Is(err, records.ErrFenced) {
			t.Fatal(err)
		}
		r.wantTrim(3, 3)
		time.Sleep(2 * r.cfg.Heartbeat) // it learns of it
		r.end(records.ErrFenced)
	})
}
