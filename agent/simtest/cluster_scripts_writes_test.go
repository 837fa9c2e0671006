package simtest

import (
	"testing"
	"time"

	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
)

// E6, F11: the table answers reads and takes no writes, from nobody. All heartbeats stand still, which all can see: that is no
// reason to fence anybody, neither then nor when writes go through again.
func TestE6NoWrites(t *testing.T) {
	for _, d := range []time.Duration{8 * time.Second, time.Minute, 5 * time.Minute} {
		t.Run(d.String(), func(t *testing.T) {
			script(t, func(s *clusterSim) {
				s.onFacts(func(_ string, c factfault.Call) factfault.Action {
					if isWrite(c) {
						return factfault.Action{Do: factfault.Fail, Err: metastore.ErrThrottled}
					}
					return factfault.Action{Do: factfault.Pass}
				}, s.names...)
				time.Sleep(d)
				s.well()
				time.Sleep(30 * time.Second)
				s.expectSessions(3, 0)
			})
		})
	}
}
