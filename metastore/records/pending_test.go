package records

import (
	"encoding/hex"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/varvelog/varve/metastore"
)

// owed returns pending of the slots from 0 on that keep says, with an epoch for each.
func owed(slots int, keep func(n int) bool, epoch func(n int) int32) map[uint16]int32 {
	all := map[uint16]int32{}
	for n := range slots {
		if keep(n) {
			all[uint16(n)] = epoch(n)
		}
	}
	return all
}

func every(int) bool       { return true }
func spread(n int) int32   { return math.MaxInt32 - int32(n%2)*16_383 }
func random(int) int32     { return rand.Int32() }
func halves(n int) bool    { return n%2 == 0 }
func sometimes(n int) bool { return rand.IntN(3) > 0 }

// A session item stays below 900 bytes to its end, whichever of 256 slots it led: with the longest names, and epochs as far from each
// other as they may be when one slot changed its leader 16,383 times more often than another.
func TestEndedSessionStaysSmall(t *testing.T) {
	key := Cluster(strings.Repeat("c", MaxName)).SessionKey(u(1))
	most := 0
	try := func(keep func(n int) bool) {
		s := Session{
			Agent: strings.Repeat("a", MaxName), NodeID: math.MaxInt32, State: Drained, HB: math.MaxInt64, Committed: math.MaxInt64,
			Trim: math.MaxInt64, Snap: math.MaxInt64, SnapID: u(1), End: math.MaxInt64, OldestRef: math.MaxInt64,
			Pending: owed(256, keep, spread),
		}
		s.Pending[0], s.Pending[255] = math.MaxInt32-16_383, math.MaxInt32
		if n := s.Item().Size() + key.Size(); n > 900 {
			t.Errorf("an item of %d bytes with %d slots pending", n, len(s.Pending))
		} else {
			most = max(most, n)
		}
	}
	try(every)
	for length := 1; length < 130; length++ { // runs of slots, with gaps of some lengths between
		for _, gap := range []int{1, 2, 3, 64, 127, 128} {
			try(func(n int) bool { return n%(length+gap) < length })
		}
	}
	for range 1000 {
		odds := rand.Float64()
		try(func(int) bool { return rand.Float64() < odds })
	}
	t.Logf("at most %d bytes", most)
}

// What is packed by runs decodes to what it was, whatever it is; damaged bytes either do not decode or are the one encoding of another value.
func TestPendingByRuns(t *testing.T) {
	b, _ := PendingValue(owed(66, func(n int) bool { return n != 64 }, func(n int) int32 { return 300 - int32(n)*200/66 })).Bytes()
	if got := hex.EncodeToString(b); !strings.HasPrefix(got, "02"+"68"+"00"+"3f"+"c401") || !strings.HasSuffix(got, "01"+"00"+"00") {
		t.Errorf("golden bytes: %s", got)
	}
	for _, keep := range []func(int) bool{every, halves, sometimes} {
		for _, slots := range []int{200, 256, 4096, MaxSlots} {
			want := owed(slots, keep, random)
			b, _ := PendingValue(want).Bytes()
			if got, err := parsePending(b); err != nil || !maps.Equal(got, want) {
				t.Fatalf("%d slots: %v", slots, err)
			}
		}
	}
	good, _ := PendingValue(owed(100, sometimes, func(int) int32 { return rand.Int32N(300) })).Bytes()
	one := func(b []byte) {
		got, err := parsePending(b)
		if again, _ := PendingValue(got).Bytes(); err == nil && !reflect.DeepEqual(again, b) {
			t.Fatalf("two encodings of one value: %x and %x", b, again)
		}
	}
	for i := range good {
		one(good[:i])
		for x := range 255 {
			c := append([]byte(nil), good...)
			c[i] ^= byte(x + 1)
			one(c)
		}
	}
	for _, bad := range []metastore.Value{
		PendingValue(owed(65, every, func(n int) int32 { return int32(-n) })),
		metastore.B(append([]byte{pendingVersion, 0, 0, 63}, make([]byte, 64)...)),                         // so few take the plain form
		metastore.B(append([]byte{pendingVersion, 0, 0xff, 0xff, 3, 64}, make([]byte, 65)...)),             // beyond the last slot
		metastore.B(append([]byte{pendingVersion, 0xff, 0xff, 0xff, 0xff, 8, 0, 64}, make([]byte, 65)...)), // an epoch of 2^31 and more
		metastore.B([]byte{pendingVersion}),
		metastore.B(append([]byte{packVersion}, plain(65)...)),
	} {
		item := Session{State: Sealed}.Item()
		item[AttrPending] = bad
		if _, err := DecodeSession(item); !errors.Is(err, ErrBadItem) || !strings.Contains(err.Error(), `"pending"`) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// plain is n slots as few of them are packed.
func plain(n int) []byte {
	p := &packer{}
	for slot := range n {
		p.u16(uint16(slot))
		p.i32(1)
	}
	return p.b
}
