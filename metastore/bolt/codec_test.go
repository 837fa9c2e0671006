package bolt

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"maps"
	"math"
	"testing"

	"github.com/varvelog/varve/metastore"
)

var sample = metastore.Item{
	"s": metastore.S("é"), "": metastore.S(""), "n": metastore.N(math.MinInt64), "m": metastore.N(math.MaxInt64), "z": metastore.N(0),
	"b": metastore.B([]byte{0, 255}), "e": metastore.B(nil),
}

func TestCodecRoundTrip(t *testing.T) {
	for _, it := range []metastore.Item{sample, {}} {
		got, err := decode(encode(it))
		if err != nil || got == nil || !maps.EqualFunc(got, it, metastore.Value.Equal) {
			t.Errorf("got %v, %v, want %v", got, err, it)
		}
	}
}

// The bytes of the file are gone when the transaction ends; an item must not point into them.
func TestDecodeCopies(t *testing.T) {
	b := encode(sample)
	it, err := decode(b)
	clear(b)
	if err != nil || !maps.EqualFunc(it, sample, metastore.Value.Equal) {
		t.Errorf("%v, %v", it, err)
	}
}

func TestCodecGolden(t *testing.T) {
	b := encode(metastore.Item{"b": metastore.B([]byte{9}), "a": metastore.S("xy"), "c": metastore.N(-2)})
	want := "01" + "03" + "0161" + "73" + "027879" + "0162" + "62" + "0109" + "0163" + "6e" + "03" + "6569b1ee"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := hex.EncodeToString(storedKey(metastore.Key{PK: "pk", SK: "s"})); got != "0002706b73" {
		t.Errorf("key %s", got)
	}
}

// sealed puts a right checksum under b.
func sealed(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(append([]byte(nil), b...), crc32.Checksum(b, castagnoli))
}

func TestCodecHostile(t *testing.T) {
	good := encode(sample)
	body := good[:len(good)-4]
	for i := range good {
		if _, err := decode(good[:i]); err == nil {
			t.Errorf("cut at %d: no error", i)
		}
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		if _, err := decode(bad); err == nil {
			t.Errorf("bit flipped at %d: no error", i)
		}
	}
	for i := range body {
		if _, err := decode(sealed(body[:i])); err == nil {
			t.Errorf("cut at %d with a right checksum: no error", i)
		}
		for _, x := range []byte{1, 0x7f, 0x80, 0xff} {
			bad := append([]byte(nil), body...)
			bad[i] ^= x
			decode(sealed(bad)) // must not panic
		}
	}
	for name, b := range map[string][]byte{
		"version": {2, 0}, "left over": append(append([]byte(nil), body...), 0), "twice": {1, 2, 1, 'a', 'n', 0, 1, 'a', 'n', 0},
		"type": {1, 1, 1, 'a', 'x', 0}, "huge count": {1, 0xff, 0xff, 0xff, 0xff, 0x0f}, "huge name": {1, 1, 0xff, 0xff, 0xff, 0x0f},
	} {
		if it, err := decode(sealed(b)); err == nil {
			t.Errorf("%s: %v", name, it)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(sample))
	f.Fuzz(func(t *testing.T, b []byte) {
		it, err := decode(sealed(b))
		if err == nil {
			if again, err := decode(encode(it)); err != nil || !maps.EqualFunc(again, it, metastore.Value.Equal) {
				t.Errorf("%v, then %v, %v", it, again, err)
			}
		}
	})
}
