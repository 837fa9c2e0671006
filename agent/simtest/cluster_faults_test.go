package simtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/records"
	objfault "github.com/varvelog/varve/objstore/fault"
)

// fault is something that goes wrong for a while. It returns what heals it.
type fault struct {
	name string
	do   func(s *clusterSim) (heal func())
}

var faults = []fault{
	{"kill", (*clusterSim).faultKill},
	{"kill at a write", (*clusterSim).faultKillAtWrite},
	{"kill all", (*clusterSim).faultKillAll},
	{"restart", (*clusterSim).faultRestart},
	{"freeze", (*clusterSim).faultFreeze},
	{"cut agents", (*clusterSim).faultCutAgents},
	{"cut a store", (*clusterSim).faultCutStore},
	{"cut a client", (*clusterSim).faultCutClient},
	{"resets", (*clusterSim).faultResets},
	{"slow link", (*clusterSim).faultSlowLink},
	{"objects fail", (*clusterSim).faultObjects},
	{"facts fail", (*clusterSim).faultFacts},
	{"throttled", (*clusterSim).faultThrottled},
	{"move a slot", (*clusterSim).faultMove},
}

// misbehave draws which faults this run has (swarm: some, not all), and lets them happen until the time is over. At the end
// everything is healed and every agent runs.
func (s *clusterSim) misbehave(d time.Duration, clients ...string) {
	kinds := slices.Concat(faults, s.more)
	s.rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	kinds = kinds[:1+s.rng.IntN(5)]
	for _, k := range kinds {
		s.note("this run has: %s", k.name)
	}
	pause := time.Duration(1+s.rng.IntN(8)) * time.Second
	var heal []func()
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(upTo(s.rng, pause))
		f := kinds[s.rng.IntN(len(kinds))]
		if h := f.do(s); h != nil {
			heal = append(heal, h)
		}
		if len(heal) > 0 && s.rng.IntN(2) == 0 {
			time.Sleep(upTo(s.rng, 15*time.Second))
			i := s.rng.IntN(len(heal))
			heal[i]()
			heal = slices.Delete(heal, i, i+1)
		}
	}
	s.note("everything is healed")
	for _, h := range heal {
		h()
	}
	s.net.mendAll()
	for _, p := range s.agents {
		p.objects.SetPlan(objfault.Plan{})
		p.facts.SetPlan(factfault.Plan{})
	}
	for _, name := range s.names {
		if s.agents[name].over() {
			s.revive(name)
		}
	}
}

func upTo(rng *rand.Rand, d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }

func (s *clusterSim) anyAgent() string { return s.names[s.rng.IntN(len(s.names))] }

// revive starts an agent if it does not run.
func (s *clusterSim) revive(name string) {
	if s.agents[name].over() {
		s.note("start %s", name)
		s.start(name)
	}
}

func (s *clusterSim) faultKill() func() {
	name := s.anyAgent()
	s.kill(name, s.rng.IntN(2) == 0)
	return func() { s.revive(name) }
}

// faultKillAtWrite kills an agent just before or after one of its next writes to the table.
func (s *clusterSim) faultKillAtWrite() func() {
	name, after, left := s.anyAgent(), s.rng.IntN(2) == 0, 1+s.rng.IntN(30)
	p := s.agents[name]
	if p.over() {
		return func() { s.revive(name) }
	}
	s.note("kill %s at its write %d from now (after it %v)", name, left, after)
	countdown := make(chan int, 1)
	countdown <- left
	p.facts.SetPlan(factfault.Plan{Hook: func(c factfault.Call) factfault.Action {
		if c.Op != factfault.Write && c.Op != factfault.Transact {
			return factfault.Action{}
		}
		n := <-countdown
		countdown <- n - 1
		switch {
		case n != 1:
			return factfault.Action{}
		case after:
			return factfault.Action{Do: factfault.CrashAfter}
		}
		return factfault.Action{Do: factfault.CrashFirst}
	}})
	go s.killCrashed(name, p)
	return func() { s.revive(name) }
}

// killCrashed waits until a process of an agent is over, and kills the rest of it when its table has crashed.
func (s *clusterSim) killCrashed(name string, p *process) {
	select {
	case <-p.facts.Crashed():
		s.kill(name, true)
	case <-p.done:
	}
}

func (s *clusterSim) faultKillAll() func() {
	for _, name := range s.names {
		s.kill(name, s.rng.IntN(2) == 0)
	}
	return func() {
		for _, name := range s.names {
			s.revive(name)
		}
	}
}

func (s *clusterSim) faultRestart() func() {
	name := s.anyAgent()
	if s.agents[name].over() {
		return func() { s.revive(name) }
	}
	_ = s.stop(name) // with other faults about, it may not end well
	s.revive(name)
	return nil
}

// faultFreeze stops an agent's traffic; half of the time for longer than the TTL, so that it comes back as a zombie.
func (s *clusterSim) faultFreeze() func() {
	name := s.anyAgent()
	s.note("freeze %s", name)
	s.net.freeze(name)
	d := upTo(s.rng, 24*time.Second)
	time.Sleep(d)
	s.note("thaw %s after %v", name, d)
	s.net.thaw(name)
	return nil
}

func (s *clusterSim) cutFor(a, b string) func() {
	how := s.rng.IntN(3)
	s.note("cut %s and %s (0 both ways, 1 there, 2 back: %d)", a, b, how)
	if how != 2 {
		s.net.cut(a, b)
	}
	if how != 1 {
		s.net.cut(b, a)
	}
	return func() {
		s.note("mend %s and %s", a, b)
		s.net.mend(a, b)
		s.net.mend(b, a)
	}
}

