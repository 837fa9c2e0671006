// Package meta looks at the bucket and the table of one cluster as a whole, without an agent: Check says what does not add up,
// Repair mends one thing that Check found, Sweep deletes what nobody needs, and Rebuild makes a table from a bucket.
//
// It knows the formats (packages records and bundle) and which object follows from which item, and nothing of how agents decide.
// What it writes are conditional writes that an agent could have made; it may be used beside agents that run.
//
// Memory is bounded by what the table holds of sessions, slots, topics and partitions, by the packs that are alive, and by
// maxFindings: listings and pages of the table are streams. A deep look holds a few MiB for each reader besides, a repair of a
// partition at most one segment and its copy. Requests are bounded by Config.Rate and Config.Parallel.
//
// Goroutines: at most Config.Parallel readers at a time, all of which have ended when a method returns. A Tool has no state but its
// counters, and its methods may be called one after the other.
package meta
