package cluster

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// A look at a heartbeat is under way when the session becomes suspect, and sees it move: then the consistent read shows nothing
// newer, and the session is alive all the same.
func TestALookThatOvertakesASuspicion(t *testing.T) {
	me, other := sessionID("a1"), sessionID("b1")
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	c := NewCore(CoreConfig{Cluster: "c", Session: me, Agent: "a", Node: 1, Slots: 1, Heartbeat: 3 * time.Second, TTL: 9 * time.Second, Poll: 3 * time.Second})
	c.Step(now, Tick{})
	effects := c.Step(now, Answer{Job: about(jobMap, uuid.Nil), Map: &Map{
		Live:   map[uuid.UUID]string{me: "a", other: "b"},
		Agents: []records.Agent{{Name: "a", NodeID: 1, Session: me}, {Name: "b", NodeID: 2, Session: other}},
		Slots:  []records.Slot{{Leader: other, Agent: "b"}},
	}})
	look := func(k Kind, hb int64) []Effect {
		return c.Step(now, Answer{Job: about(k, other), Session: records.Session{Agent: "b", State: records.Active, HB: hb}})
	}
	asks := func(how metastore.Consistency) bool {
		return slices.ContainsFunc(effects, func(e Effect) bool { r, ok := e.(ReadSession); return ok && r.Consistency == how })
	}
	for range 100 {
		if asks(metastore.Consistent) {
			break
		}
		if asks(metastore.Eventual) {
			look(jobWatch, 5)
		}
		now = now.Add(time.Second)
		effects = c.Step(now, Tick{})
	}
	if !asks(metastore.Consistent) || !asks(metastore.Eventual) {
		t.Fatalf("not suspected while a look is under way: %v", effects)
	}
	look(jobWatch, 6)
	for _, e := range look(jobSuspect, 6) {
		if w, ok := e.(Write); ok {
			t.Errorf("a session whose heartbeat moves: %v", w)
		}
	}
}
