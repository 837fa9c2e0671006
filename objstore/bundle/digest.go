// Pure.

package bundle

import "github.com/google/uuid"

// Digest proves whose bytes a run holds. A batch's own CRC does not say which partition it belongs to, so a buffer that was
// reused too early yields a valid batch of the wrong topic (as in CVE-2026-35554). The leader takes the digest when it
// admits the batches; whoever reads a run whole takes it again and compares it with Run.Digest.
//
// It is the CRC-32C of: topic UUID (16 bytes) | partition u32 | epoch u32 | base offset u64 | each batch's CRC u32, all
// little-endian.
type Digest uint32

// NewDigest starts the digest of the run of a partition that begins at offset base.
func NewDigest(topic uuid.UUID, partition, epoch int32, base int64) Digest {
	var b [32]byte
	copy(b[:], topic[:])
	le.PutUint32(b[16:], uint32(partition))
	le.PutUint32(b[20:], uint32(epoch))
	le.PutUint64(b[24:], uint64(base))
	crc := ^uint32(0)
	for _, v := range b {
		crc = castagnoli[byte(crc)^v] ^ crc>>8
	}
	return Digest(^crc)
}

// Add appends the CRC field of the next batch. By table, not through hash/crc32: four bytes would escape to the heap there.
func (d Digest) Add(batchCRC uint32) Digest {
	crc := ^uint32(d)
	for range 4 {
		crc = castagnoli[byte(crc)^byte(batchCRC)] ^ crc>>8
		batchCRC >>= 8
	}
	return Digest(^crc)
}

// RunDigest is the digest of a whole run.
func RunDigest(topic uuid.UUID, partition, epoch int32, base int64, crcs ...uint32) Digest {
	d := NewDigest(topic, partition, epoch, base)
	for _, c := range crcs {
		d = d.Add(c)
	}
	return d
}
