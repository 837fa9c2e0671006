package group

import (
	"fmt"
	"testing"
	"time"
)

// subscriptionV3 has one topic "t", user data "ud", partitions 1 and 2 of "t", generation 7, rack "r".
var subscriptionV3 = []byte{
	0, 3, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 2, 'u', 'd',
	0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2,
	0, 0, 0, 7, 0, 1, 'r',
}

func TestEmbedded(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{subscriptionV3, "{3 [t] map[t:[1 2]] r}"},
		{append([]byte{0, 9}, subscriptionV3[2:]...), "{9 [t] map[t:[1 2]] r}"},
		{append(subscriptionV3[:len(subscriptionV3)-3:len(subscriptionV3)-3], 0xff, 0xff), "{3 [t] map[t:[1 2]] }"}, // no rack
		{[]byte{0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, "{0 [] map[] }"},
		{[]byte{0, 0, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 0}, "{0 [t] map[] }"},
	} {
		got, ok := parseEmbedded(c.b)
		if !ok || fmt.Sprint(got) != c.want {
			t.Errorf("%x is %v, %v, not %s", c.b, got, ok, c.want)
		}
	}
	for n := range subscriptionV3 {
		if got, ok := parseEmbedded(subscriptionV3[:n]); ok {
			t.Errorf("cut to %d bytes it is %v", n, got)
		}
	}
	for _, b := range [][]byte{
		{0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0},
		{0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff},
	} {
		if got, ok := parseEmbedded(b); ok {
			t.Errorf("%x is %v", b, got)
		}
	}
}

func TestEmbeddedAssignment(t *testing.T) {
	cat := NewCatalogue(1, []TopicInfo{{"t", topicID(1), 9}, {"u", topicID(2), 9}})
	p := Parts{topicID(1): {0, 3}, topicID(2): {1}, topicID(3): {4}}
	b := embedAssigned(p, 1, cat)
	got, ok := parseAssigned(b)
	if want := "map[t:[0 3] u:[1]]"; !ok || fmt.Sprint(got) != want {
		t.Errorf("read %v, %v, not %s", got, ok, want)
	}
	for n := 1; n < len(b)-4; n++ {
		if got, ok := parseAssigned(b[:n]); ok {
			t.Errorf("cut to %d bytes it is %v", n, got)
		}
	}
	if got := partsOf(map[string][]int32{"t": {3, -1, 1 << 30, 3, 0}, "gone": {1}}, cat); fmt.Sprint(got) != fmt.Sprint(Parts{topicID(1): {0, 3}}) {
		t.Errorf("of bad partitions there is left %v", got)
	}
}

func FuzzEmbedded(f *testing.F) {
	f.Add(subscriptionV3)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, _ := parseEmbedded(b)
		_, _ = parseAssigned(b)
		if len(e.topics) > len(b) {
			t.Errorf("%d topics in %d bytes", len(e.topics), len(b))
		}
	})
}

// TestUpgradeUnreadable: a group that cannot move on stays as it was.
func TestUpgradeUnreadable(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c := NewClassic(Bounds{MinSession: time.Second, MaxSession: time.Hour, MaxMembers: 10, MaxBytes: 1 << 20})
	c.Step(Join{To: "K", NewID: "K", Session: time.Minute, Rebalance: time.Minute, Type: "consumer", Protocols: []Protocol{{"p", []byte{0}}}}, now)
	if _, err := Upgrade(c, ConsumerBounds{}, NewCatalogue(1, nil), now); err == nil {
		t.Error("a member that says what cannot be read is taken over")
	}
	if len(c.members) != 1 || c.state != Completing {
		t.Errorf("the classic group has changed: %v, %d members", c.state, len(c.members))
	}
}

// TestUpgradeOfNumbersThatAreNot: the leader of a classic group assigns partitions that are not there: taking the group over neither believes it
// nor makes room for them.
func TestUpgradeOfNumbersThatAreNot(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	var topics []TopicInfo
	far := Parts{}
	for i := range 100 {
		topics = append(topics, TopicInfo{fmt.Sprintf("t%d", i), topicID(i + 1), 4})
		far[topicID(i+1)] = []int32{3, maxPartition - 1}
	}
	cat := NewCatalogue(1, topics)
	b := testBounds()
	b.MaxBytes = 1 << 20
	c := NewClassic(b)
	c.Step(Join{To: "a", NewID: "a", Session: 10 * time.Second, Type: "consumer", Protocols: []Protocol{{"range", says([]string{"t0"}, nil, cat)}}}, now)
	c.Step(Sync{To: "a", Member: "a", Generation: 1, Assignments: []Assignment{{"a", embedAssigned(far, 0, cat)}}}, now)
	g, err := Upgrade(c, ConsumerBounds{MaxMembers: 10, MaxBytes: 1 << 20}, cat, now)
	if err != nil {
		t.Fatal(err)
	}
	if got := g.members["a"].assigned.len(); got != 100 {
		t.Errorf("%d partitions are taken for assigned, want 100", got)
	}
	for _, counts := range g.held {
		if len(counts) > 4 {
			t.Fatalf("there is room for %d partitions of a topic of 4", len(counts))
		}
	}
}

// TestUpgradeAmongCooperation: a cooperative member was told to give partitions up, and is about to, when the first member of the newer
// protocol joins: that one is not given them before the other has joined without them.
func TestUpgradeAmongCooperation(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	cat := NewCatalogue(1, []TopicInfo{{"t", topicID(1), 4}})
	all, half := Parts{topicID(1): {0, 1, 2, 3}}, Parts{topicID(1): {0, 1}}
	join := func(id string, owned Parts) Join {
		return Join{To: id, Member: id, NewID: id, Session: 10 * time.Second, Rebalance: time.Minute, Type: "consumer",
			Protocols: []Protocol{{"cooperative", says([]string{"t"}, owned, cat)}}}
	}
	b := testBounds()
	b.MaxBytes = 1 << 20
	c := NewClassic(b)
	first := join("a", nil)
	first.Member = ""
	c.Step(first, now)
	c.Step(Sync{To: "a", Member: "a", Generation: 1, Assignments: []Assignment{{"a", embedAssigned(all, 1, cat)}}}, now)
	first = join("b", nil)
	first.Member = ""
	c.Step(first, now)
	c.Step(join("a", all), now)
	c.Step(Sync{To: "a", Member: "a", Generation: 2, Assignments: []Assignment{{"a", embedAssigned(half, 1, cat)}, {"b", embedAssigned(nil, 1, cat)}}}, now)
	if c.state != Stable {
		t.Fatalf("it is %v", c.state)
	}
	g, err := Upgrade(c, ConsumerBounds{Session: time.Minute, Heartbeat: time.Second, MaxMembers: 10, MaxBytes: 1 << 20}, cat, now)
	if err != nil {
		t.Fatal(err)
	}
	beat := ConsumerBeat{To: "m", Member: "m", Names: []string{"t"}, Owned: Parts{}, Rebalance: time.Minute}
	told := g.Step(beat, now).Replies[0].Msg.(ConsumerTold)
	if told.Err != nil || told.Assigned.Len() != 0 {
		t.Errorf("before: %v, %v", told.Assigned, told.Err)
	}
	g.Step(join("a", half), now)
	beat = ConsumerBeat{To: "m", Member: "m", Epoch: told.Epoch, Rebalance: -1}
	if told = g.Step(beat, now).Replies[0].Msg.(ConsumerTold); told.Err != nil || told.Assigned.Len() != 1 {
		t.Errorf("after: %v, %v", told.Assigned, told.Err)
	}
}
