// Pure.

package recordbatch

import (
	"fmt"
	"hash/crc32"
)

// castagnoli is the table of CRC-32C (RFC 3720, appendix B.4), which current CPUs compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Next splits the first batch off a run of them. At the end of the run b is nil and so is err. It looks at magic and length
// only. ErrTruncated, ErrMagic, ErrCorrupt: rest is nil.
func Next(run []byte) (b Batch, rest []byte, err error) {
	if len(run) < HeaderLen {
		return nextShort(run)
	}
	if run[16] != 2 {
		return nil, nil, badMagic(run)
	}
	n := int64(int32(be.Uint32(run[8:])))
	if n < HeaderLen-lengthEnd || n > int64(len(run)-lengthEnd) {
		return nil, nil, badLength(n, len(run))
	}
	end := int(n) + lengthEnd
	return Batch(run[:end:end]), run[end:], nil
}

// nextShort is Next for less than a header, out of its way: no bytes, or an error.
func nextShort(run []byte) (Batch, []byte, error) {
	if len(run) == 0 {
		return nil, nil, nil
	}
	if len(run) > 16 { // a message of v0 or v1 can be this short; its magic lies at the same place
		if run[16] != 2 {
			return nil, nil, badMagic(run)
		}
		return nil, nil, badLength(int64(int32(be.Uint32(run[8:]))), len(run))
	}
	return nil, nil, fmt.Errorf("%d bytes: %w", len(run), ErrTruncated)
}

func badMagic(run []byte) error { return fmt.Errorf("magic %d: %w", int8(run[16]), ErrMagic) }

func badLength(n int64, have int) error {
	if n < HeaderLen-lengthEnd {
		return fmt.Errorf("length %d: %w", n, ErrCorrupt)
	}
	return fmt.Errorf("length %d, %d bytes: %w", n, have, ErrTruncated)
}

// Check validates a batch as a producer sent it: length, magic, CRC, codec, record count against bytes, last offset delta,
// producer epoch and sequence. The records stay closed: one batch of 1 MiB costs some 50 us, all of it the CRC. Control
// and transactional batches pass: who may send them the caller decides.
func (b Batch) Check() error {
	if err := b.CheckCRC(); err != nil {
		return err
	}
	return b.checkHeader()
}

// CheckSummed is Check for a batch whose bytes from SumStart on were added up already, by AddSum from 0 on.
func (b Batch) CheckSummed(sum uint32) error {
	if err := b.checkLength(); err != nil {
		return err
	}
	if err := b.compare(sum); err != nil {
		return err
	}
	return b.checkHeader()
}

// AddSum adds bytes to a CRC-32C: for a batch that comes in pieces.
func AddSum(sum uint32, piece []byte) uint32 { return crc32.Update(sum, castagnoli, piece) }

// checkHeader is what Check looks at besides length, magic and CRC.
func (b Batch) checkHeader() error {
	if b.Codec() > Zstd {
		return fmt.Errorf("codec %d: %w", b.Codec(), ErrCodec)
	}
	n, delta := b.NumRecords(), b.LastOffsetDelta()
	if n <= 0 || delta != n-1 {
		return fmt.Errorf("%d records, last offset delta %d: %w", n, delta, ErrInvalid)
	}
	if int64(n) > b.maxRecords() {
		return fmt.Errorf("%d records in %d bytes: %w", n, len(b)-HeaderLen, ErrInvalid)
	}
	if b.ProducerID() >= 0 && !b.IsControl() && (b.ProducerEpoch() < 0 || b.BaseSequence() < 0) {
		return fmt.Errorf("producer %d, epoch %d, sequence %d: %w",
			b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), ErrInvalid)
	}
	return nil
}

// CheckCRC checks length, magic and CRC alone: what a stored batch must still pass. Compaction leaves counts and deltas
// that Check refuses.
func (b Batch) CheckCRC() error {
	if err := b.checkLength(); err != nil {
		return err
	}
	return b.compare(crc32.Checksum(b[crcStart:], castagnoli))
}

func (b Batch) compare(sum uint32) error {
	if sum != b.CRC() {
		return fmt.Errorf("crc %08x, not %08x: %w", sum, b.CRC(), ErrCRC)
	}
	return nil
}

// checkLength checks length and magic.
func (b Batch) checkLength() error {
	if len(b) < HeaderLen {
		return fmt.Errorf("%d bytes: %w", len(b), ErrTruncated)
	}
	if b[16] != 2 {
		return badMagic(b)
	}
	n := int64(b.Length())
	if n < HeaderLen-lengthEnd || n > int64(len(b)-lengthEnd) {
		return badLength(n, len(b))
	}
	if n < int64(len(b)-lengthEnd) {
		return fmt.Errorf("length %d, %d bytes: %w", n, len(b), ErrInvalid)
	}
	return nil
}

// maxRecords is an upper bound of how many records the payload can hold.
func (b Batch) maxRecords() int64 {
	payload := int64(len(b) - HeaderLen)
	switch b.Codec() {
	case Gzip:
		payload *= gzipRatio
	case Snappy:
		payload *= snappyRatio
	case LZ4:
		payload *= lz4Ratio
	case Zstd:
		payload *= zstdRatio
	}
	return payload / minRecordLen
}

// SetBaseOffset sets the base offset in place. It lies outside the CRC.
func (b Batch) SetBaseOffset(offset int64) { be.PutUint64(b, uint64(offset)) }

// SetLeaderEpoch sets the leader epoch in place. It lies outside the CRC.
func (b Batch) SetLeaderEpoch(epoch int32) { be.PutUint32(b[12:], uint32(epoch)) }

// SetLogAppendTime makes ms, since 1970, the timestamp of every record, in place, and rewrites the CRC.
func (b Batch) SetLogAppendTime(ms int64) {
	b[22] |= attrLogAppendTime
	be.PutUint64(b[maxTSStart:], uint64(ms))
	b.setCRC()
}

func (b Batch) setCRC() { be.PutUint32(b[17:], crc32.Checksum(b[crcStart:], castagnoli)) }
