// Pure.

package peer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// kind of a frame; doc.go has the table.
type kind uint8

const (
	kindHello kind = iota + 1
	kindRefuse
	kindPing
	kindPong
	kindNotice
)

const (
	magic     = "VARVPEER"
	headerLen = 12
	maxFrame  = 1 << 20 // bytes of a payload
	maxHello  = 1 << 10 // the same, before the other side said who it is
	firstRead = 1 << 16 // bytes taken on a length's word alone
)

var (
	errMagic = errors.New("not the peer protocol")
	errFrame = errors.New("malformed frame")
)

// castagnoli is never written after this.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(header, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(header[:8], castagnoli), castagnoli, payload)
}

// appendFrame appends a frame to dst. The payload is at most maxFrame bytes.
func appendFrame(dst []byte, k kind, payload []byte) []byte {
	at := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = append(dst, byte(k), 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, checksum(dst[at:], payload))
	return append(dst, payload...)
}

// readFrame reads one frame with a payload of at most limit bytes into buf, which it may grow: the payload returned is valid
// until the next call with it. The memory taken follows the bytes that came, not the length that was claimed.
func readFrame(r io.Reader, buf *bytes.Buffer, limit int) (kind, []byte, error) {
	var header [headerLen]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	n := binary.LittleEndian.Uint32(header[:])
	if int64(n) > int64(limit) {
		return 0, nil, fmt.Errorf("%w: %d bytes, at most %d", errFrame, n, limit)
	}
	buf.Reset()
	buf.Grow(min(int(n), firstRead))
	if _, err := io.CopyN(buf, r, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	if checksum(header[:], buf.Bytes()) != binary.LittleEndian.Uint32(header[8:]) {
		return 0, nil, fmt.Errorf("%w: wrong checksum", errFrame)
	}
	return kind(header[4]), buf.Bytes(), nil
}

// readMagic reads what opens a connection. Its errMagic shows what came instead.
func readMagic(r io.Reader) error {
	var got [len(magic)]byte
	n, err := io.ReadFull(r, got[:])
	if string(got[:n]) != magic[:n] {
		return fmt.Errorf("%w: it begins with %q", errMagic, got[:n])
	}
	return err
}
