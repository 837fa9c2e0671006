package main

// Drop names the rules of the design that a run leaves out. The zero value is the whole design.
type Drop struct {
	LossOnly bool // check consequences only

	// Rules that were missing, or not said, in the design as it stood (see doc.go).
	ReassignFenced, UnpinEpoch, OpenDrained, ResumeBump, SnapCompare          bool
	ClearUndrained, StartKeepsTiered, RemoveUnconfirmed, LinkTopic, SealState bool

	AckOnPut, CommitHoles, CommitState, DupBeforeCommit            bool
	StopAnyEpoch, FromReplaced, ClearEarly, ClearCond, BeyondEnd   bool
	SnapLive, SnapPinned, TrimAboveSnap, TrimPins, TrimState       bool
	PinsEarly, PinState                                            bool
	PendPins, SealQueryEarly, FenceState, EpochKept, ThirdParty    bool
	OpenNoSnapshot, ServeEarly, UnpinEarly, UnpinData              bool
	NoPin, PinOwnEpoch, HandNoFlush, SnapEarly, Reopen             bool
	OrphanAge, SegAge, LinkCompare, LinkOwnSuccess, SegmentAboveHW bool
	StaleTopics                                                    bool
	FenceBeat, CommitBeat, LookOnce, NewestEarly, FlushWindow      bool
}

// late: objects beyond the end of a session matter.
func (d *Drop) late() bool {
	return d.BeyondEnd || d.CommitState || d.OrphanAge || d.AckOnPut || d.FenceState
}

// Mutant is one rule dropped, and the configuration that should notice.
type Mutant struct {
	Name, Cfg string
	Drop      Drop
	Graph     bool // look for states without a way out too
}

var asWritten = []Mutant{
	{"reassign while FENCED, not yet sealed", "late", Drop{ReassignFenced: true}, false},
	{"pins and pending without epoch", "zombie", Drop{UnpinEpoch: true}, false},
	{"opener reads DRAINED sessions", "live", Drop{OpenDrained: true}, true},
	{"hand-over given up without raising v", "late", Drop{ResumeBump: true}, false},
	{"snap recorded without compare", "late", Drop{SnapCompare: true}, false},
	{"seal without condition", "late", Drop{SealState: true}, false},
	{"log start passes tiered", "start", Drop{StartKeepsTiered: true}, true},
	{"from[] cleared before its sessions are drained", "live", Drop{ClearUndrained: true}, true},
	{"topic removed before its leaders dropped it", "topic", Drop{RemoveUnconfirmed: true}, false},
	{"link does not look at the topic", "topic", Drop{LinkTopic: true}, false},
}

var mutants = []Mutant{
	{"ack on PUT, before the commit", "base", Drop{AckOnPut: true}, false},
	{"commit skips holes", "base", Drop{CommitHoles: true}, false},
	{"commit without state condition", "base", Drop{CommitState: true}, false},
	{"duplicate answered before the commit", "base", Drop{DupBeforeCommit: true}, false},
	{"stop rule ignores the epoch", "hand", Drop{StopAnyEpoch: true}, false},
	{"from[] replaced, not pushed", "base", Drop{FromReplaced: true}, false},
	{"from[] cleared before slot-open is committed", "base", Drop{ClearEarly: true, ClearUndrained: true}, false},
	{"from[] cleared without condition", "base", Drop{ClearCond: true, ClearUndrained: true}, false},
	{"footers read beyond end", "base", Drop{BeyondEnd: true}, false},
	{"snapshot from live memory", "base", Drop{SnapLive: true}, false},
	{"snapshot omits pinned slots", "hand", Drop{SnapPinned: true}, false},
	{"trim above snap+1", "tier", Drop{TrimAboveSnap: true}, false},
	{"pins ignored by trim", "hand", Drop{TrimPins: true}, false},
	{"trim while not ACTIVE", "tier", Drop{TrimState: true}, false},
	{"pins read before the fence", "hand", Drop{PinsEarly: true}, false},
	{"pin written without a look at the session", "hand", Drop{PinState: true}, false},
	{"pending without pinned slots", "hand", Drop{PendPins: true}, false},
	{"query of M before the fence", "late", Drop{SealQueryEarly: true}, false},
	{"fence without state condition", "base", Drop{FenceState: true}, false},
	{"epoch not raised", "base", Drop{EpochKept: true}, false},
	{"hand-over by a third party", "hand", Drop{ThirdParty: true}, false},
	{"slot-open before its snapshot is durable", "base", Drop{OpenNoSnapshot: true}, false},
	{"serve before slot-open is committed", "base", Drop{ServeEarly: true}, false},
	{"drain before slot-open is committed", "base", Drop{UnpinEarly: true}, false},
	{"drain before the data is in segments", "base", Drop{UnpinData: true}, false},
	{"hand-over without pin", "hand", Drop{NoPin: true}, false},
	{"pin covers the last epoch only", "hand", Drop{PinOwnEpoch: true}, false},
	{"snapshot recorded before it is durable", "base", Drop{SnapEarly: true}, false},
	{"slot re-opened on a stale read of its item", "hand", Drop{Reopen: true}, false},
	{"hand-over before the flush is committed", "hand", Drop{HandNoFlush: true}, false},
	{"orphan WAL deleted by age", "base", Drop{OrphanAge: true}, false},
	{"orphan segment deleted by age", "tier", Drop{SegAge: true}, false},
	{"tiered moved without compare", "tier", Drop{LinkCompare: true}, false},
	{"own success of a link taken for failure", "tier", Drop{LinkOwnSuccess: true}, false},
	{"segment above the high watermark", "tier", Drop{SegmentAboveHW: true}, false},
	{"unknown topics dropped on a stale cache", "topic", Drop{StaleTopics: true}, false},
	{"fence without a look at the heartbeat", "beat", Drop{FenceBeat: true}, false},
	{"a commit is no heartbeat", "beat", Drop{CommitBeat: true}, false},
	{"who was refused a fence does not look again", "beat", Drop{LookOnce: true}, true},
	{"from[] shortened before slot-open is committed", "zombie", Drop{NewestEarly: true}, false},
	{"flush as soon as a PUT has landed, however far the commit is", "beat", Drop{FlushWindow: true}, false},
}

