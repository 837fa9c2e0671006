package main

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// crafted is an object with one run of two batches, and its footer, which change may spoil before the digest is set.
func crafted(t *testing.T, change func(*bundle.Footer)) ([]byte, *bundle.Footer) {
	t.Helper()
	topic := uuid.MustParse("11111111-2222-3333-4444-555555555555")
	object := make([]byte, bundle.HeaderLen)
	f := &bundle.Footer{Topics: []bundle.Topic{{ID: topic, Name: "t"}}}
	r := bundle.Run{Partition: 1, LeaderEpoch: 3, Base: 10, Next: 14, Pos: bundle.HeaderLen, Batches: 2}
	digest := bundle.NewDigest(topic, 1, 3, 10)
	for base := int64(10); base < 14; base += 2 {
		b := recordbatch.Builder{BaseOffset: base, LeaderEpoch: 3}
		at := len(object)
		var err error
		if object, err = b.Append(object, []recordbatch.Record{{Value: []byte("a")}, {Value: []byte("b")}}); err != nil {
			t.Fatal(err)
		}
		batch := recordbatch.Batch(object[at:])
		digest = digest.Add(batch.CRC())
		f.Batches = append(f.Batches, bundle.Batch{PosDelta: uint32(at - bundle.HeaderLen), Len: uint32(len(batch)), Records: 2})
	}
	r.Len, r.Digest = uint32(len(object)-bundle.HeaderLen), uint32(digest)
	f.Runs = []bundle.Run{r}
	change(f)
	return object, f
}

// TestVerifyRunComparesWithTheFooter: every batch is intact, but the footer says something else about them.
func TestVerifyRunComparesWithTheFooter(t *testing.T) {
	for _, c := range []struct {
		name, want string
		change     func(*bundle.Footer)
	}{
		{"nothing", "", func(*bundle.Footer) {}},
		{"no index", "", func(f *bundle.Footer) { f.Batches = nil }},
		{"another partition", "records of another partition?", func(f *bundle.Footer) { f.Runs[0].Partition = 2 }},
		{"another topic", "records of another partition?", func(f *bundle.Footer) { f.Topics[0].ID[0]++ }},
		{"another digest", "records of another partition?", func(f *bundle.Footer) { f.Runs[0].Digest++ }},
		{"another epoch", "batch 0 has offset 10 and epoch 3, not 10 and 4", func(f *bundle.Footer) { f.Runs[0].LeaderEpoch = 4 }},
		{"another base", "batch 0 has offset 10 and epoch 3, not 9 and 3", func(f *bundle.Footer) { f.Runs[0].Base = 9 }},
		{"another end", "2 batches up to offset 14, the footer says 2 and 15", func(f *bundle.Footer) { f.Runs[0].Next = 15 }},
		{"another length", "batch 1 is not the one in the index", func(f *bundle.Footer) { f.Batches[1].Len++ }},
		{"another count", "batch 0 is not the one in the index", func(f *bundle.Footer) { f.Batches[0].Records++ }},
		{"cut", "batch 1 at byte", func(f *bundle.Footer) { f.Runs[0].Len-- }},
	} {
		object, f := crafted(t, c.change)
		n, err := verifyRun(object, f, 0)
		switch {
		case c.want == "" && (err != nil || n != 2):
			t.Errorf("%s: %d batches, %v", c.name, n, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}
