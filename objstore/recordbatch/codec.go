// Pure.

package recordbatch

import (
	"fmt"
	"strconv"
)

// Codec is a compression of records, by Kafka's number.
type Codec uint8

// The codecs.
const (
	None Codec = iota
	Gzip
	Snappy // raw, as most clients write it, or in xerial frames, as Java does
	LZ4    // the frame format
	Zstd
)

// How many bytes one compressed byte can become at most, rounded up: an upper bound for what a header claims.
const (
	gzipRatio   = 1040     // RFC 1951: 258 bytes from 2 bits
	snappyRatio = 22       // 64 bytes from a copy of 3
	lz4Ratio    = 256      // 255 bytes from each further byte of a match length
	zstdRatio   = 44 << 10 // RFC 8878: a block of 128 KiB from 3 bytes of header and more
)

// String returns the codec's name, as Kafka's compression.type has it.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return "codec(" + strconv.Itoa(int(c)) + ")"
}

// ParseCodec is the inverse of Codec.String, for the five codecs.
func ParseCodec(s string) (Codec, error) {
	for c := None; c <= Zstd; c++ {
		if c.String() == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("parse codec %q: none of none, gzip, snappy, lz4, zstd: %w", s, ErrCodec)
}
