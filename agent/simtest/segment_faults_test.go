package simtest

import (
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
)

// segmentFaults are those that only the log's second life meets often enough to say anything.
var segmentFaults = []fault{
	{"kill at a rewrite", (*clusterSim).faultKillAtRewrite},
	{"rewrites land late", (*clusterSim).faultLateRewrites},
	{"deletes fail in part", (*clusterSim).faultPartialDeletes},
}

// isRewriteWrite reports whether a call to the table is the segment room's: packs, links, debits, the garbage queue.
func isRewriteWrite(c factfault.Call) bool {
	return isWrite(c) && c.Purpose == metastore.Purpose("segment")
}

// isRewritePut reports whether a call to the bucket writes a pack or a segment.
func isRewritePut(op objfault.Op, key string) bool {
	return op == objfault.Put && (isKind(key, objstore.KindPack) || isKind(key, objstore.KindSegment))
}

// faultKillAtRewrite kills an agent at one of its next writes to the table for packs and segments, done or not done, or just before it
// would put one of them.
func (s *clusterSim) faultKillAtRewrite() func() {
	name, after := s.anyAgent(), s.rng.IntN(2) == 0
	p := s.agents[name]
	if p.over() {
		return func() { s.revive(name) }
	}
	var left atomic.Int64
	left.Store(int64(1 + s.rng.IntN(12)))
	s.note("kill %s at its rewriting request %d from now (after it %v)", name, left.Load(), after)
	p.facts.SetPlan(factfault.Plan{Hook: func(c factfault.Call) factfault.Action {
		switch {
		case !isRewriteWrite(c) || left.Add(-1) != 0:
			return factfault.Action{}
		case after:
			return factfault.Action{Do: factfault.CrashAfter}
		}
		return factfault.Action{Do: factfault.CrashFirst}
	}})
	p.objects.SetPlan(objfault.Plan{Hook: func(op objfault.Op, key string) objfault.Action {
		if isRewritePut(op, key) && left.Add(-1) == 0 {
			p.facts.Crash(true)
		}
		return objfault.Action{}
	}})
	go s.killCrashed(name, p)
	return func() { s.revive(name) }
}

// faultLateRewrites has some of an agent's rewriting requests land up to longer than the grace later, their answers lost.
func (s *clusterSim) faultLateRewrites() func() {
	name, every, after := s.anyAgent(), int64(1+s.rng.IntN(4)), upTo(s.rng, 50*time.Second)
	p := s.agents[name]
	s.note("every %d. rewriting request of %s lands %v later", every, name, after)
	var n atomic.Int64
	p.facts.SetPlan(factfault.Plan{Hook: func(c factfault.Call) factfault.Action {
		if isRewriteWrite(c) && n.Add(1)%every == 0 {
			return factfault.Action{Do: factfault.Late, After: after}
		}
		return factfault.Action{}
	}})
	p.objects.SetPlan(objfault.Plan{Hook: func(op objfault.Op, key string) objfault.Action {
		if isRewritePut(op, key) && n.Add(1)%every == 0 {
			return objfault.Action{Do: objfault.Late, After: after}
		}
		return objfault.Action{}
	}})
	return func() {
		p.objects.SetPlan(objfault.Plan{})
		p.facts.SetPlan(factfault.Plan{})
	}
}

// faultPartialDeletes has the store delete some of what it is asked to, and say so or say nothing.
func (s *clusterSim) faultPartialDeletes() func() {
	s.note("deletes fail in part")
	for _, p := range s.agents {
		plan := objfault.Plan{Seed: s.rng.Uint64()}
		plan.Rates[objfault.Delete] = objfault.Rates{Partial: .4, Error: .2, Lost: .2, Late: .1, LateFor: 20 * time.Second}
		p.objects.SetPlan(plan)
	}
	return func() {
		for _, p := range s.agents {
			p.objects.SetPlan(objfault.Plan{})
		}
	}
}
