// Pure.

package metastore

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
)

// Value is a string, a 64-bit number or bytes. The zero Value is none of them and is not stored. A number is an int64, so
// that every driver compares and adds it alike. The bytes of a Value are never changed in place.
type Value struct {
	kind valueKind
	n    int64
	s    string
	b    []byte
}

type valueKind uint8

const (
	kindNone valueKind = iota
	kindString
	kindNumber
	kindBytes
)

// S is a string value. It may be empty.
func S(s string) Value { return Value{kind: kindString, s: s} }

// N is a number value.
func N(n int64) Value { return Value{kind: kindNumber, n: n} }

// B is a bytes value, which keeps b. It may be empty.
func B(b []byte) Value { return Value{kind: kindBytes, b: b} }

// Str returns the string, and whether v is one.
func (v Value) Str() (string, bool) { return v.s, v.kind == kindString }

// Num returns the number, and whether v is one.
func (v Value) Num() (int64, bool) { return v.n, v.kind == kindNumber }

// Bytes returns the bytes, which the caller must not change, and whether v is bytes.
func (v Value) Bytes() ([]byte, bool) { return v.b, v.kind == kindBytes }

// IsZero reports whether v is no value.
func (v Value) IsZero() bool { return v.kind == kindNone }

// Equal reports whether both are of one type and equal.
func (v Value) Equal(w Value) bool {
	c, ok := v.Compare(w)
	return ok && c == 0
}

// Compare orders two values of one type: -1, 0, 1. ok is false if the types differ.
func (v Value) Compare(w Value) (c int, ok bool) {
	if v.kind != w.kind {
		return 0, false
	}
	switch v.kind {
	case kindString:
		return strings.Compare(v.s, w.s), true
	case kindNumber:
		return cmp.Compare(v.n, w.n), true
	case kindBytes:
		return bytes.Compare(v.b, w.b), true
	}
	return 0, true
}

// size is what DynamoDB counts: numbers cost a byte per two digits, without trailing zeros, and one or two more
// (DynamoDB developer guide, "item sizes and formats").
func (v Value) size() int {
	switch v.kind {
	case kindString:
		return len(v.s)
	case kindNumber:
		return numberSize(v.n)
	case kindBytes:
		return len(v.b)
	}
	return 0
}

func numberSize(n int64) int {
	size, digits := 1, 0
	if n < 0 {
		size++
	}
	for ; n != 0 && n%10 == 0; n /= 10 {
	}
	for ; n != 0; n /= 10 {
		digits++
	}
	return size + (digits+1)/2
}

// String is v for people.
func (v Value) String() string {
	switch v.kind {
	case kindString:
		return fmt.Sprintf("%q", v.s)
	case kindNumber:
		return fmt.Sprint(v.n)
	case kindBytes:
		return fmt.Sprintf("0x%x", v.b)
	}
	return "none"
}

// Holds reports whether c holds for item, nil meaning that there is none. Drivers that evaluate conditions themselves use it.
func (c Cond) Holds(item Item) bool {
	v, there := item[c.Attr]
	switch c.Cmp {
	case ItemExists:
		return item != nil
	case ItemAbsent:
		return item == nil
	case Exists:
		return there
	case Absent:
		return !there
	case Ne:
		return !there || !v.Equal(c.Value)
	}
	if !there {
		return false
	}
	o, ok := v.Compare(c.Value)
	if !ok {
		return false
	}
	switch c.Cmp {
	case Eq:
		return o == 0
	case Lt:
		return o < 0
	case Le:
		return o <= 0
	case Gt:
		return o > 0
	case Ge:
		return o >= 0
	}
	return false
}
