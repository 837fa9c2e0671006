// Package group is the coordinator of consumer groups: membership, generations, assignments, committed offsets.
//
// A group belongs to a slot, by its name (Slot); the agent that leads the slot coordinates it, under the slot's epoch. All that must
// survive is in the group's item and its pages (metastore/records), which carry the epoch of the coordinator that claimed them
// last, ce: whoever leads the slot claims a group at its first access, and every write demands its own ce on an item that exists.
// So a coordinator that was replaced and does not know it can change nothing. That a group is not there is never remembered, and
// committed offsets are told only after a consistent read of the group item.
//
// There are two protocols, and a pure core for each: (state, event, now) -> (state, replies, what to save). classic.go and the files it
// names have JoinGroup and SyncGroup, consumer.go and the files it names ConsumerGroupHeartbeat (KIP-848), where the assignors of
// assign.go run here; consumer_migrate.go makes one of the other. core.go is what both have in common.
//
// actor.go runs a core: one goroutine per group, started by the first request, which loads the group (load.go), feeds events in
// order (steps.go), saves before it answers, and ends when the group has no members and nobody asked for a while. Events that wait share a
// save. convert.go says when a group goes over to the other protocol. Saving blocks the group and nobody else; offset pages are
// written beside, at most one write of a page at a time. coordinator.go says which groups are here, configs.go what is set of single ones.
//
// Goroutines: one per group with members or requests, up to pageWrites more while it writes offsets; one per Lead that looks for groups
// with members, one that looks for expired offsets, one at times that reads what is set of groups. Close ends all and waits. Locks: Coordinator.mu, then actor.mu; neither is held over a
// store call or an answer.
package group
