// Pure.

package records

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// OffsetsPerPage is how many partitions of a topic share a page: partition p stands in page p / 64.
const OffsetsPerPage = 64

// GroupOffset is what a group committed for one partition.
type GroupOffset struct {
	Offset   int64
	Epoch    int32 // leader epoch that the consumer saw, -1: not told
	At       int64 // time of the commit, seconds since 1970
	Expires  int64 // seconds since 1970 if the commit asked for a time of its own (versions 2 to 4), else 0
	Metadata string
}

// GroupOffsets is a page: what a group committed for up to 64 neighbouring partitions of one topic.
type GroupOffsets struct {
	Offsets map[int32]GroupOffset // by partition; never nil after decoding
	CE      int32                 // slot epoch of the coordinator that claimed it last
	V       int64
	Nonce   uuid.UUID
}

// GroupOffsetsPrefix is the prefix of the sort keys of all offset pages of a group.
const GroupOffsetsPrefix = "O#"

// GroupOffsetsKey is the key of a page of offsets.
func (c Cluster) GroupOffsetsKey(slot uint16, group string, topic uuid.UUID, page int32) metastore.Key {
	return metastore.Key{PK: c.GroupPagesPK(slot, group), SK: fmt.Sprintf("%s%s#%d", GroupOffsetsPrefix, topic, page)}
}

// ParseGroupOffsetsSK returns topic and page of the sort key of an offset page. Error: ErrBadItem.
func ParseGroupOffsetsSK(sk string) (uuid.UUID, int32, error) {
	rest, ok := strings.CutPrefix(sk, GroupOffsetsPrefix)
	id, page, ok2 := strings.Cut(rest, "#")
	topic, err := uuid.Parse(id)
	n, err2 := strconv.ParseInt(page, 10, 32)
	if !ok || !ok2 || err != nil || err2 != nil || n < 0 || n > math.MaxInt32/OffsetsPerPage {
		return uuid.Nil, 0, fmt.Errorf("%w: group offsets: sort key %.80q", ErrBadItem, sk)
	}
	return topic, int32(n), nil
}

// Item encodes o, which is page number page.
func (o GroupOffsets) Item(page int32) metastore.Item {
	return metastore.Item{
		AttrOffsets: GroupOffsetsValue(page, o.Offsets),
		AttrCE:      metastore.N(int64(o.CE)),
		AttrV:       metastore.N(o.V),
		AttrNonce:   IDValue(o.Nonce),
	}
}

// DecodeGroupOffsets decodes page number page. Error: ErrBadItem.
func DecodeGroupOffsets(it metastore.Item, page int32) (GroupOffsets, error) {
	f := fields{kind: "group offsets", item: it}
	o := GroupOffsets{
		Offsets: packed(&f, AttrOffsets, func(b []byte) (map[int32]GroupOffset, error) { return parseGroupOffsets(page, b) }),
		CE:      f.i32(AttrCE),
		V:       f.count(AttrV),
		Nonce:   f.id(AttrNonce),
	}
	if f.err != nil {
		return GroupOffsets{}, f.err
	}
	return o, nil
}

// What an offset has besides, in the low bits of its first number.
const (
	offsetHasMetadata = 1 << iota
	offsetHasExpiry
	offsetBits = iota
)

// GroupOffsetsValue packs the offsets of page number page, by partition. Times and epochs stand as differences to the one
// before: 64 partitions without metadata, committed together, fit in one write unit of 1 KiB with their keys.
func GroupOffsetsValue(page int32, offsets map[int32]GroupOffset) metastore.Value {
	p := newPacker(12 * len(offsets))
	last, at, epoch := int64(-1), int64(0), int64(-1)
	for i := range int64(OffsetsPerPage) {
		o, ok := offsets[page*OffsetsPerPage+int32(i)]
		if !ok {
			continue
		}
		bits := uint64(0)
		if o.Metadata != "" {
			bits |= offsetHasMetadata
		}
		if o.Expires != 0 {
			bits |= offsetHasExpiry
		}
		p.b = binary.AppendUvarint(p.b, uint64(i-last-1)<<offsetBits|bits)
		p.b = binary.AppendVarint(p.b, o.Offset)
		p.b = binary.AppendVarint(p.b, int64(o.Epoch)-epoch)
		p.b = binary.AppendVarint(p.b, o.At-at)
		if o.Expires != 0 {
			p.b = binary.AppendVarint(p.b, o.Expires)
		}
		if o.Metadata != "" {
			p.str(o.Metadata)
		}
		last, at, epoch = i, o.At, int64(o.Epoch)
	}
	return metastore.B(p.b)
}

func parseGroupOffsets(page int32, b []byte) (map[int32]GroupOffset, error) {
	offsets := make(map[int32]GroupOffset, min(len(b)/4, OffsetsPerPage))
	u := unpack(b)
	last, at, epoch := int64(-1), int64(0), int64(-1)
	for !u.done() {
		first := u.uvarint()
		delta := first >> offsetBits
		if delta >= OffsetsPerPage || last+int64(delta)+1 >= OffsetsPerPage {
			u.fail(errRange)
			break
		}
		last += int64(delta) + 1
		o := GroupOffset{Offset: u.varint()}
		epoch += u.varint()
		at += u.varint()
		if epoch < -1 || epoch > math.MaxInt32 {
			u.fail(errRange)
		}
		o.Epoch, o.At = int32(epoch), at
		if first&offsetHasExpiry != 0 {
			if o.Expires = u.varint(); o.Expires == 0 {
				u.fail(errEncoding)
			}
		}
		if first&offsetHasMetadata != 0 {
			if o.Metadata = u.str(); o.Metadata == "" {
				u.fail(errEncoding)
			}
		}
		offsets[page*OffsetsPerPage+int32(last)] = o
	}
	return offsets, u.err
}

// varint reads a signed number in its shortest form.
func (u *unpacker) varint() int64 {
	n := u.uvarint()
	v := int64(n >> 1)
	if n&1 != 0 {
		v = ^v
	}
	return v
}
