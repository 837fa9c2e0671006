package simtest

// coreMutants are faults that the simulation of the cores must find by itself.
var coreMutants = []mutant{
	// fencing
	{
		"fence without a look at the state", "cluster/protocol.go",
		"{stateIs(records.Active), {Attr: records.AttrHB", "{{Attr: records.AttrHB", coreTest,
	},
	{
		"fence without a look at the heartbeat", "cluster/protocol.go",
		"{stateIs(records.Active), {Attr: records.AttrHB, Cmp: metastore.Eq, Value: metastore.N(hb)}}", "{stateIs(records.Active)}", coreTest,
	},
	{
		"seal without a look at the state", "cluster/protocol.go",
		"		If: []metastore.Cond{stateIs(s.State), {Attr: records.AttrCommitted, Cmp: metastore.Eq, Value: metastore.N(s.Committed)}},\n",
		"", coreTest,
	},
	{
		"slots of a session that is fenced and not sealed are given away", "cluster/control.go",
		"	return w != nil && ended(w.item.State)\n", "	return w != nil && rank(w.item.State) > 1\n", coreTest,
	},
	{
		"pending from the slot map of before the fence", "cluster/end.go",
		"	for _, s := range a.Slots {\n		c.learnSlot(s)\n	}\n	owed := pending(id, a.Slots, a.Pins.Slots)\n",
		"	var before []records.Slot\n	for i := range c.slots {\n		before = append(before, c.slots[i].item)\n	}\n	owed := pending(id, before, a.Pins.Slots)\n", coreTest,
	},
	{
		"a look that overtakes a suspicion is not heard", "cluster/watch.go",
		" || !w.since.Equal(w.still)) {", ") {", coreTest,
	},
	{
		"the epoch is not raised", "cluster/protocol.go", "	next.Epoch++\n", "", coreTest,
	},
	// commit
	{
		"commit without a look at the state", "wal/commit.go",
		"			{Attr: records.AttrState, Cmp: metastore.Eq, Value: records.Active.Value()},\n			{Attr: records.AttrCommitted,",
		"			{Attr: records.AttrCommitted,", coreTest,
	},
	{
		"commit skips holes", "wal/commit.go",
		"	p.beyond[seq] = true\n", "	p.beyond[seq] = true\n	p.durable = max(p.durable, seq)\n", coreTest,
	},
	{
		"own commit taken for a fence", "wal/commit.go",
		"		return success, uint64(old.Committed) // our own earlier try\n", "		return fenced, uint64(old.Committed)\n", coreTest,
	},
	{
		"a refused commit is a commit", "wal/commit.go",
		"	return fenced, uint64(old.Committed)\n}", "	return fenced, max(target, uint64(old.Committed))\n}", coreTest,
	},
	{
		"a duplicate is answered before the commit", "partition/partition.go",
		"	if dup.LastOffset < p.mu.log.end {\n", "	if dup.LastOffset < p.mu.end {\n", coreTest,
	},
	// open
	{
		"the stop rule ignores the epoch in a slot-open", "wal/replay.go",
		"!ok || e.epoch != op.Epoch || seq >= e.end", "!ok || seq >= e.end", coreTest,
	},
	{
		"the stop rule ignores the epoch in a snapshot", "wal/replay.go",
		"		if e, ok := p.entries[s.Slot]; ok && e.epoch == s.Epoch {\n", "		if _, ok := p.entries[s.Slot]; ok {\n", coreTest,
	},
	{
		"a replay stops at the newest session, whether it served or not", "wal/replay.go",
		"				if left[i]--; found[t.Slot] {\n", "				if left[i]--; found[t.Slot] || len(found) > 0 {\n", coreTest,
	},
	{
		"from[] replaced, not pushed", "cluster/protocol.go",
		"append(append([]records.From(nil), s.From...), records.From{", "append([]records.From(nil), records.From{", coreTest,
	},
	{
		"a slot is served before its slot-open is committed", "partition/set.go",
		"&lead{set: s, slot: n, epoch: epoch, parts:", "&lead{set: s, slot: n, epoch: epoch, open: true, parts:", coreTest,
	},
	{
		"the snapshot that a slot-open names is not read", "wal/replay.go",
		"		if key == \"\" {\n", "		if key != \"\" {\n", coreTest,
	},
	// snapshot
	{
		"snapshot of live memory", "partition/snapshot.go",
		"			c.shared = true\n",
		"			m := *c\n			m.producers = c.producers.clone()\n			for _, pr := range p.mu.live {\n				m.producers.put(pr)\n			}\n			c = &m\n", coreTest,
	},
	{
		"snapshot without the slots that were handed over", "partition/snapshot.go",
		"	f, ok := s.mu.frozen[slot]\n", "	f, ok := slotLogs{}, false\n", coreTest,
	},
	{
		"a snapshot goes on changing", "partition/log.go", "	if !l.shared {\n", "	if l != nil {\n", coreTest,
	},
	{
		"snapshot recorded without compare", "wal/commit.go",
		"			{Attr: records.AttrSnap, Cmp: metastore.Lt, Value: metastore.N(int64(seq))},\n", "", coreTest,
	},
	{
		"a snapshot forgets producers", "partition/fold.go",
		"		for j := range known {\n", "		for j := range known[:0] {\n", coreTest,
	},
	// trim
	{
		"trim after the fence", "wal/trim.go",
		"			{Attr: records.AttrState, Cmp: metastore.Eq, Value: records.Active.Value()},\n			{Attr: records.AttrTrim,",
		"			{Attr: records.AttrTrim,", coreTest,
	},
	{
		"trim passes the pins", "cluster/release.go", "			if low == 0 || uint64(p.Seq) < low {\n", "			if low > 0 && uint64(p.Seq) < low {\n", coreTest,
	},
	{
		"sources miss the first session", "partition/tail.go",
		"	yield(t.runs[0].object)\n", "	yield(t.runs[len(t.runs)-1].object)\n", coreTest,
	},
	// pins
	{
		"pins written after the fence", "cluster/protocol.go",
		"		{Kind: metastore.OpCheck, Key: c.SessionKey(session), If: []metastore.Cond{stateIs(records.Active)}},\n", "", coreTest,
	},
	{
		"pending without the pins", "cluster/protocol.go", "		p[slot] = pin.Epoch\n", "		_ = pin\n		delete(p, slot)\n", coreTest,
	},
	{
		"a pin covers the last epoch only", "cluster/hand.go",
		"				h.pin.Seq = min(h.pin.Seq, int64(s.Low))\n", "				h.pin.Seq = max(h.pin.Seq, int64(s.Low))\n", coreTest,
	},
	{
		"a slot is let go of although data of it lies there", "cluster/release.go",
		"h.free[f.Session] || h.lies(f.Session) {", "h.free[f.Session] {", coreTest,
	},
	{
		"from[] is shortened before the session lets go", "cluster/release.go",
		"		if !own && !drained && !h.free[f.Session] {\n", "		if !own && !drained && h.lies(f.Session) {\n", coreTest,
	},
	// hand-over
	{
		"hand-over without a pin", "cluster/hand.go",
		"		case h.state == isPinned && c.count(jobHand) < writesAtOnce:\n", "		case (h.state == isPinned || h.state == atRest) && c.count(jobHand) < writesAtOnce:\n", coreTest,
	},
	{
		"hand-over to an end one too low", "cluster/hand.go",
		"h.state, h.end, h.sources = atRest, int64(a.Committed)+1, a.Sources[n]", "h.state, h.end, h.sources = atRest, int64(a.Committed), a.Sources[n]", coreTest,
	},
	{
		"a hand-over of unknown outcome is given up without raising v", "cluster/hand.go",
		"			c.giveUp(n, h)\n", "			c.resume(n, h, \"the other is gone\")\n", coreTest,
	},
	{
		"a re-read takes a hand-over for impossible", "cluster/hand.go",
		"	case s.V > h.v: // it never can happen now\n", "	case s.V >= h.v && c.jobs[Job{Kind: jobHand, Slot: int32(n)}] != nil && !c.jobs[Job{Kind: jobHand, Slot: int32(n)}].flying:\n", coreTest,
	},
	{
		"a slot item is written without compare", "cluster/protocol.go",
		"	return metastore.Op{Kind: metastore.OpPut, Key: c.SlotKey(next.Slot), Set: next.Item(), If: []metastore.Cond{versionIs(v)}}\n",
		"	_ = v\n	return metastore.Op{Kind: metastore.OpPut, Key: c.SlotKey(next.Slot), Set: next.Item()}\n", coreTest,
	},
	{
		"a draining slot accepts", "partition/partition.go", "	case p.lead.draining.Load():\n", "	case false:\n", coreTest,
	},
	{
		"an old slot item replaces a newer one", "cluster/core.go", "	if k.there && k.item.V >= s.V {\n", "	if k.there && k.item.V == s.V {\n", coreTest,
	},
	// what a recorded snapshot names
	{
		"recorded snapshots count for nothing", "partition/durable.go",
		"	if d.named != nil {\n		snapshots = append(snapshots, d.named)\n	}\n", "", coreTest,
	},
	// replay
	{
		"footers beyond the end are read", "wal/replay.go",
		"	return p.footers(ctx, uint64(s.Snap)+1, end)\n", "	return p.footers(ctx, uint64(s.Snap)+1, end+1)\n", coreTest,
	},
	{
		"a 404 is damage although the session went on", "wal/replay.go",
		"s.State != records.Drained && s.Snap == old.Snap {", "s.State != records.Drained && s.Snap >= old.Snap {", coreTest,
	},
	{
		"a log start is not replayed", "partition/fold.go",
		"			f.log(op.Slot, f.id(ft, op.Topic, op.Partition)).moveStart(op.Offset)\n", "", coreTest,
	},
}

// coreTest finds them.
const coreTest = "TestCoreSim"
