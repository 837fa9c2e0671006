package simtest

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/agent"
	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
)

// onFacts asks f before each call of the named agents to the metastore.
func (s *clusterSim) onFacts(f func(agent string, c factfault.Call) factfault.Action, names ...string) {
	for _, name := range names {
		s.agents[name].facts.SetPlan(factfault.Plan{Hook: func(c factfault.Call) factfault.Action { return f(name, c) }})
	}
}

// onObjects asks f before each call of the named agents to the object store.
func (s *clusterSim) onObjects(f func(agent string, op objfault.Op, key string) objfault.Action, names ...string) {
	for _, name := range names {
		s.agents[name].objects.SetPlan(objfault.Plan{Hook: func(op objfault.Op, key string) objfault.Action { return f(name, op, key) }})
	}
}

// well ends all faults of the stores.
func (s *clusterSim) well() {
	for _, p := range s.agents {
		p.objects.SetPlan(objfault.Plan{})
		p.facts.SetPlan(factfault.Plan{})
	}
}

// expectSessions: so many sessions were begun, and so many of them were fenced.
func (s *clusterSim) expectSessions(begun, fenced int) {
	s.t.Helper()
	sessions, _, _ := s.facts.snapshot()
	s.facts.mu.Lock()
	fences := s.facts.fences
	s.facts.mu.Unlock()
	if len(sessions) != begun || fences != fenced {
		s.violation("E6: %d sessions, %d of them fenced; want %d and %d", len(sessions), fences, begun, fenced)
	}
}

func isWrite(c factfault.Call) bool { return c.Op == factfault.Write || c.Op == factfault.Transact }

func isSession(c factfault.Call) bool { return strings.Contains(c.Key.PK, "/S#") && c.Key.SK == "-" }

func isWAL(op objfault.Op, key string) bool {
	p, err := objstore.Parse(key)
	return op == objfault.Put && err == nil && p.Kind == objstore.KindWAL
}

// R1: the reply of every second PUT is lost; it is repeated under the same key.
func TestR1PutRepliesLost(t *testing.T) {
	script(t, func(s *clusterSim) {
		var n atomic.Int64
		s.onObjects(func(_ string, op objfault.Op, _ string) objfault.Action {
			if op == objfault.Put && n.Add(1)%2 == 0 {
				return objfault.Action{Do: objfault.Lose}
			}
			return objfault.Action{}
		}, s.names...)
		time.Sleep(20 * time.Second)
		s.well()
		s.expectSessions(3, 0)
	})
}

// R3, Z4: the reply of every conditional write is lost once, or repeated below the caller, whose second answer is then a failed condition.
func TestR3RepliesLost(t *testing.T) {
	for name, do := range map[string]factfault.What{"lost": factfault.Lose, "retried below": factfault.Retry} {
		t.Run(name, func(t *testing.T) {
			script(t, func(s *clusterSim) {
				var n atomic.Int64
				s.onFacts(func(_ string, c factfault.Call) factfault.Action {
					if isWrite(c) && (do == factfault.Retry || n.Add(1)%2 == 0) {
						return factfault.Action{Do: do}
					}
					return factfault.Action{}
				}, s.names...)
				for range 4 {
					s.move(0, "a")
					s.move(0, "b")
				}
				time.Sleep(20 * time.Second)
				s.well()
				s.expectSessions(3, 0)
			})
		})
	}
}

// R6: every fifth bundle takes 2 s longer than those after it; its agent is killed while there is a hole.
func TestR6Hole(t *testing.T) {
	script(t, func(s *clusterSim) {
		var n atomic.Int64
		s.onObjects(func(_ string, op objfault.Op, key string) objfault.Action {
			if isWAL(op, key) && n.Add(1)%5 == 0 {
				return objfault.Action{Do: objfault.Pass, Delay: 2 * time.Second}
			}
			return objfault.Action{}
		}, s.names...)
		for range 3 {
			time.Sleep(3 * time.Second)
			s.kill("a", true)
			time.Sleep(5 * time.Second)
			s.revive("a")
			s.allReady(time.Minute)
		}
		s.well()
	})
}

// R7: bundles of an agent land while its commits do not. Then it dies: nobody takes them for the log.
func TestR7ExistenceIsNotCommitment(t *testing.T) {
	script(t, func(s *clusterSim) {
		s.net.cut("a", factsHost)
		time.Sleep(4 * time.Second)
		s.kill("a", false)
		s.net.mend("a", factsHost)
		time.Sleep(15 * time.Second)
		s.revive("a")
	})
}

// R27: every write of the metastore and every PUT comes once more, up to 20 s later.
func TestR27EverythingTwice(t *testing.T) {
	script(t, func(s *clusterSim) {
		twice := func() {
			s.onFacts(func(_ string, c factfault.Call) factfault.Action {
				if isWrite(c) {
					return factfault.Action{Do: factfault.Twice, After: time.Duration(len(c.Key.PK)%20) * time.Second}
				}
				return factfault.Action{}
			}, s.names...)
			s.onObjects(func(_ string, op objfault.Op, key string) objfault.Action {
				if op == objfault.Put {
					return objfault.Action{Do: objfault.Twice, After: time.Duration(len(key)%20) * time.Second}
				}
				return objfault.Action{}
			}, s.names...)
		}
		twice()
		s.move(0, "a")
		s.move(0, "b")
		s.kill("b", true)
		time.Sleep(5 * time.Second)
		s.revive("b")
		twice()
		s.allReady(time.Minute)
		s.move(0, "b")
		time.Sleep(20 * time.Second)
		s.well()
	})
}

