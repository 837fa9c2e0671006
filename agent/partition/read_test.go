package partition

import (
	"testing"

	"github.com/varvelog/varve/objstore/bundle"
)

// TestBytes: what is committed and not trimmed counts, what is only appended does not.
func TestBytes(t *testing.T) {
	r := newRig(t, 3)
	p := r.partition(0, 3)
	var none *producer
	want := [3]int64{}
	for i := range want {
		b := none.batch(t, 5+i)
		want[i] = int64(len(b))
		r.mustSend(p, b, i)
	}
	if n := r.set.Bytes(p.ID()); n != 0 {
		t.Errorf("appended: %d bytes", n)
	}
	r.commit(1)
	r.commit(2)
	if n := r.set.Bytes(p.ID()); n != want[0]+want[1]+want[2] {
		t.Errorf("committed: %d bytes, want the sum of %d", n, want)
	}
	r.apply(&bundle.Footer{
		Topics: []bundle.Topic{{ID: topicID, Name: "t"}},
		Ops:    []bundle.Op{{Kind: bundle.OpLogStart, Slot: 3, Epoch: 1, Offset: 5}},
	})
	if n := r.set.Bytes(p.ID()); n != want[1]+want[2] {
		t.Errorf("trimmed: %d bytes, want %d", n, want[1]+want[2])
	}
	r.set.End()
	if n := r.set.Bytes(p.ID()); n != 0 {
		t.Errorf("not led: %d bytes", n)
	}
}
