// Pure.

package recordbatch

import "fmt"

// Types in the key of a control record.
const (
	controlAbort  = 0
	controlCommit = 1
)

// Marker is the end of a transaction in one partition: a control batch of one record.
type Marker struct {
	BaseOffset       int64
	LeaderEpoch      int32
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	Timestamp        int64 // ms since 1970
	Commit           bool  // else abort
}

// AppendControl appends the batch of m: key = version i16 0 | type i16, value = version i16 0 | coordinator epoch i32, all
// big-endian, as in Kafka's ControlRecordType and EndTxnMarker.
func AppendControl(dst []byte, m Marker) []byte {
	var key [4]byte
	var value [6]byte
	if m.Commit {
		be.PutUint16(key[2:], controlCommit)
	}
	be.PutUint32(value[2:], uint32(m.CoordinatorEpoch))
	bl := Builder{
		BaseOffset:    m.BaseOffset,
		LeaderEpoch:   m.LeaderEpoch,
		Producer:      &Producer{ID: m.ProducerID, Epoch: m.ProducerEpoch, Sequence: -1},
		Transactional: true,
		Control:       true,
	}
	out, err := bl.Append(dst, []Record{{Timestamp: m.Timestamp, Key: key[:], Value: value[:]}})
	if err != nil {
		panic("recordbatch: one small record, uncompressed: " + err.Error()) // cannot happen
	}
	return out
}

// ParseControl reads a marker. ok is false if b is another kind of control batch, which only Kafka's own brokers write.
func ParseControl(b Batch) (m Marker, ok bool, err error) {
	if len(b) < HeaderLen || !b.IsControl() {
		return Marker{}, false, fmt.Errorf("read marker: not a control batch: %w", ErrInvalid)
	}
	for r, err := range b.Iterate(len(b)) {
		if err != nil {
			return Marker{}, false, fmt.Errorf("read marker: %w", err)
		}
		if len(r.Key) < 4 {
			return Marker{}, false, fmt.Errorf("read marker: key of %d bytes: %w", len(r.Key), ErrInvalid)
		}
		typ := be.Uint16(r.Key[2:])
		if typ != controlAbort && typ != controlCommit {
			return Marker{}, false, nil
		}
		if len(r.Value) < 6 {
			return Marker{}, false, fmt.Errorf("read marker: value of %d bytes: %w", len(r.Value), ErrInvalid)
		}
		return Marker{
			BaseOffset:       b.BaseOffset(),
			LeaderEpoch:      b.LeaderEpoch(),
			ProducerID:       b.ProducerID(),
			ProducerEpoch:    b.ProducerEpoch(),
			CoordinatorEpoch: int32(be.Uint32(r.Value[2:])),
			Timestamp:        r.Timestamp,
			Commit:           typ == controlCommit,
		}, true, nil
	}
	return Marker{}, false, fmt.Errorf("read marker: no record: %w", ErrInvalid)
}
