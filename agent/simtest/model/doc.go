// Command model is the executable form of the storage and fail-over protocol (agent/ARCHITECTURE.md): an explicit-state
// search over all interleavings within small bounds, and seeded random walks beyond them. A change of the protocol
// starts here; states, items and steps have the names that they have in agent/cluster, agent/wal and agent/partition.
//
//	go run ./agent/simtest/model -cfg base              search one configuration breadth first
//	go run ./agent/simtest/model -cfg live -graph       the same, and ask for progress and leaks
//	go run ./agent/simtest/model -cfg deep -walk 100000 random walks
//	go run ./agent/simtest/model -mutants all -loss     drop each rule in turn; every line must name a violation
//	go test ./agent/simtest/model                       a short run of all of these
//	make model                                          every configuration whole, then the walks
//
// # Modelled
//
//   - PUTs of WAL bundles, several under way, landing late or after the fence; commit of the contiguous prefix with lost and late
//     replies; crash, pause (a process that simply takes no step) and restart as a new session.
//   - Fence, seal with pending, reassign by anybody, from[], open with the stop rule, slot-open, serve, clear from[], drain.
//   - Hand-over in two steps (pin, update of the slot item), to live, dead and drained sessions, with a lost reply or late; close.
//   - Pins in an item of their own, written only together with a look at the session, and read by the sealer after the fence.
//   - Snapshots, trim, segments linked by compare, log start; deletion at the first moment the rules allow it, which is the worst.
//   - One update of the metastore under way in the network (snap, hand-over, unpin, reassign, seal), applied late or never.
//   - A name deleted and created again, agents with stale caches; one idempotent producer, retrying anywhere; acks=1 records.
//   - Consumers: whatever is below a high watermark of anyone who believes to lead counts as read.
//
// In every state the check plays a take-over: were the leader fenced now, what would its successor find?
//
// # Not modelled
//
// Packs, merges and compaction, replicated acks, zone ingest, groups and transactions, LSO, clocks and heartbeats (a fence may come
// at any time), the queue G# and its grace (deletion is immediate), partial failure of batch deletes, LIST, several partitions of a
// slot except in a topic's two lives. A commit that is applied after the crash of its agent is the same as one applied before. A
// bundle that lands after its session can no longer commit it is dropped, except in the mutants that would look at it.
package main
