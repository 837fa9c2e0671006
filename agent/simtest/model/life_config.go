package main

import (
	"fmt"
	"io"
	"time"
)

// LifeCfg bounds a search.
type LifeCfg struct {
	Name                        string
	Leaders, Packs, Segs, Snaps int
	Recs                        [lP]int // records of each partition; 0: there is no such partition
	Starts, Lates, Reads        int     // moves of a log start; transactions of unknown outcome; readers
	Heir                        int     // 1: a leader has just opened, with two packs of the one before, which goes on as a zombie; 2: it linked after its snapshot
	Know                        bool    // others may act between a look at tiered and a merge
	Gap                         bool    // others may act between item, object and memory of a pack
	Queue                       bool    // garbage is deleted step by step; without, at once, which is the worst but for readers
	Topics                      bool    // partition 1's topic is deleted
	Sweep                       bool    // orphaned segments are swept
	Joins                       bool    // neighbouring segments are merged: there are two of the last partition that has records
}

// LifeDrop names the rules that a run leaves out.
type LifeDrop struct {
	LinkCompare, LinkEpoch, LinkTopic, LinkOwnSuccess, LinkCountsTwice, DoubtIsGarbage bool
	MergeBlind, CutBlind, BuryBlind, BuryAnybody                                       bool
	DebitEarly, DebitTwice, DebitBlind, CountOnly, Nameless                            bool
	TrimMemory, TrimAboveSnap                                                          bool
	EarlyDelete, ForgetUnconfirmed, SweepByAge                                         bool
	StartPastEnd, UnlinkPart, UnlinkOnly, PastEnd, CutDrops                            bool
	JoinCompare, JoinEpoch, JoinTopic, JoinOnly, JoinDrops, JoinIsGarbage, SweepJoins  bool
}

// LifeMutant is one rule dropped, and the configuration that should notice.
type LifeMutant struct {
	Name, Cfg string
	Drop      LifeDrop
}

var lifeMutants = []LifeMutant{
	{"link without comparing tiered", "doubt", LifeDrop{LinkCompare: true}},
	{"link without the slot's epoch", "heir", LifeDrop{LinkEpoch: true}},
	{"link without a look at the topic", "gone", LifeDrop{LinkTopic: true}},
	{"own success of a link taken for failure", "one", LifeDrop{LinkOwnSuccess: true}},
	{"a link counts down twice", "pair", LifeDrop{LinkCountsTwice: true}},
	{"a link in doubt is garbage", "doubt", LifeDrop{DoubtIsGarbage: true}},
	{"merge of inherited packs without a look at tiered", "linked", LifeDrop{MergeBlind: true}},
	{"burial of inherited packs without a look at tiered", "gone", LifeDrop{BuryBlind: true}},
	{"burial by who leads no more", "gone", LifeDrop{BuryAnybody: true}},
	{"pack counted down before the snapshot is recorded", "merge", LifeDrop{DebitEarly: true}},
	{"counter taken down twice", "merge", LifeDrop{DebitTwice: true}},
	{"debit without compare", "debit", LifeDrop{DebitBlind: true}},
	{"last run taken off and nothing queued", "one", LifeDrop{CountOnly: true}},
	{"pack put before it has a name", "one", LifeDrop{Nameless: true}},
	{"trim looks at memory alone", "one", LifeDrop{TrimMemory: true}},
	{"trim above snap+1", "one", LifeDrop{TrimAboveSnap: true}},
	{"deleted before its grace is over", "queue", LifeDrop{EarlyDelete: true}},
	{"queue item removed without confirmation", "queue", LifeDrop{ForgetUnconfirmed: true}},
	{"orphan swept by age", "doubt", LifeDrop{SweepByAge: true}},
	{"log start beyond the high watermark", "start", LifeDrop{StartPastEnd: true}},
	{"extent unlinked that the log start has passed in part", "start", LifeDrop{UnlinkPart: true}},
	{"extent unlinked and nothing queued", "start", LifeDrop{UnlinkOnly: true}},
	{"segment beyond the high watermark", "one", LifeDrop{PastEnd: true}},
	{"rewrite drops a record", "one", LifeDrop{CutDrops: true}},
	{"merge of segments without a look at the extents", "join", LifeDrop{JoinCompare: true}},
	{"merge of segments without the slot's epoch", "join", LifeDrop{JoinEpoch: true}},
	{"merge of segments without a look at the topic", "joingone", LifeDrop{JoinTopic: true}},
	{"merged segments are not queued", "join", LifeDrop{JoinOnly: true}},
	{"merge of segments drops a record", "join", LifeDrop{JoinDrops: true}},
	{"merge of segments in doubt is garbage", "join", LifeDrop{JoinIsGarbage: true}},
	{"unlinked merge of segments swept like a cut", "join", LifeDrop{SweepJoins: true}},
}

