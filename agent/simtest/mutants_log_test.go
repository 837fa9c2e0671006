//go:build mutants

package simtest

// logMutants are faults of agent/wal and agent/partition in what a hand-over and a take-over of slots rest on.
var logMutants = []mutant{
	{
		"a frozen slot is not in the snapshot", "partition/snapshot.go",
		"	f, ok := s.mu.frozen[slot]\n",
		"	f, ok := slotLogs{}, false\n",
		"TestLeaveFreezes",
	},
	{
		"a frozen slot stays when it is served again", "partition/snapshot.go",
		"	if l := s.mu.slots[slot]; l != nil && l.open {\n",
		"	if l := s.mu.slots[slot]; l != nil && l.open && l.epoch == 1 {\n",
		"TestSlotComesBack",
	},
	{
		"a snapshot is changed by what comes after", "partition/log.go",
		"	if !l.shared {\n",
		"	if l != nil {\n",
		"TestSharedLogsStay",
	},
	{
		"the stop rule ignores the entry's epoch in a snapshot", "wal/replay.go",
		"		if e, ok := p.entries[s.Slot]; ok && e.epoch == s.Epoch {\n",
		"		if _, ok := p.entries[s.Slot]; ok {\n",
		"TestReplayOfSnapshotsOfOtherEpochs",
	},
	{
		"the stop rule ignores the entry's epoch in a slot-open", "wal/replay.go",
		"!ok || e.epoch != op.Epoch || seq >= e.end",
		"!ok || seq >= e.end",
		"TestReplayStopsByTheEntrysEpoch",
	},
	{
		"footers beyond an entry's end are applied", "wal/replay.go",
		"		return p.found[slot] && epoch == e.epoch && seq < e.end\n",
		"		return p.found[slot] && epoch == e.epoch\n",
		"TestReplayOfALiveSession",
	},
	{
		"footers beyond the end are read", "wal/replay.go",
		"	return p.footers(ctx, uint64(s.Snap)+1, end)\n",
		"	return p.footers(ctx, uint64(s.Snap)+1, end+1)\n",
		"TestReplayStopsAtTheEnd",
	},
	{
		"runs of another epoch are applied", "wal/replay.go",
		"		return p.found[slot] && epoch == e.epoch && seq < e.end\n",
		"		return p.found[slot] && seq < e.end\n",
		"TestReplayTakesRunsOfTheEntrysEpoch",
	},
	{
		"a 404 is damage although the session went on", "wal/replay.go",
		"s.State != records.Drained && s.Snap == old.Snap {",
		"s.State != records.Drained && s.Snap >= old.Snap {",
		"TestReplayReadsTheItemAgain",
	},
	{
		"a draining slot accepts", "partition/partition.go",
		"	case p.lead.draining.Load():\n",
		"	case false:\n",
		"TestDrain",
	},
	{
		"a drain does not wait for an append under way", "partition/lead.go",
		"	for _, p := range parts { // whoever",
		"	for _, p := range parts[:0] { // whoever",
		"TestDrainWaitsForAnAppendUnderWay",
	},
	{
		"a batch committed after its slot was left is acked", "partition/partition.go",
		"		return nil, p.mu.dropped\n",
		"		return nil, true\n",
		"TestLeaveWithBatchesUnderWay",
	},
	{
		"a barrier returns before the commit", "wal/barrier.go",
		"	case b.cut && l.mu.applied >= b.seq:\n",
		"	case b.cut:\n",
		"TestBarrierWaitsForTheCommit",
	},
	{
		"a barrier waits for the first of several bundles", "wal/barrier.go",
		"		if !b.cut && b.entries <= l.mu.taken {\n",
		"		if !b.cut {\n",
		"TestBarrierWaitsForAllBundles",
	},
	{
		"sources miss the oldest session", "partition/tail.go",
		"	yield(t.runs[0].object)\n",
		"	yield(t.runs[len(t.runs)-1].object)\n",
		"TestSources",
	},
	{
		"trim above snap + 1", "wal/trim.go",
		"metastore.N(int64(seq) - 1)}",
		"metastore.N(0)}",
		"TestTrim",
	},
}
