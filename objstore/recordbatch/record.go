// Pure.

package recordbatch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Bytes that a varint of 32 bits can take, and memory that a Header takes.
const (
	maxVarint32   = 5
	headerMemory  = 40
	freeHeaders   = 256 // how many headers a record may have whatever the cap
	minHeaderSize = 2
)

// record decodes the next record.
func (s *source) record(b Batch) (Record, error) {
	if err := s.needVarint(); err != nil {
		return Record{}, err
	}
	n, used := varint32(s.buf)
	if used == 0 || n < minRecordLen-1 {
		return Record{}, fmt.Errorf("length of record: %w", ErrInvalid)
	}
	end := used + int(n)
	if err := s.need(end); err != nil {
		return Record{}, err
	}
	if end > len(s.buf) {
		return Record{}, fmt.Errorf("record of %d bytes, %d left: %w", n, len(s.buf)-used, ErrInvalid)
	}
	body := s.buf[used:end:end]
	s.buf = s.buf[end:]
	return decodeRecord(body, b, s.limit)
}

// needVarint makes buf hold the varint that begins it, or all that is left.
func (s *source) needVarint() error {
	for n := 1; n <= maxVarint32; n++ {
		if err := s.need(n); err != nil {
			return err
		}
		if len(s.buf) < n || s.buf[n-1] < 0x80 {
			return nil
		}
	}
	return nil
}

// decodeRecord decodes a record after its length.
func decodeRecord(body []byte, b Batch, limit int) (Record, error) {
	d := decoder{b: body[1:]} // the attributes mean nothing
	ts, delta := d.varint64(), d.varint32()
	r := Record{Offset: b.BaseOffset() + int64(delta), Timestamp: b.BaseTimestamp() + ts}
	if b.IsLogAppend() {
		r.Timestamp = b.MaxTimestamp()
	}
	r.Key, r.Value = d.bytes(), d.bytes()
	if n := d.varint32(); !d.bad && n != 0 {
		r.Headers = d.headers(n, limit)
	}
	if d.bad || len(d.b) > 0 {
		return Record{}, fmt.Errorf("fields of record: %w", ErrInvalid)
	}
	if delta < 0 || delta > b.LastOffsetDelta() {
		return Record{}, fmt.Errorf("offset delta %d, last %d: %w", delta, b.LastOffsetDelta(), ErrInvalid)
	}
	return r, nil
}

// decoder reads fields off b until one is wrong; then it is bad and all that follow are zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) varint64() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint32() int32 {
	v, n := varint32(d.b)
	if n == 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// bytes reads a length and that many bytes; -1 is null. What it returns aliases b.
func (d *decoder) bytes() []byte {
	n := d.varint32()
	switch {
	case d.bad || n == -1:
		return nil
	case n < 0 || int(n) > len(d.b):
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// headers reads n headers, if the bytes can hold them and the memory for them is within limit.
func (d *decoder) headers(n int32, limit int) []Header {
	if n < 0 || int(n) > len(d.b)/minHeaderSize || int(n) > max(limit/headerMemory, freeHeaders) {
		d.fail()
		return nil
	}
	hs := make([]Header, n)
	for i := range hs {
		key := d.bytes()
		if key == nil { // a key may be empty, never null
			d.fail()
			return nil
		}
		hs[i] = Header{Key: string(key), Value: d.bytes()}
	}
	return hs
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

// varint32 reads a zigzag varint of 32 bits and its bytes; 0 bytes if there is none.
func varint32(b []byte) (int32, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return int32(b[0]>>1) ^ -int32(b[0]&1), 1
	}
	v, n := binary.Varint(b)
	if n <= 0 || n > maxVarint32 || v < math.MinInt32 || v > math.MaxInt32 {
		return 0, 0
	}
	return int32(v), n
}
