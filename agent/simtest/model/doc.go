// Command model is the executable form of the storage and fail-over protocol (agent/ARCHITECTURE.md): an explicit-state
// search over all interleavings within small bounds, and seeded random walks beyond them. A change of the protocol
// starts here; states, items and steps have the names that they have in agent/cluster, agent/wal and agent/partition.
//
//	go run ./agent/simtest/model -cfg base              search one configuration breadth first
//	go run ./agent/simtest/model -cfg live -graph       the same, and ask for progress and leaks
//	go run ./agent/simtest/model -cfg deep -walk 100000 random walks
//	go run ./agent/simtest/model -mutants all -loss     drop each rule in turn; every line must name a violation
//	go test ./agent/simtest/model                       a short run of all of these
//	go run ./agent/simtest/model -cfg merge             search one configuration of the log's second life
//	make model                                          every configuration whole, then the walks
//
// # Modelled
//
//   - PUTs of WAL bundles, several under way, landing late or after the fence; commit of the contiguous prefix with lost and late
//     replies; crash, pause (a process that simply takes no step) and restart as a new session.
//   - Fence, seal with pending, reassign by anybody, from[], open with the stop rule, slot-open, serve, drain.
//   - from[] loses the sessions that keep nothing, one by one, and is shortened to the newest entry of each.
//   - Time-outs, all of them as steps that may come at any time: a fence, a hand-over given up, a seal or a take-over by another. With Beats
//     a fence is two steps with a condition on the heartbeat, which each commit is: who gave a sign of life in between is not fenced.
//   - LIST at a start: no bundle ever lies further beyond committed than the flushes under way may go.
//   - Hand-over in two steps (pin, update of the slot item), to live, dead and drained sessions, with a lost reply or late; close.
//   - Pins in an item of their own, written only together with a look at the session, and read by the sealer after the fence.
//   - Snapshots, trim, segments linked by compare, log start; deletion at the first moment the rules allow it, which is the worst.
//   - One update of the metastore under way in the network (snap, hand-over, unpin, reassign, seal), applied late or never.
//   - A name deleted and created again, agents with stale caches; one idempotent producer, retrying anywhere; acks=1 records.
//   - Consumers: whatever is below a high watermark of anyone who believes to lead counts as read.
//
// In every state the check plays a take-over: were the leader fenced now, what would its successor find?
//
// The log's second life has a model of its own (life_*.go, agent/segment), which takes the protocol above for granted: one slot, leaders
// that follow each other by fence and open, the ones before as zombies.
//
//   - Packs of several partitions: item, object, memory, each a step; merges of packs; segments, also from inside of a run; links by
//     transaction; counters of packs, and debits of what a merge took out, after the snapshot that knows of it is recorded.
//   - Links and debits of unknown outcome, applied late or never, recognised by segment or nonce.
//   - Snapshots: PUT, recorded, learnt; trim and drain by what memory and every snapshot names that a successor may open from.
//   - Merges of two neighbouring segments: object, transaction, outcomes that are unknown and come late; the sweep, which leaves them to their writer.
//   - Log start, tiered that follows it, unlinking; a topic that is deleted, its runs buried; the sweep of orphaned segments.
//   - The queue G#: queued in the transaction that makes garbage, its grace, deletion, confirmation; a reader with an old index entry.
//
// # Not modelled
//
// Log compaction, replicated acks, zone ingest, groups and transactions, LSO, clocks (no rule looks at one), a table that went back in time,
// several partitions of a slot except in a topic's two lives and in packs; hand-overs of packs. A commit that is applied after the crash of
// its agent is the same as one applied before. A
// bundle that lands after its session can no longer commit it is dropped, except in the mutants that would look at it.
package main