var one = [NP]int{0, -1}
var two = [NP]int{0, 1}
var both = [NP]int{0, 0}

var configs = []Cfg{
	{Name: "base", Sessions: 3, Agents: 2, Slots: 1, Slot: one, Recs: 2, Window: 2, Ones: 0, Inflight: 2, Snaps: 1, Segs: 1},
	{Name: "hand", Gap: true, Sessions: 2, Agents: 2, Slots: 1, Slot: one, Recs: 2, Window: 1, Inflight: 1, Hands: 2, Wild: 1, Segs: 1, Snaps: 1},
	{Name: "zombie", Sessions: 3, Agents: 3, Slots: 1, Slot: one, Recs: 2, Window: 1, Inflight: 1, Hands: 1, Segs: 1},
	{Name: "late", Gap: true, Sessions: 2, Agents: 2, Slots: 1, Slot: one, Recs: 2, Window: 1, Inflight: 1, Hands: 1, Late: 1, Snaps: 1, Segs: 1},
	{Name: "tier", Gap: true, Sessions: 3, Agents: 2, Slots: 1, Slot: one, Recs: 2, Window: 1, Inflight: 1, Starts: 1, Snaps: 1, Segs: 2},
	{Name: "topic", Gap: true, Sessions: 3, Agents: 2, Slots: 1, Slot: both, Recs: 1, Window: 1, Inflight: 1, Segs: 1, Topics: true},
	{Name: "slots", Sessions: 2, Agents: 2, Slots: 2, Slot: two, Recs: 1, Window: 1, Inflight: 1, Hands: 1, Snaps: 1, Segs: 1},
	{Name: "close", Sessions: 3, Agents: 2, Slots: 1, Slot: one, Recs: 2, Window: 1, Inflight: 1, Hands: 1, Closes: 1, Segs: 1},
	{Name: "live", FromOnly: true, Sessions: 3, Agents: 2, Slots: 1, Slot: one, Recs: 1, Window: 1, Inflight: 1, Hands: 1, Wild: 1, Segs: 1},
	{Name: "start", FromOnly: true, Sessions: 2, Agents: 2, Slots: 1, Slot: one, Recs: 2, Window: 1, Inflight: 1, Starts: 1, Snaps: 1, Segs: 1},
	{Name: "beat", FromOnly: true, Sessions: 2, Agents: 2, Slots: 1, Slot: one, Recs: 2, Window: 2, Inflight: 1, Beats: 1, Segs: 2},
	// for random walks
	{Name: "deep", Deep: true, Gap: true, Sessions: 4, Agents: 3, Slots: 2, Slot: two, Recs: 4, Window: 2, Ones: 1, Inflight: 2, Hands: 3, Wild: 1, Late: 2, Starts: 1, Closes: 1, Snaps: 2, Segs: 3},
	{Name: "deep1", Deep: true, Gap: true, Sessions: 4, Agents: 3, Slots: 1, Slot: one, Recs: 4, Window: 2, Ones: 1, Inflight: 2, Hands: 3, Wild: 1, Late: 2, Starts: 1, Closes: 1, Snaps: 2, Segs: 3},
	{Name: "deept", Deep: true, Gap: true, Sessions: 4, Agents: 3, Slots: 1, Slot: both, Recs: 2, Window: 2, Inflight: 2, Hands: 2, Wild: 1, Late: 1, Snaps: 1, Segs: 2, Topics: true},
}

func config(name string) Cfg {
	for _, c := range configs {
		if c.Name == name {
			return c
		}
	}
	panic("no configuration " + name)
}
