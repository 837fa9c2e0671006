// Package partition is what the leader of a slot knows of its partitions: which offsets are taken, which are committed,
// where the committed bytes lie, which idempotent producers wrote last, and who waits for more.
//
// A partition has two layers. Its log is the committed one: a fold over the footers of committed bundles and nothing else,
// the same code at a commit, at a replay and for a snapshot (log.go, tail.go, fold.go; pure). Above it lies what is appended
// and not committed yet: the log end and the live state of producers with a batch under way, which only the leader's memory
// has, and which vanishes with the session (partition.go). Consumers, snapshots and duplicates that were answered never see
// the second layer.
//
// # A slot
//
// Begin takes over what a Fold replayed: the slot is being opened, and nobody is served. CaptureOpening is the snapshot that its slot-open
// record names; when Committed sees the record the slot is open. Drain ends its appends for a hand-over, Resume takes that back.
// Leave gives it up: requests hear ErrNotLeader, and the committed log stays frozen, under the epoch of that time, because
// the new leader may fall before it wrote anything and the one after it reads this session's snapshots. So every Capture
// has each slot that is open, as it is, and each frozen one, as it was, until Forget; a slot that comes back is the frozen one
// until its new slot-open is committed, and from then on the new one. What is only appended is in none.
//
// # Where the bytes lie
//
// The tail index knows where the newest records lie: in WAL bundles, by flush, or in packs, whose runs take the place of those that
// hold the same offsets (Replace). What was linked as extents it forgets (Tiered): from the log start up to the tail's first offset
// the records are in segments, which this package knows nothing of. Neither changes the log: offsets, epochs and producers stay.
//
// A run that left the tail may be named by the snapshot from which a successor opens the slot. So Sources and Needed, by which WALs
// are freed, count the logs as they are and what snapshots name: the newest that is recorded, and all that were taken since, until
// Recorded says that a later one is (durable.go).
//
// # Memory and time
//
// A partition that holds nothing costs nothing until a client asks for it, and about 210 bytes then; an idle one with a run and a
// producer about 540 (bench_test.go). The tail index takes 32 bytes per run. A snapshot shares the logs: Capture
// only marks them, under one lock per slot, and the next change of one begins with a copy of what is not append-only, which
// is its producers. Sources looks at where the session changes in each log, not at its runs; a search by time at the largest
// timestamps of blocks of runs.
//
// The package calls no store. It hands batches to an Appender, the WAL, and hears of commits through Set.Committed.
//
// The table of objects forgets, at each recorded snapshot, those that no log names any more.
//
// Goroutines: none of its own. Locks: objects.holds, Set.mu, then Partition.mu, then the Appender's; the table of objects has one of
// its own, taken last, and so have what snapshots name, and the list of those. None is held over a send, a sleep or a call that may
// block: Appender.Append, and what Partition.Queue calls, only queue.
package partition
