// Package wal is the write-ahead log of one session: all partitions that an agent leads are flushed together, one object and
// one conditional write a flush.
//
// A batch that is appended waits in a buffer. The flusher cuts the buffer, lays the batches out by slot, topic and
// partition in one bundle (the one copy a batch sees between the socket and the object store) and starts its PUT. Several
// PUTs are under way at once and may land in any order. The committer raises the session's committed pointer to the end of the
// longest prefix that is durable, by one conditional update, which is the heartbeat too; then it tells the Sink, in order,
// and everybody who waits. Nothing is acked, read or counted before that. Barrier waits for exactly this, of all that came before it.
//
// A snapshot of what is committed is written now and then, at the end, and when Snapshot asks for one, and named by the
// session item, of which the Sink hears; Trim says below which bundle nobody needs anything, never beyond what the named snapshot
// covers, and queues what it passes for deletion, in one transaction.
//
// What decides is pure: when to cut (policy.go), what to commit and what an answer means (commit.go, trim.go), when to send a
// second PUT (objstore.Pace).
//
// A Replayer reads the logs that slots have in other sessions, dead or alive, or earlier in this one: for each slot the
// entries of its from[], newest first, until the session that served it under the entry's epoch. What counts of a session is the
// snapshot that its item names, then the footers below the entry's end, and of these the runs of the entry's epoch.
//
// Goroutines, all started by Run and waited for by it: the flusher; the committer, which alone calls the Sink and Done;
// one per PUT, at most Config.InFlight, each with at most one hedge; one that writes a snapshot, and one that deletes an old
// one. A replay has at most Replayer.Parallel of its own, and waits for them. Log.mu guards the buffer and is never held over
// I/O or a call out.
package wal
