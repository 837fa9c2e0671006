// Pure.

package records

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// packVersion is the first byte of every packed attribute.
const packVersion = 1

var (
	errShort    = errors.New("cut short")
	errOrder    = errors.New("not in order")
	errEncoding = errors.New("not in its shortest form")
)

// packer appends to a packed attribute: numbers little-endian, strings with their length as a uvarint before them.
type packer struct{ b []byte }

// newPacker starts an attribute with room for n bytes after the version.
func newPacker(n int) *packer { return &packer{append(make([]byte, 0, 1+n), packVersion)} }

func (p *packer) u16(v uint16)   { p.b = binary.LittleEndian.AppendUint16(p.b, v) }
func (p *packer) i32(v int32)    { p.b = binary.LittleEndian.AppendUint32(p.b, uint32(v)) }
func (p *packer) i64(v int64)    { p.b = binary.LittleEndian.AppendUint64(p.b, uint64(v)) }
func (p *packer) id(u uuid.UUID) { p.b = append(p.b, u[:]...) }

func (p *packer) str(s string) {
	p.b = binary.AppendUvarint(p.b, uint64(len(s)))
	p.b = append(p.b, s...)
}

// unpacker reads a packed attribute and keeps the first error; after one it returns zeros and done reports true.
type unpacker struct {
	b   []byte
	err error
}

// unpack checks the version byte.
func unpack(b []byte) *unpacker {
	u := &unpacker{b: b}
	if v := u.take(1); u.err == nil && v[0] != packVersion {
		u.fail(fmt.Errorf("version %d, this build knows %d", v[0], packVersion))
	}
	return u
}

func (u *unpacker) fail(err error) {
	if u.err == nil {
		u.err = err
	}
	u.b = nil
}

// done reports that nothing is left to read.
func (u *unpacker) done() bool { return len(u.b) == 0 }

func (u *unpacker) take(n int) []byte {
	if u.err != nil || len(u.b) < n {
		u.fail(errShort)
		return make([]byte, min(n, 16))
	}
	v := u.b[:n]
	u.b = u.b[n:]
	return v
}

func (u *unpacker) u16() uint16   { return binary.LittleEndian.Uint16(u.take(2)) }
func (u *unpacker) i32() int32    { return int32(binary.LittleEndian.Uint32(u.take(4))) }
func (u *unpacker) i64() int64    { return int64(binary.LittleEndian.Uint64(u.take(8))) }
func (u *unpacker) id() uuid.UUID { return uuid.UUID(u.take(16)) }

func (u *unpacker) str() string {
	n, w := binary.Uvarint(u.b)
	switch {
	case w <= 0 || n > uint64(len(u.b)-w):
		u.fail(errShort)
		return ""
	case w > 1 && n < 1<<(7*(w-1)):
		u.fail(errEncoding)
		return ""
	}
	s := string(u.b[w : w+int(n)])
	u.b = u.b[w+int(n):]
	return s
}
