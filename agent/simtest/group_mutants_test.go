//go:build mutants

package simtest

// groupMutants are faults of agent/group: in what makes a replaced coordinator harmless, in what must be stored before it is told, and in what
// may be forgotten.
var groupMutants = []mutant{
	{
		"a group is claimed whoever has it", "group/store.go",
		"			If:  []metastore.Cond{{Cmp: metastore.ItemExists}, {Attr: records.AttrCE, Cmp: metastore.Le, Value: metastore.N(int64(s.epoch))}},\n		})\n		return err\n	})\n	if old, cond := condition(err); cond {\n		if old == nil {\n			return false, nil\n",
		"			If:  []metastore.Cond{{Cmp: metastore.ItemExists}},\n		})\n		return err\n	})\n	if old, cond := condition(err); cond {\n		if old == nil {\n			return false, nil\n",
		"TestR19Zombies",
	},
	{
		"a page of offsets is written whoever has claimed it", "group/pages.go",
		"		op.If = []metastore.Cond{\n			{Attr: records.AttrCE, Cmp: metastore.Eq, Value: metastore.N(int64(s.epoch))},\n			{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(w.page.V - 1)},\n			{Attr: records.AttrNonce, Cmp: metastore.Eq, Value: records.IDValue(w.old)}, // a page that was made anew counts from 1 again\n		}\n",
		"		op.If = []metastore.Cond{{Cmp: metastore.ItemExists}}\n",
		"TestR19LateWrites",
	},
	{
		"a page of offsets is made without a look at the group", "group/pages.go",
		"	for _, w := range all {\n		ops = append(ops, s.op(w))\n",
		"	ops = nil\n	for _, w := range all {\n		ops = append(ops, s.op(w))\n",
		"TestR19LateWrites",
	},
	{
		"a page of offsets is made under an earlier claim of the same epoch", "group/pages.go",
		"		{Attr: records.AttrClaim, Cmp: metastore.Eq, Value: metastore.N(claim)},\n",
		"		{Attr: records.AttrClaim, Cmp: metastore.Ge, Value: metastore.N(min(claim, 0))},\n",
		"TestLatePageOfTheSameEpoch",
	},
	{
		"offsets are told without a look at the group", "group/actor.go",
		"m.needs == confirmed && !a.sure {\n", "m.needs > confirmed && !a.sure {\n",
		"TestR19Zombies",
	},
	{
		"a group item is written whoever has claimed it", "group/store.go",
		"	s.item = g\n	err := s.put(ctx, metastore.Cond{Attr: records.AttrCE, Cmp: metastore.Eq, Value: metastore.N(int64(s.epoch))},\n		metastore.Cond{Attr: records.AttrV, Cmp: metastore.Eq, Value: metastore.N(before.V)})\n",
		"	s.item = g\n	err := s.put(ctx)\n",
		"TestR19LateWrites",
	},
	{
		"a new coordinator has everybody join again", "group/stored.go",
		"	default:\n		g.state = Stable\n", "	default:\n		g.state, g.deadline = Preparing, now.Add(g.longest())\n",
		"TestHandOffForcesNoRebalance",
	},
	{
		"a generation is told before it is stored", "group/rebalance.go",
		"	g.state, g.deadline = Completing, now.Add(g.longest())\n	g.out.Save = true\n",
		"	g.state, g.deadline = Completing, now.Add(g.longest())\n",
		"TestClassicPlays",
	},
	{
		"an assignment is told before it is stored", "group/sync.go",
		"	g.state = Stable\n	g.out.Save = true\n", "	g.state = Stable\n",
		"TestHandOffForcesNoRebalance",
	},
	{
		"offsets of a group with members expire", "group/expire.go",
		"	if !vacant {\n", "	if false {\n",
		"TestOffsetsOfMembersStay",
	},
	{
		"offsets expire of topics that members read, and not of others", "group/subscription.go",
		"return known && !read[t.Name]\n", "return known && read[t.Name]\n",
		"TestOffsetsOfUnreadTopicsExpire",
	},
	{
		"offsets of topics that nobody reads stay as long as the group has members", "group/expire.go",
		"			if g.State != records.GroupEmpty || ", "			if g.State == records.GroupRemoved || g.State == records.GroupEmpty && ",
		"TestOffsetsOfUnreadTopicsExpire",
	},
	{
		"a group that is being deleted is not marked", "group/remove.go",
		"State: records.GroupRemoved, CE: s.epoch", "State: before.State, CE: s.epoch",
		"TestHalfDeleted",
	},
	{
		"pages of members are swept whoever has claimed the group", "group/store.go",
		"			{Attr: records.AttrNonce, Cmp: metastore.Eq, Value: records.IDValue(s.item.Nonce)}}}}\n",
		"			{Cmp: metastore.ItemExists}}}}\n",
		"TestZombieSweepsNothing",
	},
	{
		"offsets expire while they are committed", "group/expire.go",
		"		if p.busy || p.next != nil {", "		if p.next != nil {",
		"TestExpiryMeetsCommit",
	},
	{
		"own success after a lost reply taken for a failure", "group/store.go",
		"v.Equal(records.IDValue(nonce)) {\n		return nil\n", "v.Equal(records.IDValue(nonce)) {\n		return ErrLoading\n",
		"TestOwnSuccess",
	},
	{
		"a commit is acked before it is stored", "group/offsets.go",
		"	a.await(c, touched)\n}\n\n// unstage", "	a.await(&commit{done: func(error) {}}, touched)\n	c.done(nil)\n}\n\n// unstage",
		"TestNothingAckedIsLost",
	},
	{
		"a member of an older generation commits", "group/classic.go",
		"	case generation != g.generation:\n		return ErrGeneration\n", "	case generation > g.generation:\n		return ErrGeneration\n",
		"TestClassicPlays",
	},
	{
		"a static member that comes back before the assignment is there gets what is there", "group/join.go",
		"	if g.state != Stable || g.vote() != g.assignor {\n", "	if g.state == Preparing || g.vote() != g.assignor {\n",
		"TestClassicRandomEvents",
	},
	{
		"a static member's run that was replaced waits for ever", "group/join.go",
		"	g.dismiss(old, ErrFenced)\n", "",
		"TestClassicRandomEvents",
	},
	{
		"a partition is given while another member has it", "group/consumer_reconcile.go",
		"	n := g.held.count(topic, part)\n", "	n := min(g.held.count(topic, part), 0)\n",
		"TestConsumerRandom",
	},
	{
		"a list of partitions from before a member was told proves that it gave them up", "group/consumer_reconcile.go",
		"		if m.untold || e.Owned == nil ||", "		if e.Owned == nil ||",
		"TestConsumerPlays",
	},
	{
		"groups at rest keep offsets of deleted topics", "group/expire.go",
		"			c.forgetTopics()\n", "",
		"TestDroppedTopicOfGroupAtRest",
	},
	{
		"a coarse assignment gives what somebody keeps", "group/assign_coarse.go",
		"			if b.owner[at] != nobody || len(readers[t]) == 0 {\n", "			if len(readers[t]) == 0 {\n",
		"TestCoarseShares",
	},
}
