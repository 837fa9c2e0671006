// Package cluster is an agent's place among agents: its node id, its session, the slots it leads, and who else is there.
//
// Everything is a conditional write that may be repeated and recognises its own success; the writes themselves, and what
// their answers mean, are in protocol.go, which is pure. A session is over when its item says so, whatever a clock says:
// clocks only decide when to try to fence.
//
// Join makes a session: it settles what an earlier session of the same name left behind (fence, seal), and registers the
// new one. Acquire takes the slots that no live session leads. The member then keeps a View up to date by polling, until
// Leave closes the session. Heartbeats are not here: the WAL's commits are the heartbeat.
//
// Goroutines: Watch, one, by whoever calls it. The View is an atomic pointer to a value that never changes.
package cluster
