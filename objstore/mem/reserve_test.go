package mem

import (
	"bytes"
	"testing"

	"github.com/varvelog/varve/objstore"
)

// Objects in the reserve, and one that finds no room there, keep their own bytes.
func TestReserve(t *testing.T) {
	s := NewReserved(3 * large)
	for i := range byte(5) {
		if err := s.Put(t.Context(), string('a'+rune(i)), bytes.Repeat([]byte{i}, large)); err != nil {
			t.Fatal(err)
		}
	}
	if used := s.reserve.used.Load(); used != 3*large {
		t.Fatalf("%d bytes of the reserve are used", used)
	}
	for i := range byte(5) {
		o, err := s.Get(t.Context(), string('a'+rune(i)), objstore.Range{})
		if err != nil || !bytes.Equal(o.Body, bytes.Repeat([]byte{i}, large)) {
			t.Fatalf("object %d: %v", i, err)
		}
	}
}

// What large objects leave behind is used again, not before the last who reads it has gone, and no more of it is kept than allowed.
func TestSpare(t *testing.T) {
	s := New()
	put := func(key string, value byte, n int) {
		t.Helper()
		if err := s.Put(t.Context(), key, bytes.Repeat([]byte{value}, n)); err != nil {
			t.Fatal(err)
		}
	}
	put("a", 1, 2*large)
	read := s.hold("a")
	put("a", 2, 2*large) // replaced
	put("b", 3, large)
	if err := s.Delete(t.Context(), "b", "no such object"); err != nil {
		t.Fatal(err)
	}
	put("c", 4, 2*large-1) // too large for what b had, and a's is being read
	if !bytes.Equal(read.b, bytes.Repeat([]byte{1}, 2*large)) {
		t.Error("bytes changed while they were read")
	}
	s.spare.drop(read)
	put("d", 5, 2*large-1)
	put("e", 6, large)
	if d := s.hold("d"); &d.b[0] != &read.b[0] || len(s.spare.all) != 0 {
		t.Error("memory is not used again")
	}
	for key, value := range map[string]byte{"a": 2, "c": 4, "d": 5, "e": 6} {
		if o := s.hold(key); !bytes.Equal(o.b, bytes.Repeat([]byte{value}, len(o.b))) {
			t.Error(key, "is other bytes")
		}
	}
	for range 3 {
		s.spare.drop(&bytesOf{b: make([]byte, maxSpare/2)})
	}
	if n := len(s.spare.all); n != 2 || s.spare.bytes != maxSpare {
		t.Errorf("%d pieces of %d bytes are spare, want 2 of %d", n, s.spare.bytes, maxSpare)
	}
}
