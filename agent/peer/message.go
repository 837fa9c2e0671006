// Pure.

package peer

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/google/uuid"
)

// The versions that this code speaks.
const (
	version       = 1
	oldestVersion = 1
)

const (
	maxName   = 249 // bytes of an agent's name
	maxReason = 512 // bytes of a refusal
	helloLen  = 2 + 2 + 3*16 + 4 + 2 + 2
	noticeLen = 8 + 8 + 2 + 4
	loadLen   = 2 + 2 + 4
	maxLoads  = 1 << 16 // one per slot there can be

	flagSpare   = 1 // of a hello
	flagClosing = 1 // of a notice
)

// hello is the first frame of each side.
type hello struct {
	version, oldest uint16
	who             Identity
	want            uuid.UUID // the session that the dialler looks for
	spare           bool      // the answer says: not needed, we have a link
}

func (h hello) encode() []byte {
	b := make([]byte, 0, helloLen+len(h.who.Agent))
	b = binary.LittleEndian.AppendUint16(b, h.version)
	b = binary.LittleEndian.AppendUint16(b, h.oldest)
	b = append(b, h.who.Cluster[:]...)
	b = append(b, h.who.Session[:]...)
	b = append(b, h.want[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.who.Node))
	var flags uint16
	if h.spare {
		flags |= flagSpare
	}
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(h.who.Agent)))
	return append(b, h.who.Agent...)
}

func decodeHello(b []byte) (h hello, err error) {
	if len(b) < helloLen {
		return h, fmt.Errorf("%w: hello of %d bytes", errFrame, len(b))
	}
	h.version, h.oldest = binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
	copy(h.who.Cluster[:], b[4:])
	copy(h.who.Session[:], b[20:])
	copy(h.want[:], b[36:])
	h.who.Node = int32(binary.LittleEndian.Uint32(b[52:]))
	h.spare = binary.LittleEndian.Uint16(b[56:])&flagSpare != 0
	n := int(binary.LittleEndian.Uint16(b[58:]))
	name := b[helloLen:]
	if n == 0 || n > maxName || n > len(name) || !utf8.Valid(name[:n]) {
		return h, fmt.Errorf("%w: hello with a name of %d bytes", errFrame, n)
	}
	h.who.Agent = string(name[:n])
	if h.oldest > h.version || h.who.Session == uuid.Nil {
		return h, fmt.Errorf("%w: hello of versions %d to %d, session %s", errFrame, h.oldest, h.version, h.who.Session)
	}
	return h, nil
}

// encode returns the payload of a notice; loads beyond one per slot are left out.
func (n Notice) encode() []byte {
	loads := n.Loads[:min(len(n.Loads), maxLoads)]
	b := make([]byte, 0, noticeLen+loadLen*len(loads))
	b = binary.LittleEndian.AppendUint64(b, uint64(n.Map))
	b = binary.LittleEndian.AppendUint64(b, uint64(n.Topics))
	var flags uint16
	if n.Closing {
		flags |= flagClosing
	}
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(loads)))
	for _, l := range loads {
		b = binary.LittleEndian.AppendUint16(b, l.Slot)
		b = binary.LittleEndian.AppendUint16(b, l.Partitions)
		b = binary.LittleEndian.AppendUint32(b, l.Bytes)
	}
	return b
}

func decodeNotice(b []byte) (n Notice, err error) {
	if len(b) < noticeLen {
		return n, fmt.Errorf("%w: notice of %d bytes", errFrame, len(b))
	}
	n.Map, n.Topics = int64(binary.LittleEndian.Uint64(b)), int64(binary.LittleEndian.Uint64(b[8:]))
	n.Closing = binary.LittleEndian.Uint16(b[16:])&flagClosing != 0
	loads := int64(binary.LittleEndian.Uint32(b[18:]))
	b = b[noticeLen:]
	if loads > maxLoads || loads*loadLen > int64(len(b)) {
		return n, fmt.Errorf("%w: notice of %d loads in %d bytes", errFrame, loads, len(b))
	}
	if loads > 0 {
		n.Loads = make([]Load, loads)
	}
	for i := range n.Loads {
		n.Loads[i] = Load{
			Slot:       binary.LittleEndian.Uint16(b[i*loadLen:]),
			Partitions: binary.LittleEndian.Uint16(b[i*loadLen+2:]),
			Bytes:      binary.LittleEndian.Uint32(b[i*loadLen+4:]),
		}
	}
	return n, nil
}
