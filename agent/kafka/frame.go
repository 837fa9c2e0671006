// Pure.

package kafka

import "encoding/binary"

// sizeLen is the length of the size in front of a frame, preambleLen of what the reader looks at before it takes the rest:
// size, key, version, correlation id. No request that this server knows is shorter than minFrame.
const (
	sizeLen     = 4
	preambleLen = 12
	minFrame    = 10
)

// preamble is the beginning of a frame.
type preamble struct {
	size         int64 // bytes after the size itself
	key, version int16
	correlation  int32
}

// parseSize returns what follows the size that begins b, in bytes.
func parseSize(b []byte) int64 { return int64(int32(binary.BigEndian.Uint32(b))) }

func parsePreamble(b []byte) preamble {
	be := binary.BigEndian
	return preamble{
		size: parseSize(b), key: int16(be.Uint16(b[4:])),
		version: int16(be.Uint16(b[6:])), correlation: int32(be.Uint32(b[8:])),
	}
}

// body returns what follows the header of a frame, given from the byte after its size on, and the client id.
func body(frame []byte, flexible bool) (c cursor, client []byte, err error) {
	c = cursor{b: frame}
	c.span(preambleLen - sizeLen)
	client, _ = c.str() // never compact: brokers must understand it before they know the version (KIP-482)
	c.flex = flexible
	c.skipTags()
	if c.bad {
		return c, nil, errMalformed
	}
	return c, client, nil
}

// maxClient is how many bytes of a client-chosen string reach a log line.
const maxClient = 64

// printable returns the beginning of a client's string with everything but plain ASCII replaced, for a log line.
func printable(b []byte) string {
	out := make([]byte, min(len(b), maxClient))
	for i := range out {
		if out[i] = b[i]; b[i] < 0x20 || b[i] > 0x7e {
			out[i] = '?'
		}
	}
	return string(out)
}
