package group

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// TestProgress: what a group has committed is told while it is in memory and after, by its coordinator alone; to look does not keep it there.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lead(t, mem.New(), 1)
		defer l.Close()
		progress := func() []Progress {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return l.Progress(ctx)
		}
		if p := progress(); len(p) != 0 {
			t.Errorf("of nothing: %+v", p)
		}
		commit := func(offset int64) {
			o := map[Partition]records.GroupOffset{part(3): {Offset: offset, At: time.Now().Unix()}}
			if err := answer(func(done func(error)) { l.Commit("g", Commit{Generation: -1, Offsets: o}, done) }); err != nil {
				t.Fatal(err)
			}
		}
		commit(7)
		last := time.Now()
		check := func(when string, offset int64) {
			t.Helper()
			p := progress()
			if len(p) != 1 || p[0].Group != "g" || p[0].Members != 0 || p[0].Offsets[part(3)] != offset || len(p[0].Offsets) != 1 || p[0].Last.Unix() != last.Unix() {
				t.Errorf("%s: %+v", when, p)
			}
		}
		check("in memory", 7)
		for range 4 {
			time.Sleep(idleTime / 2)
			check("later", 7)
		}
		l.mu.Lock()
		n := len(l.mu.groups)
		l.mu.Unlock()
		if n != 0 {
			t.Error("a look keeps the group in memory")
		}
		last = time.Now()
		commit(8)
		check("again", 8)
		time.Sleep(2 * idleTime)
		check("at rest again", 8)
		if err := l.delete(); err != nil {
			t.Fatal(err)
		}
		if p := progress(); len(p) != 0 {
			t.Errorf("deleted: %+v", p)
		}
		commit(9)
		time.Sleep(2 * idleTime)
		l.Lose(Slot("g", testSlots), 1)
		if p := progress(); len(p) != 0 {
			t.Errorf("of a slot that another agent leads: %+v", p)
		}
		if n := l.mu.resting.parts; n != 0 {
			t.Errorf("%d partitions are counted of no group", n)
		}
	})
}
