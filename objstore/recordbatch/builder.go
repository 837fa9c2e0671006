// Pure.

package recordbatch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Builder encodes records into a batch: for control batches, compaction, tools and tests. The zero value makes a plain
// uncompressed batch at offset 0. A Builder may be used again and from several goroutines, as long as nobody changes it.
type Builder struct {
	BaseOffset    int64
	LeaderEpoch   int32
	Codec         Codec
	Producer      *Producer // nil: not idempotent
	Transactional bool
	Control       bool
	LogAppendTime int64 // ms since 1970, of every record; 0: each record's own Timestamp (CreateTime)

	// KeepOffsets is for compaction: records keep their Offset, rising from BaseOffset or later, and the batch ends at
	// LastOffset, though its record be gone. It may even have no records left: what remains is its producer's sequence.
	KeepOffsets bool
	LastOffset  int64
}

// Producer is the idempotent producer of a batch.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32 // of the first record; -1 in markers
}

// Append appends one batch of records to dst. Unless KeepOffsets is set they get the offsets from BaseOffset on, and what
// their Offset says is not looked at. On error (no records, offsets that do not rise, unknown codec, more than 2 GiB) dst is
// returned as it came.
func (bl *Builder) Append(dst []byte, records []Record) ([]byte, error) {
	if err := bl.check(records); err != nil {
		return dst, fmt.Errorf("build batch: %w", err)
	}
	at := len(dst)
	out := append(dst, make([]byte, HeaderLen)...)
	bl.putHeader(Batch(out[at:]), records)
	if bl.Codec == None {
		out = bl.appendRecords(out, records)
	} else {
		var err error
		if out, err = deflate(out, bl.appendRecords(nil, records), bl.Codec); err != nil {
			return dst, fmt.Errorf("build batch: compress with %v: %w", bl.Codec, err)
		}
	}
	b := Batch(out[at:])
	if len(b)-lengthEnd > math.MaxInt32 {
		return dst, fmt.Errorf("build batch: %d bytes: %w", len(b), ErrTooLarge)
	}
	be.PutUint32(b[8:], uint32(len(b)-lengthEnd))
	b.setCRC()
	return out, nil
}

// check says whether records can be a batch.
func (bl *Builder) check(records []Record) error {
	if !bl.KeepOffsets {
		if len(records) == 0 || len(records) > math.MaxInt32 {
			return fmt.Errorf("%d records: %w", len(records), ErrInvalid)
		}
		return nil
	}
	last := bl.BaseOffset - 1
	for i := range records {
		if records[i].Offset <= last {
			return fmt.Errorf("offset %d after %d: %w", records[i].Offset, last, ErrInvalid)
		}
		last = records[i].Offset
	}
	if bl.BaseOffset < 0 || bl.LastOffset < max(last, bl.BaseOffset) || bl.LastOffset-bl.BaseOffset > math.MaxInt32 {
		return fmt.Errorf("offsets %d to %d, last record %d: %w", bl.BaseOffset, bl.LastOffset, last, ErrInvalid)
	}
	return nil
}

// appendRecords appends all records, uncompressed.
func (bl *Builder) appendRecords(dst []byte, records []Record) []byte {
	for i := range records {
		r, delta := &records[i], int32(i)
		if bl.KeepOffsets {
			delta = int32(r.Offset - bl.BaseOffset)
		}
		dst = appendRecord(dst, r, r.Timestamp-records[0].Timestamp, delta)
	}
	return dst
}

// putHeader fills in all but length and CRC.
func (bl *Builder) putHeader(b Batch, records []Record) {
	attr := uint16(bl.Codec) & attrCodec
	first, most, last := int64(-1), int64(-1), int64(len(records)-1)
	if len(records) > 0 {
		first, most = records[0].Timestamp, records[0].Timestamp
	}
	for i := range records {
		most = max(most, records[i].Timestamp)
	}
	if bl.KeepOffsets {
		last = bl.LastOffset - bl.BaseOffset
	}
	if bl.LogAppendTime != 0 {
		attr |= attrLogAppendTime
		most = bl.LogAppendTime
	}
	if bl.Transactional {
		attr |= attrTransactional
	}
	if bl.Control {
		attr |= attrControl
	}
	p := Producer{ID: -1, Epoch: -1, Sequence: -1}
	if bl.Producer != nil {
		p = *bl.Producer
	}
	be.PutUint64(b, uint64(bl.BaseOffset))
	be.PutUint32(b[12:], uint32(bl.LeaderEpoch))
	b[16] = 2
	be.PutUint16(b[21:], attr)
	be.PutUint32(b[23:], uint32(last))
	be.PutUint64(b[27:], uint64(first))
	be.PutUint64(b[maxTSStart:], uint64(most))
	be.PutUint64(b[43:], uint64(p.ID))
	be.PutUint16(b[51:], uint16(p.Epoch))
	be.PutUint32(b[53:], uint32(p.Sequence))
	be.PutUint32(b[57:], uint32(len(records)))
}

// appendRecord appends one record with its length.
func appendRecord(dst []byte, r *Record, ts int64, delta int32) []byte {
	n := 1 + varintLen(ts) + varintLen(int64(delta)) + bytesLen(r.Key) + bytesLen(r.Value) + varintLen(int64(len(r.Headers)))
	for i := range r.Headers {
		k := len(r.Headers[i].Key)
		n += varintLen(int64(k)) + k + bytesLen(r.Headers[i].Value)
	}
	dst = binary.AppendVarint(dst, int64(n))
	dst = append(dst, 0)
	dst = binary.AppendVarint(dst, ts)
	dst = binary.AppendVarint(dst, int64(delta))
	dst = appendBytes(dst, r.Key)
	dst = appendBytes(dst, r.Value)
	dst = binary.AppendVarint(dst, int64(len(r.Headers)))
	for i := range r.Headers {
		dst = binary.AppendVarint(dst, int64(len(r.Headers[i].Key)))
		dst = append(dst, r.Headers[i].Key...)
		dst = appendBytes(dst, r.Headers[i].Value)
	}
	return dst
}

func appendBytes(dst, v []byte) []byte {
	if v == nil {
		return append(dst, 1) // -1 in zigzag
	}
	return append(binary.AppendVarint(dst, int64(len(v))), v...)
}

func bytesLen(v []byte) int {
	if v == nil {
		return 1
	}
	return varintLen(int64(len(v))) + len(v)
}

func varintLen(v int64) int {
	n, u := 1, uint64(v)<<1^uint64(v>>63)
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}

// deflate appends src, compressed, to dst. Snappy is written raw, LZ4 with blocks of 64 KiB, as Java does; a zstd frame says
// how long it is, so that a reader needs no larger window.
func deflate(dst, src []byte, c Codec) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	switch c {
	case Gzip:
		return finish(buf, gzip.NewWriter(buf), src)
	case Snappy:
		return append(dst, snappy.Encode(nil, src)...), nil
	case LZ4:
		z := lz4.NewWriter(buf)
		if err := z.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil {
			return nil, err
		}
		return finish(buf, z, src)
	case Zstd:
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, err
		}
		return z.EncodeAll(src, dst), z.Close()
	}
	return nil, ErrCodec
}

// finish writes src to w and returns what came out in buf.
func finish(buf *bytes.Buffer, w io.WriteCloser, src []byte) ([]byte, error) {
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
