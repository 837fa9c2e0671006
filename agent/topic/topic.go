package topic

import (
	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

// Topic is a topic as it was at version V. It is never changed; a newer one takes its place.
type Topic struct {
	Name      string
	ID        uuid.UUID
	Slots     []uint16          // slot of each partition
	Overrides map[string]string // configs that were set on the topic; never nil
	Config    Config            // what the configs come to
	V         int64             // version of the set of topics at which it was written; rises with every change
	Created   int64             // ms since 1970
}

// Partitions is the number of partitions.
func (t *Topic) Partitions() int32 { return int32(len(t.Slots)) }

// Config is the effective values of those topic configs that act.
type Config struct {
	MaxMessageBytes   int32   // of a batch as it came (max.message.bytes)
	LogAppendTime     bool    // message.timestamp.type is LogAppendTime
	TimestampBefore   int64   // ms: most that a batch's timestamp may lie behind now
	TimestampAfter    int64   // ms: most that it may lie ahead of now
	AcksOneAtCommit   bool    // acks=1 is answered at the commit, not from memory
	Compacted         bool    // cleanup.policy has compact: every record needs a key
	Deleted           bool    // cleanup.policy has delete: retention applies
	RetentionMS       int64   // -1: for ever
	RetentionBytes    int64   // of a partition; -1: no limit
	SegmentMS         int64   // roll time
	SegmentBytes      int64   // cut a segment at
	DeleteRetentionMS int64   // how long tombstones stay
	MinCompactionLag  int64   // ms
	MaxCompactionLag  int64   // ms
	DirtyRatio        float64 // min.cleanable.dirty.ratio
}

// fromRecord turns an item into a Topic.
func fromRecord(r records.Topic, s *Settings) *Topic {
	return &Topic{
		Name: r.Name, ID: r.ID, Slots: r.Slots, Overrides: r.Configs, Config: s.effective(r.Configs),
		V: r.V, Created: r.Created,
	}
}
