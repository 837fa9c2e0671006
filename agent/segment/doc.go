// Package segment is the log's second life: it rewrites what the WAL holds by flush into objects by partition, so that the WAL
// can go, fail-over stays short, and history is read with few requests.
//
// A pack holds the runs of many partitions, sorted by partition; it takes the place of runs in WAL bundles in the leader's memory
// and snapshots, and the table says of it only that it exists and how many of its runs somebody may still need. A segment holds one
// stretch of one partition; an extent in the table names it, and the leader forgets what extents cover. Bytes are never
// transformed: batches are copied verbatim, each with its CRC checked on the way.
//
// # What happens when
//
// Once each Config.PackInterval, or when Config.PackBytes wait, all that lies in WAL bundles is packed, oldest bundles first, whole
// bundles, so that they become garbage together. A partition with large runs and enough of them skips that and is cut from the WAL
// at once. A partition with Config.SegmentBytes in its tail, or whose oldest record waits for longer than the roll time, is cut; neighbours
// are cut together, because their runs lie side by side in each pack. A segment is cut from at most 16 packs: a partition that has
// more has them merged first. plan.go, spans.go, layout.go and ledger.go are pure and decide all of that; the rest does it.
//
// A partition with little traffic ends with many small segments. Once enough have been cut here, neighbours are merged (merge_segments*.go): at
// least eight times the largest of them, or about as much as is enough for a cut, never what is half of that already. So a byte is rewritten
// once per factor of eight, and once more; a round merges 64 MiB and 16 segments at most, after all else.
//
// # Order of writes
//
// Pack: its item, its object, then memory. Segment: its object, then one transaction (link.go) that moves the partition's `tiered`
// by a compare, puts the extent, takes the runs off their packs' counters and checks the topic; then memory. So nothing in the
// bucket is nameless, one of two leaders wins, and each run is taken off its pack once: by whoever moved `tiered` past it.
// Merge of segments: its object, then one transaction (merge_segments_link.go) that puts its extent into the place of theirs, on the condition that the
// partition's item is as it was read, and queues their objects.
// A crash in between leaves a pack or a segment that nobody names; it costs its bytes until the Sweeper finds it.
//
// What a merge took out of a pack is counted down only after a recorded snapshot knows the new place: a successor opens from there.
//
// # Goroutines
//
// Room.Run: one, which plans and does everything in order; under it at most 2 GETs or 2 PUTs. Collector.Run: one, for all shards of
// the garbage queue; 8 under it while it clears a deleted topic. Sweeper.Run: one, with one request at a time. Retainer and Index have their own. No locks over I/O.
package segment
