// Package cluster is an agent's place among agents: its node id, its session, the slots it leads, and who else is there.
//
// Everything is a conditional write that may be repeated by anybody and recognises its own success; the writes themselves are in
// protocol.go. A session is over when its item says so, whatever a clock says: clocks only decide when to try to fence.
//
// Join makes a session: it settles what an earlier session of the same name left behind (fence, seal), and registers the
// new one. Acquire takes the free slots, if there is no other live session. Run then drives a Core: a pure state machine that
// takes events (an answer, news from a peer, time) and returns effects (a read, a write, open these slots, hand that one over).
// Read core.go first, then watch.go (who is dead), end.go (fence, seal), control.go and place.go (who shall lead what),
// open.go, hand.go (slots of this agent), release.go (what earlier sessions keep), view.go. testdata holds plays of it all.
// Leave closes the session. Heartbeats are not here: the WAL's commits are the heartbeat.
//
// Goroutines: Run, one, by whoever calls it, which alone touches the Core; one per effect that is answered, waited for by Run. How
// many there are is bounded by the Core: constants in core.go. What peers tell waits in a queue under a lock that is held over
// nothing. The View is an atomic pointer to a value that never changes.
package cluster
