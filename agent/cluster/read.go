// Pure.

package cluster

import (
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

func about(k Kind, session uuid.UUID) Job { return Job{Kind: k, Session: session, Slot: -1} }

// read keeps the map up to date: when its version rose, and once in a while.
func (c *Core) read() {
	if j := about(jobVersion, uuid.Nil); (c.due(c.polled.Add(c.cfg.Poll)) || c.recount) && c.mapped && !c.running(j) {
		c.begin(j, ReadVersion{j, metastore.Consistency(c.recount)})
		c.polled, c.recount = c.now, false
	}
	every := rereadEvery
	if c.leadsFirst() {
		every = recheckEvery
	}
	if !c.mapped || c.stale || c.heard > c.version || c.due(c.asked.Add(every)) {
		c.readMap()
	}
}

func (c *Core) readMap() {
	j := about(jobMap, uuid.Nil)
	if c.running(j) {
		return
	}
	c.asked, c.stale, c.heardThen = c.now, false, c.heard
	known := map[uuid.UUID]bool{}
	for id, w := range c.sessions {
		if ended(w.item.State) {
			known[id] = true
		}
	}
	c.begin(j, ReadMap{j, known})
}

func (c *Core) versionRead(a Answer) {
	if a.Err != nil {
		return
	}
	if a.Version.Topic > c.topics {
		c.told = time.Time{} // the peers may not have seen it
	}
	c.heardOf(a.Version.Map, a.Version.Topic)
}

// heardOf notes versions that somebody knows of.
func (c *Core) heardOf(version, topics int64) {
	c.heard = max(c.heard, version)
	if topics > c.topics {
		c.topics = topics
		c.emit(Topics{topics})
	}
}

func (c *Core) toldBy(e Told) {
	if w := c.sessions[e.From]; w != nil {
		w.alive, w.closing, w.cut = c.now, w.closing || e.Notice.Closing, time.Time{}
	}
	for _, l := range e.Notice.Loads {
		c.loads[l.Slot] = l
	}
	c.heardOf(e.Notice.Map, e.Notice.Topics)
}

// rates takes in what this agent's own slots cost. Of those that it could not measure yet it passes on what their last leaders told: who
// has just started has not heard it.
func (c *Core) rates(loads []peer.Load) {
	c.mine = slices.Clone(loads)
	told := map[uint16]bool{}
	for _, l := range loads {
		c.loads[l.Slot], told[l.Slot] = l, true
	}
	for _, n := range sorted(c.held) {
		if l, known := c.loads[n]; known && !told[n] {
			c.mine = append(c.mine, l)
		}
	}
}

// tell lets the peers know of what they may want to look at.
func (c *Core) tell() {
	every := tellEvery
	if c.now.Sub(c.born) < youngFor {
		every = tellYoung
	}
	if c.due(c.told.Add(every)) {
		c.told = c.now
		c.emit(Tell{peer.Notice{Map: c.version, Topics: c.topics, Loads: c.mine}})
	}
}

// mapRead takes in a map.
func (c *Core) mapRead(a Answer) {
	if a.Err != nil || a.Map == nil {
		return
	}
	m := a.Map
	first := !c.mapped // what this map says may have been so for long
	c.mapped, c.version = true, max(c.version, a.Version.Map)
	if c.heard == c.heardThen { // nobody told of more since the read began: this is all there is
		c.heard = c.version
	}
	c.heardOf(a.Version.Map, a.Version.Topic)
	for _, s := range m.Slots {
		c.learnSlot(s)
	}
	newest := int64(0)
	for _, item := range m.Agents {
		newest = max(newest, item.Started)
	}
	for _, item := range m.Agents {
		c.agents[item.Name] = item
		if item.Lived != uuid.Nil && !c.lived[item.Lived] {
			c.lived[item.Lived] = true
			if !first || newest-item.Started < trustAfter.Milliseconds() { // this session's own start is among them
				c.trustLess(item.Name)
			}
		}
	}
	for id, name := range m.Live {
		w := c.session(id)
		w.agent, w.listed = name, true
	}
	for id, s := range m.Past {
		c.learnSession(id, s)
	}
	for id, w := range c.sessions {
		if _, live := m.Live[id]; !live {
			w.listed = false
		}
	}
	c.prune()
}

// prune forgets sessions that nothing names any more.
func (c *Core) prune() {
	named := map[uuid.UUID]bool{}
	for i := range c.slots {
		s := &c.slots[i]
		named[s.item.Leader] = true
		for _, f := range s.item.From {
			named[f.Session] = true
		}
	}
	for id, w := range c.sessions {
		if !named[id] && !w.listed {
			delete(c.sessions, id)
		}
	}
}

// trustLess gives a name the whole TTL for a while: it was fenced and lived.
func (c *Core) trustLess(name string) {
	c.wary[name] = c.now.Add(trustAfter)
	c.say(slog.LevelWarn, "an agent was fenced while it lived: for a while only its heartbeat counts", "agent", name, "for", trustAfter)
}

// raise lets everybody know that the map changed, once all writes that are under way are done, or take too long.
func (c *Core) raise() {
	if c.changed && !c.soon(jobTake, jobWant, jobHand, jobUnlist) {
		j := about(jobRaise, uuid.Nil)
		if !c.running(j) {
			c.changed = false
			c.begin(j, Write{j, raiseOps(c.cfg.Cluster), "raise the version of the map"})
		}
	}
}

// raised: if nobody else raised the version meanwhile, what is known is the whole map.
func (c *Core) raised(a Answer) {
	v, err := records.DecodeVersion(a.Item)
	if a.Err != nil || err != nil {
		c.stale = true
		return
	}
	if v.Map == c.version+1 {
		c.version = v.Map
	}
	c.heardOf(v.Map, v.Topic)
	c.told = c.now
	c.emit(Tell{peer.Notice{Map: v.Map, Topics: c.topics, Loads: c.mine}})
}
