// Package fetch reads committed batches: from memory where they are, else from the object store by ranged GETs.
//
// Where they are is asked twice: of the partition's tail, which knows the runs in WAL bundles and in packs, and, below it, of its
// extents, which present segments as pieces that are batch-aligned as runs are. A stretch of the log is always in one of them: it
// is linked as an extent before the tail forgets it.
//
// The unit of reading, caching and joining is a block: 2 MiB of an object, aligned, or what is left of it. A bundle that
// this agent wrote enters the cache whole at its commit, so that a reader at the tail causes no request at all. What is loaded
// from the store is kept in a cache of its own: who reads history does not push the tail out of memory. Batches are
// handed out as slices of cached blocks, verbatim, with a reference to keep them alive while they are being sent.
//
// A reader who goes on where it stopped is a stream: its next blocks are loaded ahead of it, twice as many each time, up to a
// bound, and it needs not look for its place in a large run again. Loads of WAL bundles (the near past), of packs and segments, and ahead
// of readers draw on three pools, and what waits for the last one is bounded, so that catch-up does not slow down who is nearly there.
//
// Goroutines: loads, one per block under way, at most Config.Loads at the store; Close ends them. Locks: that of the streams,
// held over nothing.
package fetch
