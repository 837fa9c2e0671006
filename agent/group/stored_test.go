package group

import (
	"testing"
	"time"
)

// TestPreparingOutlivesItsCoordinator: a coordinator is replaced while a classic group waits for its members to join again: the next one tells
// them to, instead of waiting for a Sync that nobody sends.
func TestPreparingOutlivesItsCoordinator(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	join := func(id string) Join {
		return Join{To: id, NewID: id, Session: 10 * time.Second, Rebalance: time.Minute, Type: "consumer", Protocols: []Protocol{{Name: "range"}}}
	}
	g := NewClassic(testBounds())
	g.Step(join("a"), now)
	g.Step(Sync{To: "a", Member: "a", Generation: 1}, now)
	g.Step(join("b"), now) // one save may be of the Sync and of this
	r, members := g.Record()
	g = Restore(testBounds(), r, members, now)
	out := g.Step(Heartbeat{To: "a", Member: "a", Generation: 1}, now.Add(time.Second))
	if got := out.Replies[0].Msg; got != (Beaten{ErrRebalance}) {
		t.Fatalf("the member that shall join again is told %v", got)
	}
	again := join("")
	for _, id := range []string{"a", "b"} {
		again.Member = id
		out = g.Step(again, now.Add(2*time.Second))
	}
	if len(out.Replies) != 2 || out.Replies[0].Msg.(Joined).Generation != 2 {
		t.Fatalf("the rebalance is not complete: %v", out.Replies)
	}
}

// TestStaticMembersInNoHurry: a static member that gives others no time at all is left alone, and does not come: time passes between two looks.
func TestStaticMembersInNoHurry(t *testing.T) {
	now, instance := time.Unix(1_000_000, 0), "i"
	g := NewClassic(testBounds())
	for _, id := range []string{"a", "b"} {
		j := Join{To: id, NewID: id, Session: 10 * time.Second, Type: "consumer", Protocols: []Protocol{{Name: "range"}}}
		if id == "a" {
			j.Instance = &instance
		}
		g.Step(j, now)
	}
	g.Step(Leave{To: "b", Leavers: []Leaver{{Member: "b"}}}, now)
	g.Step(Tick{}, now)
	if g.state != Preparing || !g.Next().After(now) {
		t.Errorf("%v, the next look is %v after this one", g.state, g.Next().Sub(now))
	}
}
