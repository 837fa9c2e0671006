// Pure.

package cluster

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/peer"
	"github.com/varvelog/varve/metastore"
)

// Effect is something that the core wants done. Those that have a Job are answered by an Answer for it, once.
type Effect interface{ String() string }

// Reads of the metastore. Those that decide something are consistent.
type (
	// ReadVersion reads the version item.
	ReadVersion struct {
		Job         Job
		Consistency metastore.Consistency
	}
	// ReadMap reads version, list, agents and slots, in this order, and the sessions that lead slots and are not on the list,
	// except those in Known, whose end is known.
	ReadMap struct {
		Job   Job
		Known map[uuid.UUID]bool
	}
	// ReadSession reads one session item.
	ReadSession struct {
		Job         Job
		ID          uuid.UUID
		Consistency metastore.Consistency
	}
	// ReadEnd reads what a session holds or keeps: its item, then its pins, and, if Slots, the slot map, in this order.
	ReadEnd struct {
		Job   Job
		ID    uuid.UUID
		Slots bool
	}
	// ReadPins reads this session's own pins.
	ReadPins struct {
		Job Job
		ID  uuid.UUID
	}
)

// Write changes the metastore. One op is a plain write, several are a transaction. What says it to people.
type Write struct {
	Job  Job
	Ops  []metastore.Op
	What string
}

// Effects on this agent's own slots.
type (
	// Open replays slots and serves them, once their slot-open is committed.
	Open struct {
		Job   Job
		Slots []Taken
	}
	// GiveUp ends an Open that is under way; it is not answered, the Open is.
	GiveUp struct{ Job Job }
	// Quiesce waits until everything appended is committed, then looks where data of the slots lies.
	Quiesce struct {
		Job   Job
		Slots []uint16
	}
	// Look looks where data of the slots that are led lies. Epochs says under which epoch each is open now: of one that goes and
	// comes back meanwhile the answer tells nothing.
	Look struct {
		Job    Job
		Epochs map[uint16]int32
	}
	// Trim tells the WAL that nothing below Pinned is held by a pin, 0: no pins; as of that version of the pins.
	Trim struct {
		Job     Job
		Pinned  uint64
		Version int64
	}
	// Rewrite has everything that lies in WALs packed, and a snapshot recorded that says so. See Slots.
	Rewrite struct{ Job Job }
	// Drain, Resume, Leave and Forget are not answered. See Slots.
	Drain struct {
		Slot  uint16
		Epoch int32
	}
	// Resume: see Slots.
	Resume struct {
		Slot  uint16
		Epoch int32
	}
	// Leave: see Slots.
	Leave struct {
		Slot  uint16
		Epoch int32
	}
	// Forget: see Slots.
	Forget struct {
		Slot  uint16
		Epoch int32
	}
)

// Effects towards peers and people. None is answered.
type (
	// Link keeps links with these sessions and no others.
	Link struct{ Peers []peer.Peer }
	// Tell tells all peers.
	Tell struct{ Notice peer.Notice }
	// Publish shows a new view of the cluster.
	Publish struct{ View *View }
	// Topics: the set of topics has this version.
	Topics struct{ Version int64 }
	// Say is a line of the log.
	Say struct {
		Level slog.Level
		Msg   string
		Args  []any
	}
	// Timed counts that a step of a fail-over or move was done, and how long it took.
	Timed struct {
		Step Step
		Took time.Duration
	}
)

// Step is a step of a fail-over or of a move of slots, for metrics.
type Step string

// The steps.
const (
	StepDetect Step = "detect" // last sign of life -> decided to fence
	StepFence  Step = "fence"
	StepSeal   Step = "seal"
	StepAssign Step = "assign" // slots are free -> all have a new leader
	StepOpen   Step = "open"
	StepHand   Step = "hand_over" // drain -> the other leads
)

func (e ReadVersion) String() string { return "read version" }
func (e ReadMap) String() string     { return "read map" }
func (e ReadPins) String() string    { return "read own pins" }
func (e ReadSession) String() string {
	if e.Consistency == metastore.Consistent {
		return "read session " + short(e.ID) + " consistently"
	}
	return "read session " + short(e.ID)
}
func (e ReadEnd) String() string {
	s := "read session and pins of " + short(e.ID)
	if e.Slots {
		s += ", and the slot map"
	}
	return s
}
func (e Write) String() string { return "write " + e.What }
func (e Open) String() string {
	var b strings.Builder
	b.WriteString("open")
	for _, t := range e.Slots {
		fmt.Fprintf(&b, " %d e%d", t.Slot, t.Epoch)
		for _, f := range t.From {
			fmt.Fprintf(&b, " [%s <%d e%d]", short(f.Session), f.End, f.Epoch)
		}
	}
	return b.String()
}
func (e GiveUp) String() string  { return "give up to " + e.Job.String() }
func (e Quiesce) String() string { return fmt.Sprintf("quiesce %v", e.Slots) }
func (e Look) String() string    { return "look where data lies" }
func (e Trim) String() string    { return fmt.Sprintf("trim, pinned %d", e.Pinned) }
func (e Rewrite) String() string { return "rewrite what lies in WALs" }
func (e Drain) String() string   { return fmt.Sprintf("drain %d e%d", e.Slot, e.Epoch) }
func (e Resume) String() string  { return fmt.Sprintf("resume %d e%d", e.Slot, e.Epoch) }
func (e Leave) String() string   { return fmt.Sprintf("leave %d e%d", e.Slot, e.Epoch) }
func (e Forget) String() string  { return fmt.Sprintf("forget %d e%d", e.Slot, e.Epoch) }
func (e Link) String() string {
	s := "link"
	for _, p := range e.Peers {
		s += " " + p.Agent
	}
	return s
}
func (e Tell) String() string {
	s := fmt.Sprintf("tell map %d", e.Notice.Map)
	if e.Notice.Closing {
		s += " closing"
	}
	return s
}
func (e Publish) String() string { return "view " + e.View.String() }
func (e Topics) String() string  { return fmt.Sprintf("topics %d", e.Version) }
func (e Say) String() string     { return "say: " + e.Msg }
func (e Timed) String() string   { return fmt.Sprintf("timed %s %v", e.Step, e.Took) }
