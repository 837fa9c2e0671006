// Pure.

package records

import (
	"encoding/binary"
	"fmt"

	"github.com/varvelog/varve/metastore"
)

// MemberPageBytes is the most bytes of packed members that stand in one page, half of what an item may have.
const MemberPageBytes = 200 << 10

// GroupMember is a member of a classic group as it is stored. What it says of itself is opaque.
type GroupMember struct {
	ID         string
	Instance   string // of a static member (KIP-345)
	Static     bool   // Instance counts; an empty one is one, too
	Client     string // client id
	Host       string
	Session    int32 // ms
	Rebalance  int32 // ms
	Protocols  []GroupProtocol
	Assignment []byte
}

// GroupProtocol is a way to assign that a member knows, and what it says about itself in it.
type GroupProtocol struct {
	Name     string
	Metadata []byte
}

// PackGroupMembers packs members in their order, with the version byte.
func PackGroupMembers(members []GroupMember) []byte {
	p := newPacker(256 * len(members))
	for i := range members {
		m := &members[i]
		p.str(m.ID)
		static := uint16(0)
		if m.Static {
			static = 1
		}
		p.u16(static)
		p.str(m.Instance)
		p.str(m.Client)
		p.str(m.Host)
		p.i32(m.Session)
		p.i32(m.Rebalance)
		p.b = binary.AppendUvarint(p.b, uint64(len(m.Protocols)))
		for _, pr := range m.Protocols {
			p.str(pr.Name)
			p.str(string(pr.Metadata))
		}
		p.str(string(m.Assignment))
	}
	return p.b
}

// ParseGroupMembers unpacks what PackGroupMembers made, all pages joined. Error: ErrBadItem.
func ParseGroupMembers(b []byte) ([]GroupMember, error) {
	var members []GroupMember
	u := unpack(b)
	for !u.done() {
		m := GroupMember{ID: u.str()}
		switch u.u16() {
		case 0:
		case 1:
			m.Static = true
		default:
			u.fail(errRange)
		}
		m.Instance, m.Client, m.Host = u.str(), u.str(), u.str()
		m.Session, m.Rebalance = u.i32(), u.i32()
		if m.Session < 0 || m.Rebalance < 0 {
			u.fail(errRange)
		}
		for n := u.uvarint(); n > 0 && u.err == nil; n-- {
			m.Protocols = append(m.Protocols, GroupProtocol{Name: u.str(), Metadata: []byte(u.str())})
		}
		m.Assignment = []byte(u.str())
		members = append(members, m)
	}
	if u.err != nil {
		return nil, fmt.Errorf("%w: group: attribute %q: %w", ErrBadItem, AttrMembers, u.err)
	}
	return members, nil
}

// uvarint reads a number in its shortest form.
func (u *unpacker) uvarint() uint64 {
	n, w := binary.Uvarint(u.b)
	switch {
	case w <= 0:
		u.fail(errShort)
		return 0
	case w > 1 && n < 1<<(7*(w-1)):
		u.fail(errEncoding)
		return 0
	}
	u.b = u.b[w:]
	return n
}

// GroupMembersItem is a page: a piece of packed members, which may end within one.
func GroupMembersItem(piece []byte) metastore.Item {
	return metastore.Item{AttrMembers: metastore.B(piece)}
}

// DecodeGroupMembersPage returns the piece. Error: ErrBadItem.
func DecodeGroupMembersPage(it metastore.Item) ([]byte, error) {
	f := fields{kind: "group members", item: it}
	b := f.bytes(AttrMembers)
	return b, f.err
}
