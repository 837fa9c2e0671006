// Pure.

package bench

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
)

// castagnoli is the polynomial of the checksum, the one that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// stamp is how the value of a record begins, big endian:
//
//	0  CRC-32C of all that follows
//	4  run: of which run of the bench the record is
//	8  producer
//	12 number among the records of this producer in this partition, from 0
//	20 intended: when it was to be sent, Unix time in ns
//	28 sent: when it was handed to the client
type stamp struct {
	run, producer  uint32
	number         uint64
	intended, sent int64
}

// MinRecord is the size of the smallest record that can be checked, in bytes.
const MinRecord = 36

// write puts the stamp at the beginning of value and its checksum before it. value has at least MinRecord bytes.
func (s stamp) write(value []byte) {
	be := binary.BigEndian
	be.PutUint32(value[4:], s.run)
	be.PutUint32(value[8:], s.producer)
	be.PutUint64(value[12:], s.number)
	be.PutUint64(value[20:], uint64(s.intended))
	be.PutUint64(value[28:], uint64(s.sent))
	be.PutUint32(value, crc32.Checksum(value[4:], castagnoli))
}

// readStamp returns the stamp of value, without a look at the checksum.
func readStamp(value []byte) stamp {
	be := binary.BigEndian
	return stamp{
		run: be.Uint32(value[4:]), producer: be.Uint32(value[8:]), number: be.Uint64(value[12:]),
		intended: int64(be.Uint64(value[20:])), sent: int64(be.Uint64(value[28:])),
	}
}

// intact reports whether value is a record of a bench whose checksum holds.
func intact(value []byte) bool {
	return len(value) >= MinRecord && binary.BigEndian.Uint32(value) == crc32.Checksum(value[4:], castagnoli)
}

// randomShare is how much of a record's filling is random: what compresses a little, as real records do.
const randomShare = 0.25

// filling makes the bytes that records have besides their stamps: one quarter random, the rest the same letter.
func filling(rng *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = 'v'
	}
	for i := range int(randomShare * float64(size)) {
		b[size-1-i] = byte(rng.Uint32()) // from the end, where no stamp overwrites it
	}
	return b
}
