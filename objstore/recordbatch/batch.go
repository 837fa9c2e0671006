// Pure.

// Package recordbatch reads and writes Kafka's record batch, format v2 (KIP-98): the unit that producers send, that Varve
// stores verbatim and that consumers get. FORMAT.md has the byte table.
//
// A Batch is a slice of the bytes it came in; accessors read them in place and allocate nothing. The hot paths are Next,
// Check and the three setters. Iterate opens a batch, which only compaction, validation, look-ups by timestamp and scans need.
// Nothing here reads past its input or panics on hostile bytes, provided that a Batch came from Next, passed Check, or
// otherwise has at least HeaderLen bytes.
//
// The package does no I/O and imports nothing of Varve.
package recordbatch

import (
	"encoding/binary"
	"errors"
)

// SumStart is where in a batch the bytes begin that its CRC covers, to the end.
const SumStart = 21

// HeaderLen is the bytes of a batch before its records. The length field counts what follows its own end at byte 12.
const (
	HeaderLen    = 61
	lengthEnd    = 12
	crcStart     = SumStart
	maxTSStart   = 35
	minRecordLen = 7 // bytes of a record with null key, null value and no headers
)

// Bits of the attributes. Bits 0 to 2 are the codec.
const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

// The errors, each with the caller's next move. Test with errors.Is: what is returned says where and what.
var (
	// ErrTruncated: the bytes end inside a batch. A range that was cut short; from a producer: CORRUPT_MESSAGE.
	ErrTruncated = errors.New("record batch truncated")
	// ErrMagic: not format v2. Kafka dropped v0 and v1 in 4.0; the producer must upgrade.
	ErrMagic = errors.New("record batch format not supported")
	// ErrCorrupt: the length field is impossible, so that nothing after it can be found.
	ErrCorrupt = errors.New("record batch length impossible")
	// ErrCRC: damaged on its way or at rest. From a producer: CORRUPT_MESSAGE.
	ErrCRC = errors.New("record batch CRC mismatch")
	// ErrInvalid: intact but wrong: counts, deltas, sequences, record lengths. From a producer: INVALID_RECORD.
	ErrInvalid = errors.New("record batch invalid")
	// ErrCodec: unknown codec, or compressed bytes that the codec refuses.
	ErrCodec = errors.New("record batch cannot be decompressed")
	// ErrTooLarge: the records have more bytes than the caller allows.
	ErrTooLarge = errors.New("record batch larger than allowed when decompressed")
)

// Batch is one whole batch, verbatim: lengthEnd + Length bytes. It aliases the bytes it was found in.
type Batch []byte

var be = binary.BigEndian

// BaseOffset is the offset of the batch's first record (of the record that was its first, if compaction removed that).
func (b Batch) BaseOffset() int64 { return int64(be.Uint64(b)) }

// Length is the length field: the bytes after it.
func (b Batch) Length() int32 { return int32(be.Uint32(b[8:])) }

// LeaderEpoch is the epoch of the leader that appended the batch; what producers put there means nothing.
func (b Batch) LeaderEpoch() int32 { return int32(be.Uint32(b[12:])) }

// Magic is the format version: 2.
func (b Batch) Magic() int8 { return int8(b[16]) }

// CRC is the CRC-32C of the bytes from the attributes on.
func (b Batch) CRC() uint32 { return be.Uint32(b[17:]) }

// Attributes are the bits that Codec, IsLogAppend, IsTransactional, IsControl and HasDeleteHorizon tell apart.
func (b Batch) Attributes() int16 { return int16(be.Uint16(b[21:])) }

// LastOffsetDelta is the offset of the last record minus BaseOffset.
func (b Batch) LastOffsetDelta() int32 { return int32(be.Uint32(b[23:])) }

// BaseTimestamp is what the records' timestamp deltas are added to, in ms since 1970; or the delete horizon.
func (b Batch) BaseTimestamp() int64 { return int64(be.Uint64(b[27:])) }

// MaxTimestamp is the largest timestamp, in ms since 1970. With IsLogAppend it is that of every record.
func (b Batch) MaxTimestamp() int64 { return int64(be.Uint64(b[maxTSStart:])) }

// ProducerID is the idempotent producer's id, or -1.
func (b Batch) ProducerID() int64 { return int64(be.Uint64(b[43:])) }

// ProducerEpoch is the idempotent producer's epoch, or -1.
func (b Batch) ProducerEpoch() int16 { return int16(be.Uint16(b[51:])) }

// BaseSequence is the producer's sequence number of the first record, or -1. Sequences wrap from 2^31-1 to 0.
func (b Batch) BaseSequence() int32 { return int32(be.Uint32(b[53:])) }

// NumRecords is the record count.
func (b Batch) NumRecords() int32 { return int32(be.Uint32(b[57:])) }

// Codec is the compression of the records.
func (b Batch) Codec() Codec { return Codec(b[22] & attrCodec) }

// IsLogAppend says that the leader set the timestamps (LogAppendTime), not the producer (CreateTime).
func (b Batch) IsLogAppend() bool { return b[22]&attrLogAppendTime != 0 }

// IsTransactional says that the batch is part of a transaction.
func (b Batch) IsTransactional() bool { return b[22]&attrTransactional != 0 }

// IsControl says that the records are markers, not a client's.
func (b Batch) IsControl() bool { return b[22]&attrControl != 0 }

// HasDeleteHorizon says that BaseTimestamp is the time from which compaction may drop tombstones (KIP-534).
func (b Batch) HasDeleteHorizon() bool { return b[22]&attrDeleteHorizon != 0 }

// LastOffset is the offset of the last record.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset after the last record.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// Payload is the records, compressed or not. It aliases the batch.
func (b Batch) Payload() []byte { return b[HeaderLen:] }
