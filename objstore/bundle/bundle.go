// Pure.

// Package bundle is Varve's one object format: WAL bundles, packs, segments, snapshots and data objects are all a header, a
// body of verbatim record batches, a footer of sections and a trailer. FORMAT.md has the byte tables.
//
// The package does no I/O and imports nothing of Varve. A writer appends the header, then the batches, then the footer and
// trailer to one slice. A reader gets the end of an object (TailLen bytes, or all of it), finds the footer, and then knows
// where everything lies. Every count and position is checked against the bytes that are there before anything is allocated
// or believed: an object may come from anybody who can write to the bucket.
package bundle

import (
	"errors"

	"github.com/google/uuid"
)

// Sizes in bytes, and the format version this package writes.
const (
	HeaderLen  = 64
	TrailerLen = 32
	TailLen    = 64 << 10 // what a reader asks for when it does not know where the footer begins
	Version    = 1
)

// Kind says what an object is for.
type Kind uint8

// The kinds of object.
const (
	WAL  Kind = iota + 1 // one flush of one session
	PACK                 // the runs of a window of WAL, by partition
	SEG                  // one partition's history
	SNAP                 // state of the log after a WAL sequence number; its body is empty
	DATA                 // batches that another session's runs refer to
)

// Header is the first 64 bytes of an object.
type Header struct {
	Kind    Kind
	Flags   uint8 // none defined
	Cluster uuid.UUID
	Session uuid.UUID // the writer's
	Seq     uint64    // WAL: its number in the session, from 1. SNAP: the last WAL number it covers
}

// Footer is the index of an object. Sections that are empty take no bytes.
type Footer struct {
	Topics     []Topic
	Slots      []Slot
	Runs       []Run
	Batches    []Batch
	Sparse     []Sparse // segments: those of Runs, in their order
	Ops        []Op
	Objects    []Object    // snapshots: the objects that Refs names
	Refs       []Ref       // snapshots: where each of Runs lies, one for one
	Partitions []Partition // snapshots
	Epochs     []Epoch     // snapshots: those of Partitions, in their order
	Producers  []Producer  // snapshots: those of Partitions, in their order
}

// Topic names a topic that runs or partitions refer to by its index.
type Topic struct {
	ID         uuid.UUID
	Name       string // at most 249 bytes
	Partitions uint32 // snapshots: how many the topic has; else 0
}

// Slot says which runs belong to a slot: Runs is sorted by slot, topic index, partition, base.
type Slot struct {
	Slot     uint16
	Epoch    int32  // under which the writer led it
	FirstRun uint32 // index into Footer.Runs
	Runs     uint32
}

// Run is consecutive verbatim batches of one partition: bytes [Pos, Pos+Len) of the object, or of another one that a Ref
// names, holding the offsets [Base, Next).
type Run struct {
	Topic        uint32 // index into Footer.Topics
	Partition    int32
	Slot         uint16
	Flags        uint16 // none defined
	LeaderEpoch  int32
	Base, Next   int64
	Pos          uint64
	Len          uint32
	Batches      uint32 // how many batches the run has; snapshots may have 0: not counted, and no digest
	MaxTimestamp int64  // ms since 1970
	FirstBatch   uint32 // index into Footer.Batches, in a segment into Footer.Sparse, of its first entry, if the object has that section
	Digest       uint32 // ownership: Digest over topic, partition, epoch, base and batch CRCs
}

// Batch is the index entry of one batch of a run, in the order of the bytes.
type Batch struct {
	PosDelta        uint32 // from Run.Pos
	Len             uint32 // bytes
	OffsetDelta     uint32 // of its base offset, from Run.Base
	LastOffsetDelta uint32 // within the batch
	MaxTimestamp    int64
	ProducerID      int64 // -1: none
	ProducerEpoch   int16
	Attributes      uint16
	BaseSequence    int32
	Records         uint32
}

// Sparse is the index entry of a stretch of a segment's run: whole batches, from this entry's up to the next one's, or the run's end.
type Sparse struct {
	OffsetDelta  uint32 // of the first offset, from Run.Base
	PosDelta     uint32 // of the first byte, from Run.Pos
	MaxTimestamp int64  // ms: the largest of the run up to the end of this stretch, so that it never falls within a run
	Batches      uint32 // in the stretch
}

// OpKind says what an Op does.
type OpKind uint8

// The control operations.
const (
	OpSlotOpen OpKind = iota + 1 // Slot, Epoch, Key (of the snapshot the leader opened with): the leader serves from here on
	OpLogStart                   // Topic, Partition, Offset: the log start moved there
)

// Op is a control operation: a change of state that is not a record. Ops take effect before the runs of their object.
type Op struct {
	Kind      OpKind
	Slot      uint16
	Epoch     int32
	Topic     uint32 // index into Footer.Topics
	Partition int32
	Offset    int64
	Key       string // at most 1,024 bytes
}

// Object is an object that a Ref names: a WAL bundle, by writer and number.
type Object struct {
	Kind    Kind
	Session uuid.UUID
	Seq     uint64
	Size    uint64 // bytes of its body's end: where its footer begins
}

// Ref says where the bytes of the run of the same index lie.
type Ref struct{ Object uint32 }

// Location says where a run's bytes lie, for one who reads it without the footer: an entry of a partition's tail index.
type Location struct {
	Object       Object
	Pos          uint64 // in the object
	Len          uint32 // bytes
	Base, Next   int64
	MaxTimestamp int64 // ms
	LeaderEpoch  int32
}

// Partition is a partition's committed state in a snapshot; its tail is those of Runs that have its topic and number.
type Partition struct {
	Topic     uint32 // index into Footer.Topics
	Partition int32
	Slot      uint16
	LogStart  int64
	LogEnd    int64
	Epochs    uint32 // how many of Footer.Epochs are its own
	Producers uint32 // how many of Footer.Producers are its own
}

// Epoch is one entry of a partition's leader-epoch list (KIP-101): the first offset written under it.
type Epoch struct {
	Epoch int32
	Start int64
}

// Producer is what a partition remembers of one idempotent producer (KIP-98).
type Producer struct {
	ID            int64
	Epoch         int16
	LastTimestamp int64      // ms, of its last append: for expiry
	Last          []Appended // its last batches, oldest first, at most 5
}

// Appended is one batch that a producer appended.
type Appended struct {
	FirstSeq, LastSeq int32
	FirstOffset       int64
	LastOffset        int64
	Timestamp         int64 // log append time of the batch, or -1: what a duplicate is answered with
}

// The errors of a reader, each with the caller's next move. Test with errors.Is: what is returned says where and what.
var (
	// ErrShort: the bytes given do not hold the whole footer. Get them from the offset that Locate returned.
	ErrShort = errors.New("footer not inside the bytes given")
	// ErrCorrupt: not a bundle, or damaged. Read it once more past every cache; then it is damage at rest.
	ErrCorrupt = errors.New("corrupt bundle")
	// ErrVersion: written by a newer Varve. Upgrade this program.
	ErrVersion = errors.New("bundle version not supported")
)
