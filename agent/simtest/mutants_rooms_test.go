//go:build mutants

package simtest

// mutants are faults that a test of the room itself finds.
var mutants = []mutant{
	{
		"ack before commit", "wal/committer.go",
		"	c.landed[f.seq] = f\n",
		"	c.landed[f.seq] = f\n	for _, w := range f.waiters {\n		w.done.Appended(w.tag, nil)\n	}\n	f.waiters = nil\n",
		"TestNoAckBeforeCommit",
	},
	{
		"commit skips a hole in the sequence", "wal/commit.go",
		"	p.beyond[seq] = true\n",
		"	p.beyond[seq] = true\n	p.durable = max(p.durable, seq)\n",
		"TestCommitStopsAtAHole",
	},
	{
		"own success after a lost reply taken for a failure", "wal/commit.go",
		"		return success, uint64(old.Committed) // our own earlier try\n",
		"		return fenced, uint64(old.Committed)\n",
		"TestLostCommitReplyIsOwnSuccess",
	},
	{
		"fenced session fails what was committed", "wal/commit.go",
		"	return fenced, uint64(old.Committed)\n}",
		"	return fenced, p.committed\n}",
		"TestFencedAcksWhatTheItemSays",
	},
	{
		"high watermark ahead of the commit", "partition/read.go",
		"HighWatermark: l.end, LastStable: l.end,",
		"HighWatermark: p.mu.end, LastStable: p.mu.end,",
		"TestHighWatermarkIsTheCommitPoint",
	},
	{
		"duplicate answered before the original's commit", "partition/partition.go",
		"	if dup.LastOffset < p.mu.log.end {\n",
		"	if dup.LastOffset < p.mu.end {\n",
		"TestDuplicateWaitsForItsOriginal",
	},
	{
		"snapshot taken from live memory", "partition/snapshot.go",
		"			c.shared = true\n",
		"			m := *c\n			m.producers = c.producers.clone()\n			for _, pr := range p.mu.live {\n				m.producers.put(pr)\n			}\n			c = &m\n",
		"TestSnapshotIsTheCommittedState",
	},
	{
		"slot served before its slot-open is committed", "partition/set.go",
		"&lead{set: s, slot: n, epoch: epoch, parts:",
		"&lead{set: s, slot: n, epoch: epoch, open: true, parts:",
		"TestSlotIsServedAfterSlotOpen",
	},
	{
		"from[] replaced, not pushed", "cluster/protocol.go",
		"append(append([]records.From(nil), s.From...), records.From{",
		"append([]records.From(nil), records.From{",
		"TestStartAfterACrash",
	},
	{
		"a long from[] keeps every entry of a session", "cluster/release.go",
		"		named = newest(named)\n", "", "TestThousandHandOvers",
	},
	{
		"nothing is rewritten in a hurry", "cluster/release.go",
		"		c.begin(j, Rewrite{j})\n", "", "TestLeadersDieOneAfterTheOther",
	},
	{
		"a slot moves although from[] has no room", "cluster/hand.go",
		"			continue // room is being made: see clear\n", "", "TestSlotWaitsForRoom",
	},
}
