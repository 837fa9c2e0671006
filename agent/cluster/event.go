// Pure.

package cluster

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Event is something that happened to a session: time went by, an effect was answered, a peer told something.
type Event interface{ String() string }

// Tick: time went by.
type Tick struct{}

// Told: a peer sent a notice.
type Told struct {
	From   uuid.UUID
	Notice peer.Notice
}

// Gone: a redial found that the process of a session is gone. Other is the session that answers instead, Nil if the redial
// was refused.
type Gone struct{ Session, Other uuid.UUID }

// Cut: the link with a session is gone. Nothing follows from that but doubt.
type Cut struct{ Session uuid.UUID }

// Rates is what leading its slots costs this agent: appended bytes a second and partitions.
type Rates struct{ Loads []peer.Load }

// Recount: somebody here raised the version of map or topics; it is read, and the peers are told.
type Recount struct{}

// Learned: somebody here wrote these items for an operator. The map has changed.
type Learned struct {
	Slots  []records.Slot
	Agents []records.Agent
}

// Stop: the session is about to end itself. Nothing new is begun.
type Stop struct{}

// Answer is what came of an effect. Err nil: it was done. A *metastore.ConditionError: it was not. Any other: it may have been
// done, or may yet be. Which of the other fields are set depends on the effect.
type Answer struct {
	Job Job
	Err error

	Item      metastore.Item      // Write: as it is now
	Version   records.Version     // ReadVersion, ReadMap
	Map       *Map                // ReadMap
	Session   records.Session     // ReadSession, ReadEnd
	Slots     []records.Slot      // ReadEnd with the slot map
	Pins      records.Pins        // ReadEnd, ReadPins
	Committed uint64              // Open, Quiesce: of this session's log
	Sources   map[uint16][]Source // Open, Quiesce, Look: by slot
}

// Map is all that the metastore says about who leads what.
type Map struct {
	Live   map[uuid.UUID]string // agent names of the sessions on the list
	Agents []records.Agent
	Slots  []records.Slot
	Past   map[uuid.UUID]records.Session // sessions that lead slots and are not on the list
}

// Source is a session in whose WAL committed data of a slot lies, with the lowest sequence that holds some.
type Source struct {
	Session uuid.UUID
	Low     uint64
}

func (Tick) String() string { return "time" }

func (e Told) String() string {
	s := fmt.Sprintf("told by %s: map %d", short(e.From), e.Notice.Map)
	if e.Notice.Closing {
		s += " closing"
	}
	return s
}

func (e Gone) String() string {
	if e.Other == uuid.Nil {
		return "redial refused by " + short(e.Session)
	}
	return fmt.Sprintf("redial to %s answered by %s", short(e.Session), short(e.Other))
}

func (e Cut) String() string   { return "no link with " + short(e.Session) }
func (e Rates) String() string { return fmt.Sprintf("loads of %d slots", len(e.Loads)) }
func (Recount) String() string { return "versions changed here" }
func (e Learned) String() string {
	return fmt.Sprintf("written here: %d slots, %d agents", len(e.Slots), len(e.Agents))
}
func (Stop) String() string { return "stop" }

func (e Answer) String() string {
	switch old, failed := old(e.Err); {
	case failed && old == nil:
		return e.Job.String() + ": refused, no item"
	case failed:
		return e.Job.String() + ": refused"
	case e.Err != nil:
		return e.Job.String() + ": unknown"
	}
	switch e.Job.Kind {
	case jobWatch, jobSuspect:
		return fmt.Sprintf("%s: %s hb %d", e.Job, e.Session.State, e.Session.HB)
	case jobEnd, jobOwed:
		return fmt.Sprintf("%s: %s committed %d%s", e.Job, e.Session.State, e.Session.Committed, pinned(e.Pins.Slots))
	}
	return e.Job.String() + ": done"
}

func pinned(pins map[uint16]records.Pin) string {
	var b strings.Builder
	for _, n := range sorted(pins) {
		fmt.Fprintf(&b, " pin %d@%d", n, pins[n].Seq)
	}
	return b.String()
}

// Kind says what a Job is about.
type Kind uint8

// The kinds of jobs.
const (
	jobVersion Kind = iota + 1 // read the version of the map
	jobMap                     // read the map
	jobWatch                   // look at a session's heartbeat
	jobSuspect                 // look at it consistently
	jobFence
	jobEnd // read what a fenced session leaves
	jobSeal
	jobUnlist // take an ended session off the list
	jobRaise  // raise the version of the map
	jobTake   // make somebody leader of a free slot
	jobWant   // say who shall lead a slot
	jobOpen
	jobQuiesce // wait until all is committed that slots to be handed over have
	jobPin
	jobPins   // read this session's pins
	jobHand   // hand a slot over
	jobGiveUp // make a hand-over of unknown outcome impossible
	jobLook   // where does data lie
	jobOwed   // read what a session keeps
	jobUnpin
	jobClear // shorten from[]
	jobTrim
	jobRewrite // have what lies in other sessions' WALs rewritten
)

var kindNames = [...]string{
	"", "version", "map", "watch", "suspect", "fence", "end", "seal", "unlist", "raise", "take", "want", "open", "quiesce", "pin",
	"pins", "hand", "give-up", "look", "owed", "unpin", "clear", "trim", "rewrite",
}

// Job names what an effect is part of. There is at most one at a time of each name.
type Job struct {
	Kind    Kind
	Session uuid.UUID // whom it is about; Nil: nobody, or this session
	Slot    int32     // which slot; -1: none, or many
}

func (j Job) String() string {
	s := kindNames[j.Kind]
	if j.Session != uuid.Nil {
		s += " " + short(j.Session)
	}
	if j.Slot >= 0 {
		s += fmt.Sprintf(" %d", j.Slot)
	}
	return s
}

func (j Job) compare(k Job) int {
	if j.Kind != k.Kind {
		return int(j.Kind) - int(k.Kind)
	}
	if d := slices.Compare(j.Session[:], k.Session[:]); d != 0 {
		return d
	}
	return int(j.Slot) - int(k.Slot)
}

// short is enough of a session's id for people.
func short(id uuid.UUID) string { return id.String()[:8] }
