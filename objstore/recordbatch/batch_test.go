package recordbatch

import "testing"

func TestRoundTripOfEveryCodec(t *testing.T) {
	for c := None; c <= Zstd; c++ {
		bl := Builder{Codec: c, BaseOffset: 7}
		raw, err := bl.Append(nil, []Record{{Key: []byte("k"), Value: make([]byte, 100000)}, {Timestamp: 3, Headers: []Header{{Key: "h"}}}})
		if err != nil {
			t.Fatal(c, err)
		}
		b, rest, err := Next(raw)
		if err != nil || len(rest) != 0 {
			t.Fatal(c, err)
		}
		if err := b.Check(); err != nil {
			t.Fatal(c, err)
		}
		n := 0
		for r, err := range b.Iterate(1 << 20) {
			if err != nil {
				t.Fatal(c, err)
			}
			if r.Offset != int64(7+n) {
				t.Fatal(c, r.Offset)
			}
			n++
		}
		if n != 2 {
			t.Fatal(c, n)
		}
	}
}