var lifeConfigs = []LifeCfg{
	{Name: "one", Leaders: 2, Packs: 3, Segs: 2, Snaps: 1, Recs: [lP]int{2, 0}, Gap: true},
	{Name: "pair", Leaders: 2, Packs: 2, Segs: 2, Snaps: 1, Recs: [lP]int{1, 1}, Gap: true},
	{Name: "merge", Leaders: 2, Packs: 3, Segs: 1, Snaps: 2, Recs: [lP]int{2, 1}},
	{Name: "heir", Leaders: 2, Packs: 3, Segs: 2, Snaps: 1, Recs: [lP]int{2, 1}, Heir: 1, Know: true},
	{Name: "linked", Leaders: 2, Packs: 3, Segs: 2, Snaps: 1, Recs: [lP]int{2, 1}, Heir: 2, Know: true},
	{Name: "doubt", Leaders: 2, Packs: 2, Segs: 3, Snaps: 1, Recs: [lP]int{2, 0}, Lates: 1, Sweep: true},
	{Name: "debit", Leaders: 2, Packs: 4, Segs: 1, Snaps: 1, Recs: [lP]int{2, 1}, Lates: 1},
	{Name: "start", Leaders: 2, Packs: 2, Segs: 2, Snaps: 1, Recs: [lP]int{2, 1}, Starts: 1},
	{Name: "gone", Leaders: 2, Packs: 2, Segs: 2, Snaps: 1, Recs: [lP]int{1, 1}, Topics: true},
	{Name: "queue", Leaders: 2, Packs: 2, Segs: 2, Snaps: 1, Recs: [lP]int{1, 1}, Queue: true, Reads: 1},
	{Name: "join", Leaders: 2, Packs: 1, Segs: 4, Snaps: 1, Recs: [lP]int{2, 0}, Starts: 1, Lates: 1, Sweep: true, Joins: true},
	{Name: "joingone", Leaders: 2, Packs: 1, Segs: 3, Recs: [lP]int{0, 2}, Lates: 1, Topics: true, Sweep: true, Joins: true},
	{Name: "joinqueue", Leaders: 2, Packs: 1, Segs: 4, Recs: [lP]int{3, 0}, Queue: true, Reads: 1, Joins: true},
}

func lifeConfig(name string) (LifeCfg, bool) {
	for _, c := range lifeConfigs {
		if c.Name == name {
			return c, true
		}
	}
	return LifeCfg{}, false
}

// search explores a Life breadth first.
func (m *LifeModel) search(limit int, budget time.Duration) Result {
	m.Truncated = 0
	r := bfs[Life](m, limit, budget, false)
	r.Truncated = m.Truncated
	return r
}

// runLife searches each configuration whole; it returns how many searches found a violation.
func runLife(w io.Writer, limit int, only string) (bad int) {
	for _, c := range lifeConfigs {
		if only != "" && c.Name != only {
			continue
		}
		m := &LifeModel{LifeCfg: c}
		r := m.search(limit, 0)
		fmt.Fprintf(w, "%-7s %9d states %10d steps %3d deep %7d seeds  complete %-5v  %v\n", c.Name, r.States, r.Steps, r.Depth, 0, r.Complete, r.Took.Round(time.Second))
		if r.Bad != "" {
			follow[Life](w, m, r, lifeName[:])
		}
		if r.Bad != "" || !r.Complete {
			bad++
		}
	}
	return bad
}

// runLifeMutants searches each mutant; it returns how many were not caught.
func runLifeMutants(w io.Writer, only string, limit int, budget time.Duration, verbose bool) (missed int) {
	for _, x := range lifeMutants {
		if only != "" && x.Name != only {
			continue
		}
		c, _ := lifeConfig(x.Cfg)
		m := &LifeModel{LifeCfg: c, Drop: x.Drop}
		r := m.search(limit, budget)
		how := fmt.Sprintf("%s, %d states, %d steps long", x.Cfg, r.States, len(r.Trace))
		if r.Bad == "" {
			missed++
			how, r.Bad = "", "NOT CAUGHT"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %.1fs |\n", x.Name, how, r.Bad, r.Took.Seconds())
		if verbose && len(r.Trace) > 0 {
			follow[Life](w, m, r, lifeName[:])
		}
	}
	return missed
}
