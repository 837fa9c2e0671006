// Pure.

package bundle

import (
	"fmt"
	"strconv"
)

// String returns the kind's name in lower case, as keys and command lines have it.
func (k Kind) String() string {
	switch k {
	case WAL:
		return "wal"
	case PACK:
		return "pack"
	case SEG:
		return "seg"
	case SNAP:
		return "snap"
	case DATA:
		return "data"
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// ParseKind is the inverse of Kind.String, for the five kinds.
func ParseKind(s string) (Kind, error) {
	for k := WAL; k <= DATA; k++ {
		if k.String() == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("parse kind %q: none of wal, pack, seg, snap, data", s)
}

// String returns the operation's name.
func (k OpKind) String() string {
	switch k {
	case OpSlotOpen:
		return "slot-open"
	case OpLogStart:
		return "log-start"
	}
	return "op(" + strconv.Itoa(int(k)) + ")"
}

// ParseOpKind is the inverse of OpKind.String, for the known operations.
func ParseOpKind(s string) (OpKind, error) {
	for k := OpSlotOpen; k <= OpLogStart; k++ {
		if k.String() == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("parse operation %q: none of slot-open, log-start", s)
}
