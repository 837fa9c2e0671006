// Pure.

package bundle

import (
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Locate reads the trailer at the end of tail and returns where the footer's sections lie in the object, which has size
// bytes: n bytes from pos, followed by the trailer. A reader that got ErrShort from ParseTail gets [pos, size).
func Locate(tail []byte, size int64) (pos, n int64, kind Kind, err error) {
	if size < HeaderLen+TrailerLen || int64(len(tail)) > size {
		return 0, 0, 0, fmt.Errorf("read trailer: object of %d bytes, tail of %d: %w", size, len(tail), ErrCorrupt)
	}
	if len(tail) < TrailerLen {
		return 0, 0, 0, fmt.Errorf("read trailer: %d bytes: %w", len(tail), ErrShort)
	}
	t := tail[len(tail)-TrailerLen:]
	if string(t[24:]) != tailMagic {
		return 0, 0, 0, fmt.Errorf("read trailer: no magic: %w", ErrCorrupt)
	}
	if err := checkVersion(le.Uint16(t[16:]), Kind(t[18])); err != nil {
		return 0, 0, 0, fmt.Errorf("read trailer: %w", err)
	}
	at, length := le.Uint64(t), le.Uint32(t[8:])
	if at < HeaderLen || at > uint64(size) || uint64(size)-at != uint64(length)+TrailerLen {
		return 0, 0, 0, fmt.Errorf("read trailer: footer of %d bytes at %d, object of %d: %w", length, at, size, ErrCorrupt)
	}
	return int64(at), int64(length), Kind(t[18]), nil
}

// ParseTail reads the footer from tail, the last len(tail) bytes of an object of size bytes. ErrShort: the footer begins
// before tail; Locate says where. The footer does not alias tail. It passed Check. Names and keys share one string each per
// section: clone what is kept for long.
func ParseTail(tail []byte, size int64) (*Footer, Kind, error) {
	pos, n, kind, err := Locate(tail, size)
	if err != nil {
		return nil, 0, err
	}
	if n+TrailerLen > int64(len(tail)) {
		return nil, 0, fmt.Errorf("read footer: %d bytes at %d: %w", n, pos, ErrShort)
	}
	foot := tail[int64(len(tail))-TrailerLen-n:]
	if got, want := footerCRC(foot), le.Uint32(foot[n+12:]); got != want {
		return nil, 0, fmt.Errorf("read footer: crc %08x, not %08x: %w", got, want, ErrCorrupt)
	}
	f := &Footer{}
	if err := f.parse(foot[:n]); err != nil {
		return nil, 0, fmt.Errorf("read footer: %w", err)
	}
	if err := f.Check(kind, pos); err != nil {
		return nil, 0, fmt.Errorf("read footer: %w", err)
	}
	return f, kind, nil
}

// parse reads all sections.
func (f *Footer) parse(b []byte) error {
	var seen uint32
	for len(b) > 0 {
		typ, body, rest, err := nextSection(b)
		if err != nil {
			return err
		}
		if typ >= 1 && typ <= secLast {
			if seen&(1<<typ) != 0 {
				return fmt.Errorf("section %d twice: %w", typ, ErrCorrupt)
			}
			seen |= 1 << typ
		}
		if err := f.parseSection(typ, body); err != nil {
			return fmt.Errorf("section %d: %w", typ, err)
		}
		b = rest
	}
	return nil
}

// nextSection splits off the first section of b.
func nextSection(b []byte) (typ uint16, body, rest []byte, err error) {
	if len(b) < secHead {
		return 0, nil, nil, fmt.Errorf("section header cut: %w", ErrCorrupt)
	}
	typ, n := le.Uint16(b), le.Uint32(b[2:])
	b = b[secHead:]
	if uint64(n) > uint64(len(b)) {
		return 0, nil, nil, fmt.Errorf("section %d of %d bytes, %d left: %w", typ, n, len(b), ErrCorrupt)
	}
	return typ, b[:n], b[n:], nil
}

func (f *Footer) parseSection(typ uint16, b []byte) (err error) {
	switch typ {
	case secTopics:
		f.Topics, err = parseTopics(b)
	case secSlots:
		f.Slots, err = rows(b, slotRow, parseSlot)
	case secRuns:
		f.Runs, err = rows(b, runRow, parseRun)
	case secBatches:
		f.Batches, err = rows(b, batchRow, parseBatch)
	case secSparse:
		f.Sparse, err = rows(b, sparseRow, parseSparse)
	case secRefs:
		f.Refs, err = rows(b, refRow, func(b []byte, r *Ref) { r.Object = le.Uint32(b) })
	case secOps:
		f.Ops, err = parseOps(b)
	case secObjects:
		f.Objects, err = rows(b, objectRow, parseObject)
	case secPartitions:
		f.Partitions, err = rows(b, partitionRow, parsePartition)
	case secEpochs:
		f.Epochs, err = rows(b, epochRow, func(b []byte, e *Epoch) {
			e.Epoch, e.Start = int32(le.Uint32(b)), int64(le.Uint64(b[4:]))
		})
	case secProducers:
		f.Producers, err = parseProducers(b)
	}
	return err // a section that this version does not know says nothing that it must know
}

// rows reads a section of rows of one size: as many as its bytes hold.
func rows[T any](b []byte, row int, parse func([]byte, *T)) ([]T, error) {
	if len(b)%row != 0 {
		return nil, fmt.Errorf("%d bytes, rows of %d: %w", len(b), row, ErrCorrupt)
	}
	if len(b) == 0 {
		return nil, nil
	}
	out := make([]T, len(b)/row)
	for i := range out {
		parse(b[i*row:], &out[i])
	}
	return out, nil
}

func parseSlot(b []byte, s *Slot) {
	s.Slot = le.Uint16(b)
	s.Epoch = int32(le.Uint32(b[2:]))
	s.FirstRun = le.Uint32(b[6:])
	s.Runs = le.Uint32(b[10:])
}

func parseRun(b []byte, r *Run) {
	p := (*[runRow]byte)(b)
	r.Topic = le.Uint32(p[0:])
	r.Partition = int32(le.Uint32(p[4:]))
	r.Slot = le.Uint16(p[8:])
	r.Flags = le.Uint16(p[10:])
	r.LeaderEpoch = int32(le.Uint32(p[12:]))
	r.Base = int64(le.Uint64(p[16:]))
	r.Next = int64(le.Uint64(p[24:]))
	r.Pos = le.Uint64(p[32:])
	r.Len = le.Uint32(p[40:])
	r.Batches = le.Uint32(p[44:])
	r.MaxTimestamp = int64(le.Uint64(p[48:]))
	r.FirstBatch = le.Uint32(p[56:])
	r.Digest = le.Uint32(p[60:])
}

func parseBatch(b []byte, x *Batch) {
	p := (*[batchRow]byte)(b)
	x.PosDelta = le.Uint32(p[0:])
	x.Len = le.Uint32(p[4:])
	x.OffsetDelta = le.Uint32(p[8:])
	x.LastOffsetDelta = le.Uint32(p[12:])
	x.MaxTimestamp = int64(le.Uint64(p[16:]))
	x.ProducerID = int64(le.Uint64(p[24:]))
	x.ProducerEpoch = int16(le.Uint16(p[32:]))
	x.Attributes = le.Uint16(p[34:])
	x.BaseSequence = int32(le.Uint32(p[36:]))
	x.Records = le.Uint32(p[40:])
}

func parseSparse(b []byte, x *Sparse) {
	p := (*[sparseRow]byte)(b)
	x.OffsetDelta = le.Uint32(p[0:])
	x.PosDelta = le.Uint32(p[4:])
	x.MaxTimestamp = int64(le.Uint64(p[8:]))
	x.Batches = le.Uint32(p[16:])
}

// countRows counts the rows of a section whose rows have fixed bytes and then size(row) more, and checks that they fill it.
func countRows(b []byte, fixed int, size func([]byte) int) (int, error) {
	n := 0
	for len(b) > 0 {
		if len(b) < fixed || len(b)-fixed < size(b) {
			return 0, fmt.Errorf("row %d cut: %w", n, ErrCorrupt)
		}
		b = b[fixed+size(b):]
		n++
	}
	return n, nil
}

func parseTopics(b []byte) ([]Topic, error) {
	n, err := countRows(b, topicRow, func(b []byte) int { return int(le.Uint16(b[20:])) })
	if err != nil || n == 0 {
		return nil, err
	}
	out, all, at := make([]Topic, n), string(b), 0
	for i := range out {
		t, row := &out[i], b[at:]
		end := at + topicRow + int(le.Uint16(row[20:]))
		t.ID = uuid.UUID(row[:16])
		t.Partitions = le.Uint32(row[16:])
		t.Name = all[at+topicRow : end]
		at = end
	}
	return out, nil
}

func parseOps(b []byte) ([]Op, error) {
	n, err := countRows(b, opRow, func(b []byte) int { return int(le.Uint16(b[24:])) })
	if err != nil || n == 0 {
		return nil, err
	}
	out, all, at := make([]Op, n), string(b), 0
	for i := range out {
		o, row := &out[i], b[at:]
		end := at + opRow + int(le.Uint16(row[24:]))
		o.Kind = OpKind(row[0])
		o.Slot = le.Uint16(row[2:])
		o.Epoch = int32(le.Uint32(row[4:]))
		o.Topic = le.Uint32(row[8:])
		o.Partition = int32(le.Uint32(row[12:]))
		o.Offset = int64(le.Uint64(row[16:]))
		o.Key = all[at+opRow : end]
		at = end
	}
	return out, nil
}

// validString says whether s may be a name or key: of 1 to max bytes, UTF-8.
func validString(s string, max int) bool {
	return s != "" && len(s) <= max && utf8.ValidString(s)
}
