// Pure.

package records

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// Attributes of groups and their pages, beside those in attrs.go.
const (
	AttrAssignor     = "assignor"      // bytes: protocol that the members voted for, empty: none
	AttrCE           = "ce"            // number: slot epoch under which the group was claimed last
	AttrClaim        = "claim"         // number: rises with each claim
	AttrEmptySince   = "empty_since"   // number: ms since 1970 when the last member left; 0: there are members, or never were
	AttrGeneration   = "generation"    // number: of the membership
	AttrMembers      = "members"       // bytes: packed members, or a piece of them (page)
	AttrOffsets      = "offsets"       // bytes: packed offsets
	AttrPages        = "pages"         // number: pages of the member set; 0: the members stand in the item
	AttrProtocolType = "protocol_type" // bytes: what kind of members a group has, empty: none yet
	AttrSet          = "set"           // bytes: UUID in the keys of the current member pages
	AttrSteward      = "steward"       // bytes: member that assigns (Kafka's group leader), empty: none
	AttrType         = "type"          // string: protocol of the group
)

// GroupType is the protocol that a group's members speak.
type GroupType string

// The protocols that there are.
const (
	ClassicGroup  GroupType = "classic"  // JoinGroup, SyncGroup
	ConsumerGroup GroupType = "consumer" // ConsumerGroupHeartbeat (KIP-848)
)

// GroupState is what the item knows of a group's state. What lies between two of them lives in memory.
type GroupState string

// The states of a group in its item.
const (
	GroupEmpty   GroupState = "EMPTY"   // no members
	GroupJoined  GroupState = "JOINED"  // the generation is given out, the assignment is not there yet
	GroupStable  GroupState = "STABLE"  // members and assignments are those of the generation
	GroupRemoved GroupState = "REMOVED" // its offset pages are being deleted, the item follows
)

// Group is a consumer group. Its members are packed beside it, in the item itself or in pages.
type Group struct {
	Type         GroupType
	State        GroupState
	Generation   int32
	ProtocolType string
	Assignor     string
	Steward      string // member id of the one that assigns
	EmptySince   int64  // ms since 1970; 0: not empty, or never joined
	Set          uuid.UUID
	Pages        int32  // of the member set; 0: Members holds them
	Members      []byte // packed members, if Pages is 0
	CE           int32  // slot epoch of the coordinator that claimed it last
	Claim        int64  // rises with every claim and with nothing else: pages are made under it
	V            int64  // rises with every write, claims included
	Nonce        uuid.UUID
}

// GroupsPK is the partition key of the Group items of a slot.
func (c Cluster) GroupsPK(slot uint16) string { return c.pk(fmt.Sprintf("GRP#%04x", slot)) }

// GroupKey is the key of the Group item of a group that hashes to slot.
func (c Cluster) GroupKey(slot uint16, group string) metastore.Key {
	return metastore.Key{PK: c.GroupsPK(slot), SK: escapeGroup(group)}
}

// GroupPagesPK is the partition key of the pages of a group.
func (c Cluster) GroupPagesPK(slot uint16, group string) string {
	return c.GroupsPK(slot) + "#" + escapeGroup(group)
}

// GroupMembersPrefix is the prefix of the sort keys of all member pages of a group.
const GroupMembersPrefix = "M#"

// GroupMembersKey is the key of one page of a member set.
func (c Cluster) GroupMembersKey(slot uint16, group string, set uuid.UUID, page int32) metastore.Key {
	return metastore.Key{PK: c.GroupPagesPK(slot, group), SK: fmt.Sprintf("%s%s#%04x", GroupMembersPrefix, set, page)}
}

// escapeGroup makes a sort key of any group name: % and whatever is no valid UTF-8 is written as %xx, an empty name as "%".
func escapeGroup(group string) string {
	if group == "" {
		return "%"
	}
	if utf8.ValidString(group) && !strings.ContainsRune(group, '%') {
		return group
	}
	var b strings.Builder
	for i := 0; i < len(group); {
		r, n := utf8.DecodeRuneInString(group[i:])
		if r == '%' || r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, "%%%02x", group[i])
		} else {
			b.WriteString(group[i : i+n])
		}
		i += n
	}
	return b.String()
}

// ParseGroupSK returns the name of the group whose item has the sort key sk. Error: ErrBadItem.
func ParseGroupSK(sk string) (string, error) {
	if sk == "%" {
		return "", nil
	}
	var b strings.Builder
	for i := 0; i < len(sk); i++ {
		if sk[i] != '%' {
			b.WriteByte(sk[i])
			continue
		}
		var c byte
		if i+2 >= len(sk) {
			return "", fmt.Errorf("%w: group: sort key %.80q", ErrBadItem, sk)
		}
		if n, err := fmt.Sscanf(sk[i+1:i+3], "%02x", &c); n != 1 || err != nil {
			return "", fmt.Errorf("%w: group: sort key %.80q", ErrBadItem, sk)
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String(), nil
}

// Item encodes g.
func (g Group) Item() metastore.Item {
	return metastore.Item{
		AttrType:         metastore.S(string(g.Type)),
		AttrState:        metastore.S(string(g.State)),
		AttrGeneration:   metastore.N(int64(g.Generation)),
		AttrProtocolType: metastore.B([]byte(g.ProtocolType)),
		AttrAssignor:     metastore.B([]byte(g.Assignor)),
		AttrSteward:      metastore.B([]byte(g.Steward)),
		AttrEmptySince:   metastore.N(g.EmptySince),
		AttrSet:          IDValue(g.Set),
		AttrPages:        metastore.N(int64(g.Pages)),
		AttrMembers:      metastore.B(g.Members),
		AttrCE:           metastore.N(int64(g.CE)),
		AttrClaim:        metastore.N(g.Claim),
		AttrV:            metastore.N(g.V),
		AttrNonce:        IDValue(g.Nonce),
	}
}

// DecodeGroup decodes it. A type that this build does not know is not an error. Error: ErrBadItem.
func DecodeGroup(it metastore.Item) (Group, error) {
	f := fields{kind: "group", item: it}
	g := Group{
		Type:         GroupType(f.str(AttrType)),
		State:        GroupState(f.str(AttrState)),
		Generation:   f.i32(AttrGeneration),
		ProtocolType: string(f.bytes(AttrProtocolType)),
		Assignor:     string(f.bytes(AttrAssignor)),
		Steward:      string(f.bytes(AttrSteward)),
		EmptySince:   f.count(AttrEmptySince),
		Set:          f.id(AttrSet),
		Pages:        int32(f.num(AttrPages, 0, math.MaxUint16)),
		Members:      f.bytes(AttrMembers),
		CE:           f.i32(AttrCE),
		Claim:        f.count(AttrClaim),
		V:            f.count(AttrV),
		Nonce:        f.id(AttrNonce),
	}
	switch g.State {
	case GroupEmpty, GroupJoined, GroupStable, GroupRemoved:
	default:
		f.fail(AttrState, errRange)
	}
	if f.err != nil {
		return Group{}, f.err
	}
	return g, nil
}
