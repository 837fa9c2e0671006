// Pure.

package group

import (
	"slices"
	"time"
)

// disturb begins a rebalance, or sees whether the one that is under way is complete.
func (g *Classic) disturb(now time.Time) {
	switch g.state {
	case Preparing:
		g.tryComplete(now)
		return
	case Completing:
		for _, id := range g.order {
			if m := g.members[id]; m.sync != nil {
				g.reply(m.sync, Synced{Err: ErrRebalance})
				m.sync = nil
				m.deadline = now.Add(m.session)
			}
		}
	case Empty:
		g.state, g.initial, g.grew = Preparing, true, false
		g.delay(now, g.longest())
		g.tryComplete(now)
		return
	}
	g.state, g.initial = Preparing, false
	g.deadline = now.Add(g.longest())
	g.tryComplete(now)
}

// delay waits for more first members, at most left altogether.
func (g *Classic) delay(now time.Time, left time.Duration) {
	wait := min(g.bounds.InitialDelay, left)
	g.deadline, g.remaining = now.Add(wait), left-wait
}

// longest is the longest time that a member gives others to join again.
func (g *Classic) longest() time.Duration {
	d := time.Duration(0)
	for _, m := range g.members {
		d = max(d, m.rebalance)
	}
	return d
}

// tryComplete ends Preparing when everybody has joined, or time is up.
func (g *Classic) tryComplete(now time.Time) {
	if g.state != Preparing {
		return
	}
	due := !now.Before(g.deadline)
	if g.initial {
		switch {
		case len(g.members) == 0 && len(g.pending) == 0:
		case !due:
			return
		case g.grew && g.remaining > 0:
			g.grew = false
			g.delay(now, g.remaining)
			return
		}
		g.complete(now)
		return
	}
	if due || g.allJoined() {
		g.complete(now)
	}
}

func (g *Classic) allJoined() bool {
	for _, m := range g.members {
		if m.join == nil {
			return false
		}
	}
	return len(g.pending) == 0
}

// complete begins the next generation with those who joined. A static member keeps its place until its session ends.
func (g *Classic) complete(now time.Time) {
	joined := 0
	for _, id := range slices.Clone(g.order) {
		m := g.members[id]
		if m.join != nil {
			joined++
		} else if m.instance == nil {
			g.remove(m, nil)
		}
	}
	if joined == 0 && len(g.members) > 0 {
		g.deadline = now.Add(max(g.longest(), time.Second)) // static members alone, none of which came: nobody could assign
		return
	}
	g.initial, g.deadline = false, time.Time{}
	g.generation = nextGeneration(g.generation)
	if len(g.members) == 0 {
		g.state, g.assignor, g.leader, g.emptied = Empty, "", "", now
		g.out.Save = true
		return
	}
	if l := g.members[g.leader]; l == nil || l.join == nil {
		g.leader = g.firstJoined()
	}
	g.assignor = g.vote()
	g.state, g.deadline = Completing, now.Add(g.longest())
	g.out.Save = true
	for _, id := range g.order {
		m := g.members[id]
		m.synced, m.assignment = m.join == nil, nil // nobody waits for a static member that did not come
		if m.join != nil {
			m.deadline = now.Add(m.session)
			g.reply(m.join, g.joined(m))
			m.join = nil
		}
	}
}

// nextGeneration counts from 1, and after the largest begins at 1 again.
func nextGeneration(n int32) int32 {
	if n == 1<<31-1 {
		return 1
	}
	return n + 1
}

func (g *Classic) firstJoined() string {
	for _, id := range g.order {
		if g.members[id].join != nil {
			return id
		}
	}
	return ""
}

// vote returns the protocol that most members prefer among those that all know. Each member votes for the first of its list that is
// one of them; of two with as many votes the one that the longest member names first wins.
func (g *Classic) vote() string {
	if len(g.order) == 0 {
		return ""
	}
	votes := map[string]int{} // of those that all know
	for _, p := range g.members[g.order[0]].protocols {
		if g.supports([]Protocol{p}) {
			votes[p.Name] = 0
		}
	}
	for _, id := range g.order {
		for _, p := range g.members[id].protocols {
			if _, ok := votes[p.Name]; ok {
				votes[p.Name]++
				break
			}
		}
	}
	best := ""
	for _, p := range g.members[g.order[0]].protocols {
		if votes[p.Name] > votes[best] {
			best = p.Name
		}
	}
	return best
}

// remove takes a member out. err answers what it has parked; nil: nothing is.
func (g *Classic) remove(m *member, err error) {
	if err != nil {
		g.dismiss(m, err)
	}
	delete(g.members, m.id)
	g.order = slices.DeleteFunc(g.order, func(id string) bool { return id == m.id })
	if m.instance != nil && g.static[*m.instance] == m.id {
		delete(g.static, *m.instance)
	}
	if g.leader == m.id {
		g.leader = ""
	}
}
