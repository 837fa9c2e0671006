package records

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/varvelog/varve/metastore"
)

func fullGroup() Group {
	return Group{
		Type: ClassicGroup, State: GroupStable, Generation: 7, ProtocolType: "consumer", Assignor: "range", Steward: "m\xff", EmptySince: 5,
		Set: u(1), Pages: 2, Members: []byte{1}, CE: 3, Claim: 4, V: 9, Nonce: u(2),
	}
}

func TestGroupRoundTrip(t *testing.T) {
	want := fullGroup()
	got, err := DecodeGroup(want.Item())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for attr := range want.Item() {
		for _, bad := range []metastore.Value{{}, metastore.S("x"), metastore.N(-1), metastore.B([]byte{9})} {
			it := want.Item()
			if it[attr] = bad; bad.IsZero() {
				delete(it, attr)
			}
			_, _ = DecodeGroup(it) // must not panic; text attributes take any text
		}
	}
	it := want.Item()
	it[AttrState] = metastore.S("HALF")
	if _, err := DecodeGroup(it); err == nil {
		t.Fatal("a state that nobody knows is taken")
	}
}

func TestGroupConfigRoundTrip(t *testing.T) {
	want := GroupConfig{Configs: map[string]string{"a": "1", "b": ""}, V: 3, Nonce: u(4)}
	got, err := DecodeGroupConfig(want.Item())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for attr := range want.Item() {
		it := want.Item()
		delete(it, attr)
		if _, err := DecodeGroupConfig(it); err == nil {
			t.Errorf("an item without %q is taken", attr)
		}
	}
	key := Cluster("c").GroupConfigKey("a%")
	if name, err := ParseGroupSK(key.SK); err != nil || name != "a%" || key.Validate() != nil {
		t.Errorf("%q, %v", name, err)
	}
}

func TestGroupMembersRoundTrip(t *testing.T) {
	want := []GroupMember{
		{ID: "a", Client: "c", Host: "/h", Session: 10_000, Rebalance: 60_000, Assignment: []byte{1},
			Protocols: []GroupProtocol{{"range", []byte{0, 1}}, {"", []byte{}}}},
		{ID: "b", Static: true, Instance: "", Assignment: []byte{}},
	}
	b := PackGroupMembers(want)
	got, err := ParseGroupMembers(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for cut := range b {
		if got, err := ParseGroupMembers(b[:cut]); err == nil && len(got) == len(want) {
			t.Fatalf("cut at %d of %d is taken whole", cut, len(b))
		}
	}
}

func TestGroupOffsetsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		page := r.Int32N(1000)
		want := GroupOffsets{Offsets: map[int32]GroupOffset{}, CE: r.Int32(), V: r.Int64(), Nonce: u(byte(r.Uint32()))}
		for range r.IntN(70) {
			o := GroupOffset{Offset: r.Int64() >> r.IntN(63), Epoch: r.Int32()>>r.IntN(31) - 1, At: r.Int64N(1 << 40)}
			if r.IntN(2) == 0 {
				o.Metadata = text(r)
			}
			if r.IntN(3) == 0 {
				o.Expires = 1 + r.Int64N(1<<40)
			}
			want.Offsets[page*OffsetsPerPage+r.Int32N(OffsetsPerPage)] = o
		}
		it := want.Item(page)
		got, err := DecodeGroupOffsets(it, page)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v; want %+v", got, err, want)
		}
		b, _ := it[AttrOffsets].Bytes()
		for cut := range b {
			if got, err := parseGroupOffsets(page, b[:cut]); err == nil && len(got) == len(want.Offsets) {
				t.Fatalf("cut at %d of %d is taken whole", cut, len(b))
			}
			flipped := append([]byte(nil), b...)
			flipped[cut] ^= byte(1 + r.IntN(255))
			if got, err := parseGroupOffsets(page, flipped); err == nil && len(got) > OffsetsPerPage {
				t.Fatalf("%d partitions in a page", len(got))
			}
		}
	}
}

func text(r *rand.Rand) string { return strings.Repeat("m", 1+r.IntN(20)) }

// TestGroupOffsetsCostOneUnit: a commit of 64 partitions without metadata costs one write unit of DynamoDB.
func TestGroupOffsetsCostOneUnit(t *testing.T) {
	o := GroupOffsets{Offsets: map[int32]GroupOffset{}, CE: 1 << 20, V: 1 << 40, Nonce: u(1)}
	for i := range int32(OffsetsPerPage) {
		o.Offsets[i] = GroupOffset{Offset: 1<<40 + int64(i)*987_654_321, Epoch: 100_000 + i%3, At: 1_800_000_000 + int64(i%2)}
	}
	key := Cluster("a-cluster").GroupOffsetsKey(255, "orders-billing-eu-central-1", u(3), 12)
	if n := key.Size() + o.Item(0).Size(); n > 1024 {
		t.Fatalf("%d bytes", n)
	}
}

func TestGroupKeys(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"", "%", "%25", "a", "a#O#b", "a%", "a\xff", "a\xfe", "\u00e4", strings.Repeat("\xff", 300)} {
		key := Cluster("c").GroupKey(7, name)
		if err := key.Validate(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if other, ok := seen[key.SK]; ok {
			t.Errorf("%q and %q have one key", name, other)
		}
		seen[key.SK] = name
		if back, err := ParseGroupSK(key.SK); err != nil || back != name {
			t.Errorf("%q: %q, %v", name, back, err)
		}
		if err := Cluster("c").GroupOffsetsKey(7, name, u(1), 3).Validate(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, bad := range []string{"a%", "a%2", "%zz"} {
		if name, err := ParseGroupSK(bad); err == nil {
			t.Errorf("%q is taken for %q", bad, name)
		}
	}
	topic, page, err := ParseGroupOffsetsSK(Cluster("c").GroupOffsetsKey(7, "g", u(1), 3).SK)
	if err != nil || topic != u(1) || page != 3 {
		t.Errorf("%v %d %v", topic, page, err)
	}
	for _, bad := range []string{"", "O#", "O#" + u(1).String(), "M#" + u(1).String() + "#1", "O#" + u(1).String() + "#-1", fmt.Sprintf("O#%s#%d", u(1), math.MaxInt32)} {
		if _, _, err := ParseGroupOffsetsSK(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
