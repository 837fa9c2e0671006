package records

import (
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

func u(n byte) uuid.UUID {
	var v uuid.UUID
	for i := range v {
		v[i] = n + byte(i)
	}
	return v
}

// kinds lists each kind with a full value, its zero-like value and a decoder that returns any.
var kinds = []struct {
	name   string
	values []interface{ Item() metastore.Item }
	decode func(metastore.Item) (any, error)
}{
	{"config", []interface{ Item() metastore.Item }{
		Config{Format: 1, Cluster: u(1), Slots: 256, Created: 1_764_000_000_000},
		Config{Slots: MaxSlots},
	}, decoder(DecodeConfig)},
	{"version", []interface{ Item() metastore.Item }{Version{Map: 3, Topic: math.MaxInt64}, Version{}}, decoder(DecodeVersion)},
	{"ids", []interface{ Item() metastore.Item }{IDs{Node: 1, Producer: 2, Start: 3}, IDs{}}, decoder(DecodeIDs)},
	{"agent", []interface{ Item() metastore.Item }{
		Agent{Name: "a-1", NodeID: 7, Zone: "eu-1a", Host: "h", Port: 9092, HTTP: "h:8080", Peer: "h:9093", Session: u(2), Started: 5, Lived: u(3), Drain: u(2)},
		Agent{},
	}, decoder(DecodeAgent)},
	{"live", []interface{ Item() metastore.Item }{Live{Agent: "a"}, Live{}}, decoder(DecodeLive)},
	{"session", []interface{ Item() metastore.Item }{
		Session{
			Agent: "a", NodeID: 1, State: Sealed, HB: 9, Committed: 8, Trim: 3, Snap: 4, SnapID: u(9), End: 9,
			Pending: map[uint16]int32{0: 1, 65535: math.MaxInt32}, OldestRef: 2,
		},
		Session{State: Active, Pending: map[uint16]int32{}},
	}, decoder(DecodeSession)},
	{"slot", []interface{ Item() metastore.Item }{
		Slot{
			Slot: 65535, Leader: u(1), Agent: "a", Epoch: 4, Replicas: []Member{{"a", u(1)}, {"b", u(2)}}, ISR: []Member{{"a", u(1)}},
			From: []From{{u(3), 17, 2}, {u(4), 1, 3}}, Want: "b", V: 12, Nonce: u(7),
		},
		Slot{},
	}, decoder(DecodeSlot)},
	{"topic", []interface{ Item() metastore.Item }{
		Topic{
			Name: "orders", ID: u(1), Slots: []uint16{0, 65535, 7}, Configs: map[string]string{"retention.ms": "1", "": "", "a": "b"},
			State: TopicDeleting, Created: 1, V: 2, Nonce: u(3),
		},
		Topic{State: TopicActive, Slots: []uint16{}, Configs: map[string]string{}},
	}, decoder(DecodeTopic)},
	{"topic log", []interface{ Item() metastore.Item }{
		TopicLog{Version: 5, Names: []string{"a", "", strings.Repeat("x", 249)}, TTL: 9}, TopicLog{},
	}, decoder(DecodeTopicLog)},
	{"pins", []interface{ Item() metastore.Item }{
		Pins{Slots: map[uint16]Pin{0: {1, 0}, 300: {math.MaxInt64, math.MaxInt32}, 65535: {5, 6}}, V: 3}, Pins{Slots: map[uint16]Pin{}},
	}, decoder(DecodePins)},
	{"garbage", []interface{ Item() metastore.Item }{
		Garbage{Session: u(4), From: 3, End: 9, NotBefore: 5, Bytes: 7, Snapshots: true}, Garbage{},
	}, decoder(DecodeGarbage)},
	{"garbage", []interface{ Item() metastore.Item }{
		Garbage{ID: u(4), Keys: []string{"c/k/0000/a", "c/t/ffff/b"}, NotBefore: 5, Bytes: 7}, Garbage{ID: u(4)},
	}, decoder(DecodeGarbage)},
	{"partition", []interface{ Item() metastore.Item }{
		Partition{Topic: u(1), Index: 7, LogStart: 3, Tiered: 65538, Bytes: 5, Extents: 2, V: 9, Nonce: u(3)}, Partition{}, Partition{Tiered: 9, Top: Top{-7, 5, 3}},
	}, decoder(DecodePartition)},
	{"extent", []interface{ Item() metastore.Item }{
		Extent{Base: 0, Next: math.MaxInt64, Segment: u(5), Size: 1 << 40, FooterLen: math.MaxUint32, Bytes: 3, Records: 4, MinTimestamp: -1, MaxTimestamp: math.MaxInt64},
		Extent{Next: 1, MinTimestamp: math.MinInt64, MaxTimestamp: -1},
		Extent{Base: 5, Next: 6, MaxTimestamp: 9, Top: Top{TS: math.MaxInt64, At: math.MaxInt64}}, Extent{Base: 5, Next: 6, Top: Top{TS: math.MinInt64, From: 5}},
	}, decoder(DecodeExtent)},
	{"garbage", []interface{ Item() metastore.Item }{Garbage{ID: u(4), Partitions: 65538, NotBefore: 5}}, decoder(DecodeGarbage)},
	{"pack", []interface{ Item() metastore.Item }{
		Pack{ID: u(5), Session: u(6), Live: 0, Runs: 70_000, Bytes: 8, Created: 9, Nonce: u(7)}, Pack{},
	}, decoder(DecodePack)},
}

func decoder[T any](f func(metastore.Item) (T, error)) func(metastore.Item) (any, error) {
	return func(it metastore.Item) (any, error) { return f(it) }
}

func TestRoundTrip(t *testing.T) {
	for _, k := range kinds {
		for _, v := range k.values {
			it := v.Item()
			it["unknown_attribute"] = metastore.S("from a newer build")
			got, err := k.decode(it)
			if err != nil || !reflect.DeepEqual(got, v) {
				t.Errorf("%s: got %+v, %v\nwant %+v", k.name, got, err, v)
			}
		}
	}
}

// Each attribute of each kind is taken away, given each other type and odd values; packed ones are cut at every byte and
// lengthened. Whatever does not decode must say which attribute it was; whatever does must encode to the same bytes.
func TestHostileItems(t *testing.T) {
	counters := map[string]bool{"version": true, "ids": true}
	optional := map[string]bool{AttrLived: true, AttrDrain: true, "garbage." + AttrBytes: true, "garbage." + AttrSnapshots: true}
	negative := map[string]bool{AttrMinTS: true, AttrMaxTS: true}
	for _, k := range kinds {
		good := k.values[0].Item()
		for attr, v := range good {
			try := func(what string, with metastore.Value, mustFail bool) {
				it := good.Clone()
				it[attr] = with
				if with.IsZero() {
					delete(it, attr)
				}
				got, err := k.decode(it)
				if mustFail && err == nil {
					t.Errorf("%s.%s %s: no error", k.name, attr, what)
				}
				if err != nil && (!errors.Is(err, ErrBadItem) || !strings.Contains(err.Error(), `"`+attr+`"`)) {
					t.Errorf("%s.%s %s: error %v", k.name, attr, what, err)
				}
				if err == nil && !counters[k.name] && !with.IsZero() && !got.(interface{ Item() metastore.Item }).Item()[attr].Equal(with) {
					t.Errorf("%s.%s %s: two encodings of one value", k.name, attr, what)
				}
			}
			_, isStr := v.Str()
			_, isNum := v.Num()
			b, isBytes := v.Bytes()
			try("absent", metastore.Value{}, !counters[k.name] && !optional[attr] && !optional[k.name+"."+attr])
			try("string", metastore.S("\xff\x00"), !isStr)
			try("number", metastore.N(1), !isNum)
			try("bytes", metastore.B([]byte{0xff}), true)
			try("empty bytes", metastore.B(nil), true)
			for _, n := range []int64{-1, math.MinInt64, math.MaxInt64, math.MaxInt32 + 1, 65536, 65537} {
				try("odd number", metastore.N(n), n < 0 && !negative[attr])
			}
			if !isBytes {
				continue
			}
			for i := range b {
				try("cut", metastore.B(b[:i]), false)
				for _, x := range []byte{1, 0x80, 0xff} {
					c := append([]byte(nil), b...)
					c[i] ^= x
					try("flipped", metastore.B(c), i == 0 && c[0] != packVersion && len(b) != 16)
				}
			}
			try("longer", metastore.B(append(append([]byte(nil), b...), 0x7f)), true)
		}
	}
}

// Values that have the right type and make no sense.
func TestSenseless(t *testing.T) {
	session, slot, topic, pins := kinds[5].values[0].Item(), kinds[6].values[0].Item(), kinds[7].values[0].Item(), kinds[9].values[0].Item()
	wal, keys, partition, extent, pack := kinds[10].values[0].Item(), kinds[11].values[0].Item(), kinds[12].values[0].Item(), kinds[13].values[0].Item(), kinds[15].values[0].Item()
	long := []byte{packVersion, 0x81, 0x00, 'a', 0x00} // a string of length 1, said in two bytes
	for _, c := range []struct {
		kind int
		item metastore.Item
		attr string
		v    metastore.Value
	}{
		{5, session, AttrState, metastore.S("ASLEEP")},
		{9, pins, AttrPins, PinsValue(map[uint16]Pin{1: {Seq: -1}})},
		{9, pins, AttrPins, PinsValue(map[uint16]Pin{1: {Epoch: -1}})},
		{5, session, AttrPending, PendingValue(map[uint16]int32{1: -1})},
		{6, slot, AttrFrom, FromValue([]From{{End: -1}})},
		{6, slot, AttrFrom, FromValue([]From{{Epoch: -1}})},
		{7, topic, AttrState, metastore.S("ACTIVE ")},
		{7, topic, AttrConfigs, metastore.B(long)},
		{10, wal, AttrSnapshots, metastore.N(2)},
		{10, wal, AttrKeys, keysValue(nil)}, // both forms
		{11, keys, AttrKeys, keysValue([]string{"a", ""})},
		{11, keys, AttrKeys, keysValue(slices.Repeat([]string{"a"}, MaxGarbageKeys+1))},
		{11, keys, AttrID, IDValue(uuid.Nil)},
		{11, keys, AttrPartitions, metastore.N(1)}, // two forms
		{14, kinds[14].values[0].Item(), AttrPartitions, metastore.N(0)},
		{12, partition, AttrTiered, metastore.N(2)}, // log start 3
		{12, partition, AttrLogStart, metastore.N(65539)},
		{13, extent, AttrNext, metastore.N(0)},
		{15, pack, AttrLive, metastore.N(70_001)},
	} {
		it := c.item.Clone()
		it[c.attr] = c.v
		if _, err := kinds[c.kind].decode(it); !errors.Is(err, ErrBadItem) || !strings.Contains(err.Error(), `"`+c.attr+`"`) {
			t.Errorf("%s %s = %v: %v", kinds[c.kind].name, c.attr, c.v, err)
		}
	}
}

func TestNilItems(t *testing.T) {
	for _, k := range kinds {
		_, err := k.decode(nil)
		if ok := k.name == "version" || k.name == "ids"; ok != (err == nil) {
			t.Errorf("%s: error %v", k.name, err)
		}
	}
}

// The bytes of packed attributes are a format: these are theirs for ever.
func TestGoldenBytes(t *testing.T) {
	for name, c := range map[string]struct {
		v    metastore.Value
		want string
	}{
		"pins":       {PinsValue(map[uint16]Pin{0x0201: {0x0102030405060708, 0x01020304}, 1: {2, 3}}), "01" + "0100" + "0200000000000000" + "03000000" + "0102" + "0807060504030201" + "04030201"},
		"pending":    {PendingValue(map[uint16]int32{0x0201: 0x01020304, 1: 2}), "01" + "0100" + "02000000" + "0102" + "04030201"},
		"members":    {MembersValue([]Member{{"ab", u(0)}, {"", u(1)}}), "01" + "000102030405060708090a0b0c0d0e0f" + "026162" + "0102030405060708090a0b0c0d0e0f10" + "00"},
		"from":       {FromValue([]From{{u(0), 5, 6}}), "01" + "000102030405060708090a0b0c0d0e0f" + "0500000000000000" + "06000000"},
		"partitions": {PartitionsValue([]uint16{1, 0x0201}), "01" + "0100" + "0102"},
		"configs":    {ConfigsValue(map[string]string{"b": "", "a": "xy"}), "01" + "0161" + "027879" + "0162" + "00"},
		"names":      {TopicLog{Names: []string{"a", "bc"}}.Item()[AttrNames], "01" + "0161" + "026263"},
		"keys":       {keysValue([]string{"a", "bc"}), "01" + "0161" + "026263"},
		"empty":      {PinsValue(nil), "01"},
	} {
		b, _ := c.v.Bytes()
		if got := hex.EncodeToString(b); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// A flush must cost one write unit: 1 KB. DynamoDB counts the names and values of the keys too.
func TestSessionStaysSmall(t *testing.T) {
	s := Session{
		Agent: strings.Repeat("a", MaxName), NodeID: math.MaxInt32, State: Drained, HB: math.MaxInt64, Committed: math.MaxInt64,
		Trim: math.MaxInt64, Snap: math.MaxInt64, SnapID: u(1), End: math.MaxInt64, OldestRef: math.MaxInt64,
	}
	key := Cluster(strings.Repeat("c", MaxName)).SessionKey(u(1))
	n := s.Item().Size() + len("pk") + len(key.PK) + len("sk") + len(key.SK)
	t.Logf("%d bytes", n)
	if n > 900 {
		t.Errorf("session item of %d bytes", n)
	}
}

func TestKeys(t *testing.T) {
	c := Cluster("varve")
	s := uuid.MustParse("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
	for want, k := range map[string]metastore.Key{
		"varve/C / CFG": c.ConfigKey(),
		"varve/C / VER": c.VersionKey(),
		"varve/C / ID":  c.IDsKey(),
		"varve/A / a-1": c.AgentKey("a-1"),
		"varve/S#6ba7b810-9dad-11d1-80b4-00c04fd430c8 / -":                                c.SessionKey(s),
		"varve/L / 6ba7b810-9dad-11d1-80b4-00c04fd430c8":                                  c.LiveKey(s),
		"varve/S#6ba7b810-9dad-11d1-80b4-00c04fd430c8 / PINS":                             c.PinsKey(s),
		"varve/G#b / 0000000000005#6ba7b810-9dad-11d1-80b4-00c04fd430c8":                  c.GarbageKey(Garbage{Session: s, NotBefore: 5, Snapshots: true}),
		"varve/G#b / 0000000000005#6ba7b810-9dad-11d1-80b4-00c04fd430c8#00000000000000ff": c.GarbageKey(Garbage{Session: s, NotBefore: 5, From: 255}),
		"varve/G#b / 0000000000006#6ba7b810-9dad-11d1-80b4-00c04fd430c8":                  c.GarbageKey(Garbage{ID: s, NotBefore: 6}),
		"varve/P#6ba7b810-9dad-11d1-80b4-00c04fd430c8#000000ff / M":                       c.PartitionKey(s, 255),
		"varve/P#6ba7b810-9dad-11d1-80b4-00c04fd430c8#7fffffff / X00000000000000ff":       c.ExtentKey(s, math.MaxInt32, 255),
		"varve/O#6ba7b810-9dad-11d1-80b4-00c04fd430c8 / -":                                c.PackKey(s),
		"varve/M / slot:000f":         c.SlotKey(15),
		"varve/M / slot:ffff":         c.SlotKey(65535),
		"varve/T / orders":            c.TopicKey("orders"),
		"varve/TL / 00000000000000ff": c.TopicLogKey(255),
	} {
		if k.String() != want {
			t.Errorf("got %q, want %q", k, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, ok := range []string{"varve", "A-z_0.9", "...", strings.Repeat("x", 64)} {
		if c, err := ParseCluster(ok); err != nil || string(c) != ok {
			t.Errorf("%q: %q, %v", ok, c, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", "a#b", "ä", "a b", "a\n", strings.Repeat("x", 65)} {
		if _, err := ParseCluster(bad); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestTopicLogExpires(t *testing.T) {
	l := TopicLog{TTL: 100}
	if l.Expired(100) || !l.Expired(101) {
		t.Error("want expired only after its ttl")
	}
}

// A Garbage item of the longest keys must fit into the table, and a query for what is due must end before what is not.
func TestGarbageFits(t *testing.T) {
	g := Garbage{ID: u(1), Keys: slices.Repeat([]string{strings.Repeat("k", 1024)}, MaxGarbageKeys)}
	if n := g.Item().Size(); n > metastore.MaxItem-1024 {
		t.Errorf("%d keys take %d bytes", MaxGarbageKeys, n)
	}
	for now := range int64(3) {
		for before := range int64(3) {
			g.NotBefore = before
			if due := Cluster("c").GarbageKey(g).SK < GarbageDue(now); due != (before <= now) {
				t.Errorf("not before %d, at %d: due is %v", before, now, due)
			}
		}
	}
}
