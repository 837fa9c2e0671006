//go:build mutants

package simtest

// segmentMutants are faults in the log's second life: packs, segments, retention and the garbage queue.
var segmentMutants = []mutant{
	{
		"a segment passes the last stable offset", "segment/plan.go",
		"		if run.Next > stable || n > 0 &&",
		"		if n > 0 &&",
		"TestPickSegment",
	},
	{
		"a link does not compare tiered", "segment/link.go",
		"	op.If = []metastore.Cond{{Attr: records.AttrTiered, Cmp: metastore.Eq, Value: metastore.N(s.from)}}\n",
		"",
		"TestTieredDecides",
	},
	{
		"a link does not look at the slot's epoch", "segment/link.go",
		"			{Attr: records.AttrEpoch, Cmp: metastore.Eq, Value: metastore.N(int64(slots[slot]))},\n",
		"			{Attr: records.AttrEpoch, Cmp: metastore.Ge, Value: metastore.N(int64(slots[slot]))},\n",
		"TestReplacedLeaderLinksNothing",
	},
	{
		"a link does not look at the topic's state", "segment/link.go",
		"			{Attr: records.AttrState, Cmp: metastore.Eq, Value: records.TopicActive.Value()},\n",
		"",
		"TestTopicGoes",
	},
	{
		"a link forgets the extent", "segment/link.go",
		"		if s := &steps[i]; s.extent != nil {\n			ops = append(",
		"		if s := &steps[i]; s.extent != nil && i > 0 {\n			ops = append(",
		"TestPacksBecomeSegments",
	},
	{
		"own success of a link taken for a failure", "segment/link.go",
		"		done, rerr := r.own(ctx, &steps[0], nonce)\n",
		"		done, rerr := false, error(nil)\n",
		"TestAnyOutcomeUnknown",
	},
	{
		"a debit that another one hides is made again", "segment/count.go",
		"			if !sure && p.Nonce != was {\n",
		"			if !sure && p.Nonce != was && p.Live < 0 {\n",
		"TestDebitBeforeAnothers",
	},
	{
		"what the leader before linked is taken off again by a merge", "segment/pack.go",
		"		if e := r.ledger.of(t); e.tiered > from {\n",
		"		if e := r.ledger.of(t); e.tiered < 0 {\n",
		"TestMergeOfWhatIsLinked",
	},
	{
		"a merge is counted down before a snapshot knows of it", "segment/ledger.go",
		"		case d.after > snapped:\n",
		"		case false:\n",
		"TestMergedPacksStayUntilASnapshot",
	},
	{
		"a merge is counted down by who leads no more", "segment/ledger.go",
		"		case d.after > 0 && !leads(d.slot, d.epoch):\n",
		"		case false:\n",
		"TestMergedPacksStayUntilASnapshot",
	},
	{
		"a merge leaves out a run", "segment/pack.go",
		"part{tail: *t, from: runs[from].Base, runs: runs[from:to]})",
		"part{tail: *t, from: runs[from].Base, runs: append(runs[from:from+1:from+1], runs[from+2:to]...)})",
		"TestPacksAreMerged",
	},
	{
		"a pack has no item", "segment/pack.go",
		"		err := r.namePack(ctx, d, now)\n",
		"		var err error\n		_ = r.namePack\n",
		"TestWALBecomesAPack",
	},
	{
		"a pack's object is not queued", "segment/count.go",
		"	if len(keys) > 0 {\n		ops = append(ops, r.garbage(keys, size, now))\n",
		"	if len(keys) > 0 && size < 0 {\n		ops = append(ops, r.garbage(keys, size, now))\n",
		"TestCrashAnywhere",
	},
	{
		"garbage goes before its time", "segment/gc.go",
		"			if row.SK >= records.GarbageDue(now) {\n",
		"			if row.SK >= records.GarbageDue(now+1) {\n",
		"TestCollect",
	},
	{
		"the queue forgets what the store did not confirm", "segment/gc.go",
		"		if err := b.keep(b.c.deleteKeys(ctx, b.keys)); err != nil {\n",
		"		if err := b.c.deleteKeys(ctx, b.keys); err != nil && ctx.Err() != nil {\n",
		"TestCollectRefused",
	},
	{
		"a delete in part taken for a whole one", "segment/gc.go",
		"			keys = some.Keys\n",
		"			return nil\n",
		"TestCollectFromAStoreThatDeletesInPart",
	},
	{
		"a deleted topic's extents go before their objects", "segment/gc_topic.go",
		"	if err := c.deleteKeys(ctx, keys); err != nil {\n		return err\n	}\n	for",
		"	_ = keys\n	for",
		"TestCollectTopic",
	},
	{
		"retention passes the high watermark", "segment/retain_plan.go",
		"	if u.next > c.stable {\n",
		"	if u.next < 0 {\n",
		"TestCutoff",
	},
	{
		"retention unlinks what the log start has not passed whole", "segment/retain_plan.go",
		"extents[n].Next <= logStart {",
		"extents[n].Base <= logStart {",
		"TestRetainUnlinksWhatIsBelow",
	},
	{
		"an unlinked segment is not queued", "segment/retain_unlink.go",
		"		g.Keys = append(g.Keys, ",
		"		_ = append(g.Keys, ",
		"TestRetainByTime",
	},
	{
		"an unlink does not compare the partition's version", "segment/retain_unlink.go",
		"		If: []metastore.Cond{{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(v)}},\n",
		"",
		"TestRetainUnknownOutcomes",
	},
	{
		"a log start goes back", "partition/log.go",
		"return offset > l.start && offset <= l.end }",
		"return offset != l.start && offset <= l.end }",
		"TestLogStartMoves",
	},
	{
		"the index forgets the last extent of a page", "segment/index_load.go",
		"			x.mu.shelf.putPage(&page{at: at, extents: extents})\n",
		"			x.mu.shelf.putPage(&page{at: at, extents: extents[:max(1, len(extents)-1)]})\n",
		"TestIndexLooksAhead",
	},
	{
		"a segment that is gone is not looked for again", "segment/index.go",
		"		case errors.Is(err, objstore.ErrNotFound) && !gone:\n",
		"		case errors.Is(err, objstore.ErrNotFound) && gone:\n",
		"TestIndexReadsAgainOnce",
	},
	{
		"a topic made again reads extents of the one before", "segment/index_load.go",
		"		PK: x.cfg.Cluster.PartitionPK(at.Topic, at.Index), Prefix:",
		"		PK: x.cfg.Cluster.PartitionPK(uuid.Nil, at.Index), Prefix:",
		"TestIndexPieces",
	},
	{
		"bundles that only the recorded snapshot names are not needed", "partition/durable.go",
		"	if d.named != nil {\n		all = append(all, d.named)\n",
		"	if d.named != nil && d.number == 0 {\n		all = append(all, d.named)\n",
		"TestPackedRunsAreNeededUntilASnapshotIsRecorded",
	},
	{
		"bundles that an opening snapshot names are not needed", "partition/durable.go",
		"	for _, o := range d.opened {\n		all = append(all, o.claim)\n",
		"	for _, o := range d.opened {\n		_ = append(all, o.claim)\n",
		"TestOpeningSnapshotCounts",
	},
	{
		"a merge of segments does not queue them", "segment/merge_segments_link.go",
		"	return append(ops, r.garbage(keys, bytes, now))\n",
		"	_ = r.garbage(keys, bytes, now)\n	return ops\n",
		"TestSmallSegmentsBecomeOne",
	},
	{
		"a merge that may be linked yet is swept", "segment/sweep_kinds.go",
		"(!alive || !o.Merged())",
		"(!alive || !o.Merged() || alive)",
		"TestSweepOfMerges",
	},
}
