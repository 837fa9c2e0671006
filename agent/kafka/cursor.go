// Pure.

package kafka

import (
	"encoding/binary"
	"errors"
	"math"
)

// errMalformed: a frame that is not the request it says it is. The connection is closed, as Kafka does.
var errMalformed = errors.New("malformed request")

// cursor reads the primitive types of Kafka's protocol off a frame. Once something is wrong it is bad, has nothing left
// and returns zeros. What it returns aliases the frame. In flexible versions (KIP-482) lengths are varints, plus one.
type cursor struct {
	b    []byte
	bad  bool
	flex bool
	tags int // tagged fields seen
}

func (c *cursor) fail() { c.bad, c.b = true, nil }

// span returns the next n bytes.
func (c *cursor) span(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.fail()
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

func (c *cursor) int8() int8 {
	if v := c.span(1); len(v) == 1 {
		return int8(v[0])
	}
	return 0
}

func (c *cursor) int16() int16 {
	if len(c.b) < 2 {
		c.fail()
		return 0
	}
	v := int16(binary.BigEndian.Uint16(c.b))
	c.b = c.b[2:]
	return v
}

func (c *cursor) int32() int32 {
	if len(c.b) < 4 {
		c.fail()
		return 0
	}
	v := int32(binary.BigEndian.Uint32(c.b))
	c.b = c.b[4:]
	return v
}

func (c *cursor) int64() int64 {
	if len(c.b) < 8 {
		c.fail()
		return 0
	}
	v := int64(binary.BigEndian.Uint64(c.b))
	c.b = c.b[8:]
	return v
}

// uvarint reads a varint of at most 32 bits.
func (c *cursor) uvarint() uint32 {
	if len(c.b) > 0 && c.b[0] < 0x80 {
		v := uint32(c.b[0])
		c.b = c.b[1:]
		return v
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 || n > 5 || v > 1<<32-1 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return uint32(v)
}

// compact reads a length of a flexible version: -1 for null.
func (c *cursor) compact() int {
	return int(c.uvarint()) - 1
}

// longestString is the longest string of the protocol, which flexible versions could exceed and Kafka's own parser refuses: told
// to a client of an earlier version, its length would have another sign.
const longestString = math.MaxInt16

// str reads a string; ok is false if it is null.
func (c *cursor) str() (v []byte, ok bool) {
	n := 0
	if c.flex {
		if n = c.compact(); n > longestString {
			c.fail()
		}
	} else {
		n = int(c.int16())
	}
	return c.maybe(n)
}

// bytes reads a byte string; ok is false if it is null.
func (c *cursor) bytes() (v []byte, ok bool) {
	n := 0
	if c.flex {
		n = c.compact()
	} else {
		n = int(c.int32())
	}
	return c.maybe(n)
}

func (c *cursor) maybe(n int) ([]byte, bool) {
	if c.bad || n == -1 {
		return nil, false
	}
	v := c.span(n)
	return v, !c.bad
}

// count reads the number of elements of an array of which each has at least smallest bytes; 0 for null.
func (c *cursor) count(smallest int) int {
	n := 0
	if c.flex {
		n = c.compact()
	} else {
		n = int(c.int32())
	}
	if n == -1 {
		return 0
	}
	if n < 0 || n > len(c.b)/max(smallest, 1) {
		c.fail()
		return 0
	}
	return n
}

// skipTags passes over the tagged fields that end a structure of a flexible version.
func (c *cursor) skipTags() { c.tagged(nil) }

// tagged is skipTags for a structure some of whose tagged fields are known: known reads the content of each, as far as it has to be
// there, and what is missing is an error.
func (c *cursor) tagged(known func(tag uint32, content *cursor)) {
	if !c.flex || c.bad {
		return
	}
	n := int(c.uvarint())
	if c.tags += n; c.tags > maxTags {
		c.fail()
	}
	for ; n > 0 && !c.bad; n-- {
		tag := c.uvarint()
		content := cursor{b: c.span(int(c.uvarint())), flex: true, tags: c.tags}
		if known == nil || c.bad {
			continue
		}
		if known(tag, &content); content.bad {
			c.fail()
		}
	}
}
