package group

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// TestExpiryMeetsCommit: offsets are looked for that expired while a commit is being gathered or written: what is acked then stays.
func TestExpiryMeetsCommit(t *testing.T) {
	for name, c := range map[string]struct {
		stored int64         // when the offset before was committed, seconds before now; 0: there is none
		after  time.Duration // how long after the commit came they are looked for
	}{
		"first, written": {0, 100 * time.Millisecond}, "written": {7200, 100 * time.Millisecond}, "gathered": {7200, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := lead(t, fault.New(mem.New(), fault.Plan{Hook: func(c fault.Call) fault.Action {
					if c.Op == fault.Write || c.Op == fault.Transact {
						return fault.Action{Do: fault.Pass, Delay: 50 * time.Millisecond}
					}
					return fault.Action{Do: fault.Pass}
				}}), 1)
				defer l.Close()
				commit := func(at, offset int64, done func(error)) {
					l.Commit("g", Commit{Generation: -1, Offsets: map[Partition]records.GroupOffset{part(0): {Offset: offset, At: at}}}, done)
				}
				now := time.Now().Unix()
				if c.stored > 0 {
					if err := answer(func(done func(error)) { commit(now-c.stored, 5, done) }); err != nil {
						t.Fatal(err)
					}
				}
				acked := make(chan error, 1)
				commit(now, 6, func(err error) { acked <- err })
				time.Sleep(c.after)
				l.send("g", message{serve: (*actor).expire, fail: func(error) {}, gone: func() {}})
				if err := <-acked; err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				l.mustFetch(part(0), 6)
			})
		})
	}
}
