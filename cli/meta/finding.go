// Pure.

package meta

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// Class is a kind of damage.
type Class string

// The classes of damage. Where is what a Finding's Where is.
const (
	MissingWAL      Class = "missing-wal"      // a bundle that is still needed is not in the bucket. Where: its key
	MissingPack     Class = "missing-pack"     // likewise
	MissingSegment  Class = "missing-segment"  // likewise
	MissingSnapshot Class = "missing-snapshot" // the snapshot that a session names is not in the bucket. Where: session
	Damaged         Class = "damaged"          // an object's bytes are not what it, or the table, says. Where: its key
	Orphan          Class = "orphan"           // an object that nothing names, whose writer has ended. Where: its key
	Foreign         Class = "foreign"          // an object under the cluster's prefix that is none of its own. Where: its key
	ExtentGap       Class = "extent-gap"       // offsets between two extents, or before the tail, lie nowhere. Where: topic/partition
	ExtentOverlap   Class = "extent-overlap"   // two extents hold the same offsets. Where: topic/partition
	ExtentBounds    Class = "extent-bounds"    // extents do not reach from log_start to tiered, or are counted wrong. Where: topic/partition
	PackCounter     Class = "pack-counter"     // a pack's item does not count the runs that are needed. Where: pack
	SessionOpenEnd  Class = "session-open-end" // a session that is FENCED and that nobody seals. Where: session
	SessionNeedless Class = "session-needless" // a session that has ended, that nothing needs, and that is not DRAINED. Where: session
	SessionUnknown  Class = "session-unknown"  // the bucket or the table names a session that the table does not have. Where: session
	SlotLeader      Class = "slot-leader"      // a slot without a leader, or whose leader has ended while others live. Where: slot
	SlotOutside     Class = "slot-outside"     // a slot beyond the cluster's number of slots. Where: topic name, or slot
	FromNeedless    Class = "from-needless"    // a slot's from[] names a session that keeps nothing for it. Where: slot
	Overdue         Class = "gc-overdue"       // objects that should have been deleted by now. Where: pk,sk of the item
	Undecodable     Class = "undecodable"      // an item that no decoder takes. Where: pk,sk
	StartMark       Class = "start-mark"       // a mark of a session start that the table does not know. Where: its key
)

// Classes returns all classes there are.
func Classes() []Class {
	return []Class{
		MissingWAL, MissingPack, MissingSegment, MissingSnapshot, Damaged, Orphan, Foreign, ExtentGap, ExtentOverlap, ExtentBounds, PackCounter,
		SessionOpenEnd, SessionNeedless, SessionUnknown, SlotLeader, SlotOutside, FromNeedless, Overdue, Undecodable, StartMark,
	}
}

// Finding is something that does not add up.
type Finding struct {
	Class Class
	Where string
	What  string   // one line for people
	Fix   []string // the command that mends it, without the program's name and the flags that name the stores; empty: Hint says what to do
	Hint  string
}

// Mendable reports whether Repair does something about it, also where a check prints another command, or says first who may.
func (f Finding) Mendable() bool {
	return f.Class == ExtentBounds || f.Class == PackCounter || len(f.Fix) > 1 && f.Fix[1] == "repair"
}

// maxFindings bounds what is remembered of a check. More are counted.
const maxFindings = 100_000

// findings are those of one look.
type findings struct {
	mu   sync.Mutex
	all  []Finding
	more int
	idle []Finding // packs that nobody needs, if that is all: see checkIdle
}

func (f *findings) add(n Finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.all) == maxFindings {
		f.more++
		return
	}
	f.all = append(f.all, n)
}

// repair adds a finding that Repair mends.
func (f *findings) repair(c Class, where, format string, args ...any) {
	f.add(Finding{c, where, fmt.Sprintf(format, args...), []string{"meta", "repair", string(c), where, "--yes"}, ""})
}

// sweeps is the command that sweeps.
var sweeps = []string{"segment", "gc", "--yes"}

// sweep adds a finding that Sweep mends.
func (f *findings) sweep(c Class, where, format string, args ...any) {
	f.add(Finding{c, where, fmt.Sprintf(format, args...), slices.Clone(sweeps), ""})
}

// hint adds a finding that no command mends by itself.
func (f *findings) hint(c Class, where, hint, format string, args ...any) {
	f.add(Finding{c, where, fmt.Sprintf(format, args...), nil, hint})
}

// sorted returns the findings by class and place, each once.
func (f *findings) sorted() []Finding {
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.SortFunc(f.all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Where, b.Where), cmp.Compare(a.What, b.What))
	})
	f.all = slices.CompactFunc(f.all, func(a, b Finding) bool { return a.Class == b.Class && a.Where == b.Where && a.What == b.What })
	return f.all
}

// both returns the findings of now that were there before, by class and place: a number in them may have moved.
func both(before, now []Finding) []Finding {
	type place struct {
		class Class
		where string
	}
	seen := map[place]bool{}
	for _, f := range before {
		seen[place{f.Class, f.Where}] = true
	}
	return slices.DeleteFunc(now, func(f Finding) bool { return !seen[place{f.Class, f.Where}] })
}
