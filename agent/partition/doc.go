// Package partition is what the leader of a slot knows of its partitions: which offsets are taken, which are committed,
// where the committed bytes lie, which idempotent producers wrote last, and who waits for more.
//
// A partition has two layers. Its log is the committed one: a fold over the footers of committed bundles and nothing else,
// the same code at a commit, at a replay and for a snapshot (log.go, fold.go; both pure). Above it lies what is appended
// and not committed yet: the log end and the producers' live state, which only the leader's memory has, and which vanishes
// with the session (partition.go). Consumers, snapshots and duplicates that were answered never see the second layer.
//
// The package calls no store. It hands batches to an Appender, the WAL, and hears of commits through Set.Committed.
//
// Goroutines: none of its own. Locks: Set.mu, then Partition.mu, then the Appender's; the table of objects has a lock of its
// own, taken last. None is held over a send, a sleep or a call that may block: Appender.Append only queues.
package partition