// Z3: a commit is applied, and its agent dies before it can answer the clients.
func TestZ3CommittedAndDead(t *testing.T) {
	script(t, func(s *clusterSim) {
		for range 3 {
			for _, name := range s.names {
				p := s.agents[name]
				s.onFacts(func(_ string, c factfault.Call) factfault.Action {
					if c.Op == factfault.Write && isSession(c) && c.Purpose == metastore.PurposeCommit {
						return factfault.Action{Do: factfault.CrashAfter}
					}
					return factfault.Action{}
				}, name)
				<-p.facts.Crashed()
				s.kill(name, false)
				time.Sleep(4 * time.Second)
				s.revive(name)
				s.allReady(time.Minute)
			}
		}
	})
}

// Z9: observers whose clocks run 10 % faster or slower fence earlier or later, and lose nothing.
func TestZ9Clocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 1)
		defer s.end()
		s.change = func(c *agent.Config) {
			rate := map[string]time.Duration{"a": 90, "b": 110, "c": 100}[c.Name]
			c.TTL, c.Heartbeat, c.Poll, c.Flush = c.TTL*rate/100, c.Heartbeat*rate/100, c.Poll*rate/100, c.Flush*rate/100
		}
		s.startAll()
		parts := s.topic("t", 6)
		w := s.workload()
		w.produce("p0", parts, 200*time.Millisecond)
		w.consume("r0", parts)
		time.Sleep(time.Minute)
		s.expectSessions(3, 0)
		for _, name := range s.names {
			s.net.freeze(name)
			time.Sleep(15 * time.Second)
			s.net.thaw(name)
			time.Sleep(15 * time.Second)
		}
		s.settle(w, parts)
	})
}

// Z11: the metastore is down for five minutes under load. Nothing is acked meanwhile, and nobody is fenced after it.
func TestZ11NoMetastore(t *testing.T) {
	script(t, func(s *clusterSim) {
		for _, name := range s.names {
			s.net.cut(name, factsHost)
			s.net.cut(factsHost, name)
		}
		time.Sleep(5 * time.Minute)
		s.net.mendAll()
		time.Sleep(30 * time.Second)
		s.expectSessions(3, 0)
	})
}

// Z12: the same with the object store: back-pressure, and no session ends.
func TestZ12NoObjectStore(t *testing.T) {
	script(t, func(s *clusterSim) {
		for _, name := range s.names {
			s.net.cut(name, objectsHost)
			s.net.cut(objectsHost, name)
		}
		time.Sleep(5 * time.Minute)
		s.net.mendAll()
		time.Sleep(30 * time.Second)
		s.expectSessions(3, 0)
	})
}

// Z18: in their first seconds the agents find a store that refuses or does not answer, also between two steps of the start.
func TestZ18FirstSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 1)
		defer s.end()
		for i, name := range s.names {
			p := s.start(name)
			p.facts.SetPlan(factfault.Plan{Seed: uint64(i), Rates: factfault.All(factfault.Rates{Throttle: .3, Error: .2, Lost: .2, Jitter: 100 * time.Millisecond})})
			p.objects.SetPlan(objfault.Plan{Seed: uint64(i), Rates: objfault.All(objfault.Rates{Throttle: .3, Error: .2, Lost: .2, Jitter: 100 * time.Millisecond})})
		}
		time.Sleep(time.Second)
		s.net.cut("a", factsHost)
		s.net.cut("b", objectsHost)
		time.Sleep(4 * time.Second)
		s.net.mendAll()
		s.well()
		s.allReady(2 * time.Minute)
		parts := s.topic("t", 6)
		w := s.workload()
		w.produce("p0", parts, 200*time.Millisecond)
		time.Sleep(10 * time.Second)
		s.settle(w, parts)
	})
}

// A client whose connection was not answered yet when its agent goes away is reset: at the end of a stream before the first answer
// kgo takes the port for one that wants TLS, and gives its records up.
func TestUnansweredIsReset(t *testing.T) {
	script(t, func(s *clusterSim) {
		var conns []net.Conn
		for _, name := range s.names {
			c, err := s.net.host("raw").Dial(s.t.Context(), name+":9092")
			if err != nil {
				s.t.Fatal(err)
			}
			conns = append(conns, c)
		}
		s.net.freeze("b")
		time.Sleep(15 * time.Second)
		s.net.thaw("b") // and it learns that it was fenced
		_ = s.stop("a")
		time.Sleep(5 * time.Second)
		for i, name := range []string{"a", "b"} {
			_ = conns[i].SetReadDeadline(time.Now().Add(time.Second))
			if _, err := conns[i].Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				s.violation("E1: a connection to %s that was never answered ends with %v", name, err)
			}
		}
		s.revive("a")
	})
}
