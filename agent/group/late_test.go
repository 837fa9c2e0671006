package group

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/mem"
)

// TestLateDeletes: the first try of a delete of a page of offsets comes late, after the second one was answered and the page was made anew:
// what was committed then stays.
func TestLateDeletes(t *testing.T) {
	for name, forget := range map[string]func(l *leader) error{
		"group": (*leader).delete,
		"offsets": func(l *leader) error {
			return answer(func(done func(error)) {
				l.DeleteOffsets("g", []Partition{part(0)}, nil, func(_ map[Partition]error, err error) { done(err) })
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				late := 0
				facts := fault.New(mem.New(), fault.Plan{Hook: func(c fault.Call) fault.Action {
					if c.Op == fault.Write && c.Ops[0].Kind == metastore.OpDelete && late == 0 {
						late++
						return fault.Action{Do: fault.Late, After: 2 * time.Second}
					}
					return fault.Action{Do: fault.Pass}
				}})
				l := lead(t, facts, 1)
				defer l.Close()
				l.mustCommit(part(0), 5)
				if err := forget(l); err != nil {
					t.Fatal(err)
				}
				l.mustCommit(part(0), 6)
				time.Sleep(10 * time.Second)
				facts.Wait()
				l.mustFetch(part(0), 6)
			})
		})
	}
}

// TestLatePageOfADeletedGroup: the first try of making a page comes late, after the group was deleted and made anew: its offsets do not come back.
func TestLatePageOfADeletedGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := 0
		facts := fault.New(mem.New(), fault.Plan{Hook: func(c fault.Call) fault.Action {
			if c.Op == fault.Transact && late == 0 {
				late++
				return fault.Action{Do: fault.Late, After: 2 * time.Second}
			}
			return fault.Action{Do: fault.Pass}
		}})
		l := lead(t, facts, 1)
		defer l.Close()
		l.mustCommit(part(0), 5)
		if err := l.delete(); err != nil {
			t.Fatal(err)
		}
		l.mustCommit(part(64), 6)
		time.Sleep(4 * idleTime) // it is read again
		facts.Wait()
		l.mustFetch(part(0), -1)
		l.mustFetch(part(64), 6)
	})
}
