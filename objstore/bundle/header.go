// Pure.

package bundle

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/google/uuid"
)

// The first and the last 8 bytes of an object. They differ, so that a cut or a concatenation shows.
const (
	headMagic = "VARVEobj"
	tailMagic = "VARVEend"
)

// castagnoli is the table of CRC-32C (RFC 3720, appendix B.4), which current CPUs compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var le = binary.LittleEndian

// AppendHeader appends the HeaderLen bytes of h.
func AppendHeader(dst []byte, h Header) []byte {
	at := len(dst)
	dst = append(dst, headMagic...)
	dst = le.AppendUint16(dst, Version)
	dst = append(dst, byte(h.Kind), h.Flags, 0, 0, 0, 0)
	dst = append(dst, h.Cluster[:]...)
	dst = append(dst, h.Session[:]...)
	dst = le.AppendUint64(dst, h.Seq)
	dst = append(dst, 0, 0, 0, 0)
	return le.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
}

// ParseHeader reads the header at the start of b. ErrShort: b has less than HeaderLen bytes.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("read header: %d bytes: %w", len(b), ErrShort)
	}
	if string(b[:8]) != headMagic {
		return Header{}, fmt.Errorf("read header: no magic: %w", ErrCorrupt)
	}
	if got, want := crc32.Checksum(b[:60], castagnoli), le.Uint32(b[60:]); got != want {
		return Header{}, fmt.Errorf("read header: crc %08x, not %08x: %w", got, want, ErrCorrupt)
	}
	if err := checkVersion(le.Uint16(b[8:]), Kind(b[10])); err != nil {
		return Header{}, fmt.Errorf("read header: %w", err)
	}
	return Header{
		Kind:    Kind(b[10]),
		Flags:   b[11],
		Cluster: uuid.UUID(b[16:32]),
		Session: uuid.UUID(b[32:48]),
		Seq:     le.Uint64(b[48:]),
	}, nil
}

// checkVersion refuses what this program cannot read.
func checkVersion(version uint16, kind Kind) error {
	switch {
	case version == 0 || kind == 0:
		return fmt.Errorf("version %d, kind %d: %w", version, uint8(kind), ErrCorrupt)
	case version > Version || kind > DATA:
		return fmt.Errorf("version %d, kind %d: %w", version, uint8(kind), ErrVersion)
	}
	return nil
}