func (s *clusterSim) faultCutAgents() func() {
	i := s.rng.IntN(len(s.names))
	return s.cutFor(s.names[i], s.names[(i+1+s.rng.IntN(len(s.names)-1))%len(s.names)])
}

func (s *clusterSim) faultCutStore() func() {
	return s.cutFor(s.anyAgent(), []string{objectsHost, factsHost}[s.rng.IntN(2)])
}

func (s *clusterSim) faultCutClient() func() {
	return s.cutFor(s.anyAgent(), fmt.Sprintf("p%d", s.rng.IntN(3)))
}

// faultResets resets the link of two agents, or of an agent and a client, every 50 ms.
func (s *clusterSim) faultResets() func() {
	a, b := s.anyAgent(), []string{"a", "b", "c", "p0", "p1", "r0"}[s.rng.IntN(6)]
	s.note("reset %s and %s every 50 ms", a, b)
	for range 20 + s.rng.IntN(200) {
		time.Sleep(50 * time.Millisecond)
		s.net.reset(a, b)
	}
	return nil
}

func (s *clusterSim) faultSlowLink() func() {
	a := s.anyAgent()
	b := []string{objectsHost, factsHost, "a", "b", "c"}[s.rng.IntN(5)]
	d := upTo(s.rng, 2*time.Second)
	s.note("from %s to %s takes %v", a, b, d)
	s.net.delay(a, b, d)
	return func() { s.net.delay(a, b, 0) }
}

func (s *clusterSim) faultObjects() func() {
	name := s.anyAgent()
	s.note("objects fail for %s", name)
	r := objfault.Rates{
		Jitter: 300 * time.Millisecond, Stall: .02, StallFor: upTo(s.rng, 12*time.Second), Throttle: .1 * s.rng.Float64(), Error: .1 * s.rng.Float64(),
		Lost: .3 * s.rng.Float64(), Late: .2 * s.rng.Float64(), Twice: .2 * s.rng.Float64(), LateFor: upTo(s.rng, time.Minute),
	}
	p := s.agents[name]
	p.objects.SetPlan(objfault.Plan{Seed: s.rng.Uint64(), Rates: objfault.All(r)})
	return func() { p.objects.SetPlan(objfault.Plan{}) }
}

func (s *clusterSim) faultFacts() func() {
	name := s.anyAgent()
	s.note("facts fail for %s", name)
	r := factfault.Rates{
		Jitter: 50 * time.Millisecond, Stall: .02, StallFor: upTo(s.rng, 12*time.Second), Throttle: .1 * s.rng.Float64(), Error: .1 * s.rng.Float64(),
		Conflict: .1 * s.rng.Float64(), Lost: .3 * s.rng.Float64(), Retry: .3 * s.rng.Float64(), Late: .2 * s.rng.Float64(), Twice: .2 * s.rng.Float64(),
		LateFor: upTo(s.rng, 30*time.Second), Stale: .3, Short: .2,
	}
	p := s.agents[name]
	p.facts.SetPlan(factfault.Plan{Seed: s.rng.Uint64(), Rates: factfault.All(r)})
	return func() { p.facts.SetPlan(factfault.Plan{}) }
}

// faultThrottled has both stores refuse everybody now and then, in bursts.
func (s *clusterSim) faultThrottled() func() {
	s.note("both stores throttle everybody")
	for _, p := range s.agents {
		p.objects.SetPlan(objfault.Plan{Seed: s.rng.Uint64(), Burst: upTo(s.rng, 10*time.Second), Rates: objfault.All(objfault.Rates{Throttle: .05})})
		p.facts.SetPlan(factfault.Plan{Seed: s.rng.Uint64(), Burst: upTo(s.rng, 4*time.Second), Rates: factfault.All(factfault.Rates{Throttle: .05})})
	}
	return func() {
		for _, p := range s.agents {
			p.objects.SetPlan(objfault.Plan{})
			p.facts.SetPlan(factfault.Plan{})
		}
	}
}

// faultMove wishes a slot elsewhere, as a controller would: also as a second controller beside the true one.
func (s *clusterSim) faultMove() func() {
	_, _, slots := s.facts.snapshot()
	n := uint16(s.rng.IntN(8))
	slot, ok := slots[n]
	if !ok {
		return nil
	}
	to := s.anyAgent()
	err := s.wish(n, slot.V, to)
	s.note("slot %d of %s shall go to %s: %v", n, slot.Agent, to, err)
	return nil
}

// wish writes the want of a slot, if its version is v.
func (s *clusterSim) wish(slot uint16, v int64, to string) error {
	_, err := s.facts.Write(s.t.Context(), metastore.Op{
		Kind: metastore.OpUpdate, Key: s.facts.cluster.SlotKey(slot),
		Set: metastore.Item{records.AttrWant: metastore.S(to), records.AttrV: metastore.N(v + 1), records.AttrNonce: records.IDValue(uuid.New())},
		If:  []metastore.Cond{{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(v)}},
	})
	if err == nil { // so that agents see it at their next poll
		_, err = s.facts.Write(s.t.Context(), metastore.Op{Kind: metastore.OpUpdate, Key: s.facts.cluster.VersionKey(), Add: map[string]int64{records.AttrMap: 1}})
	}
	return err
}
