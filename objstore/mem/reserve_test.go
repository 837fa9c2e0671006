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
