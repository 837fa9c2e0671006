package group

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/mem"
)

// TestPanicAnswersOthers: a request has a group panic: those that were taken together with it are answered, and the next finds the group.
func TestPanicAnswersOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lead(t, fault.New(mem.New(), fault.Plan{Hook: func(fault.Call) fault.Action {
			return fault.Action{Do: fault.Pass, Delay: 10 * time.Millisecond}
		}}), 1)
		defer l.Close()
		l.mustCommit(part(0), 5)
		time.Sleep(2 * idleTime)
		nothing := message{serve: func(*actor, time.Time) {}, fail: func(error) {}, gone: func() {}}
		l.send("g", nothing) // while it reads the group the others come
		synctest.Wait()
		fails := nothing
		fails.serve = func(*actor, time.Time) { panic("on purpose") }
		l.send("g", fails)
		if _, err := l.fetch(part(0)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("taken together with one that panics: %v", err)
		}
		l.mustFetch(part(0), 5)
	})
}
