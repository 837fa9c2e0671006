package sim

import (
	"errors"
	"strings"
	"testing"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/storetest"
)

// letters makes objects of 26 letters under "made/".
func letters(key string) (int64, func([]byte, int64)) {
	if !strings.HasPrefix(key, "made/") {
		return 0, nil
	}
	return 26, func(dst []byte, off int64) {
		for i := range dst {
			dst[i] = 'a' + byte(off) + byte(i)
		}
	}
}

func TestMadeConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) objstore.Store { return NewMade(mem.New(), letters) })
}

func TestMade(t *testing.T) {
	s := NewMade(mem.New(), letters)
	for want, r := range map[string]objstore.Range{
		"defg": objstore.Exact(3, 4), "yz": objstore.From(24), "xyz": objstore.Suffix(3), "abcdefghijklmnopqrstuvwxyz": {},
	} {
		if o, err := s.Get(t.Context(), "made/x", r); err != nil || string(o.Body) != want || o.Size != 26 {
			t.Errorf("%s: %q of %d bytes, %v, want %q", r, o.Body, o.Size, err, want)
		}
	}
	if _, err := s.Get(t.Context(), "made/x", objstore.Exact(20, 7)); !errors.Is(err, objstore.ErrRange) {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "x", objstore.Range{}); !errors.Is(err, objstore.ErrNotFound) {
		t.Error(err)
	}
}
