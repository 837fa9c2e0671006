package simtest

import (
	"testing"
	"time"
)

// R17: a machine is suspended for three minutes, and its clock with it: when it wakes up it believes that no time has gone by. Its next
// commit fails; nothing that it still sends counts, and it begins a new session. Each machine has its turn, then all at once.
func TestR17ClockStoodStill(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		r := playCore(t, seed, func(w *coreWorld) {
			w.plan.quiet, w.plan.node, w.plan.crashAt = true, 0, 0
			for _, n := range w.nodes {
				w.after(w.span(0, 3*time.Second), n.start)
			}
			for _, r := range w.readers {
				w.after(w.span(0, 8*time.Second), r.read)
			}
			w.run(20 * time.Second)
			for i, n := range w.nodes {
				n.suspend(3*time.Minute, true)
				w.run(w.now + 3*time.Minute + 30*time.Second)
				if lived := w.sometimes["an agent was fenced alive"]; lived != i+1 {
					w.fail("%d machines were suspended, %d sessions were told that they were fenced", i+1, lived)
				}
			}
			for _, n := range w.nodes {
				n.suspend(3*time.Minute, true)
			}
			w.run(w.now + 4*time.Minute)
			if lived := w.sometimes["an agent was fenced alive"]; lived != len(w.nodes) {
				w.fail("E6: all machines were suspended at once, and %d were fenced", lived-len(w.nodes))
			}
			w.heal()
			for _, p := range w.producers {
				p.stopped = true
			}
			w.until(2*time.Minute, "everything is served again", w.served)
			w.oracle.settleAll()
		})
		if r.bad != "" {
			t.Errorf("seed %d: %s", seed, r.bad)
		}
	}
}
