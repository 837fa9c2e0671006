package segment

import (
	"math/rand/v2"
	"testing"

	"github.com/varvelog/varve/objstore/recordbatch"
)

// runOf returns a run of so many batches, of random sizes.
func runOf(t *testing.T, rng *rand.Rand, batches int) (run []byte) {
	for i := range batches {
		value := make([]byte, rng.IntN(300))
		var err error
		if run, err = (&recordbatch.Builder{BaseOffset: int64(i)}).Append(run, []recordbatch.Record{{Value: value}}); err != nil {
			t.Fatal(err)
		}
	}
	return run
}

// Runs are found sound in whatever pieces they come, and damaged ones are not: of no byte that a CRC or the walk knows of, wherever it is.
// What comes a second time is looked at again.
func TestFollower(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var wants []want
		var sound [4]bool
		pos := uint64(100)
		for i := range sound {
			dst := runOf(t, rng, 1+rng.IntN(4))
			pos += uint64(rng.IntN(2) * rng.IntN(50)) // a gap, perhaps
			wants = append(wants, want{pos: pos, dst: dst, sound: &sound[i]})
			pos += uint64(len(dst))
		}
		f := follower{wants: wants, begin: 100}
		come := func() {
			n := int64(0)
			for f.came(0); n < int64(pos-100); f.came(n) {
				n = min(n+1+rng.Int64N(200), int64(pos-100))
			}
		}
		come()
		if sound != [4]bool{true, true, true, true} {
			t.Fatal("sound runs: ", sound)
		}
		hurt := rng.IntN(len(sound))
		dst := wants[hurt].dst
		at := 8 + rng.IntN(len(dst)-8) // of the base offset in front nothing is said here
		bit := byte(1) << rng.IntN(8)
		first, _, _ := recordbatch.Next(dst)
		covered := at < len(first) && (at < 12 || at >= 16)
		dst[at] ^= bit
		come()
		for i := range sound {
			if i != hurt && !sound[i] || i == hurt && covered && sound[i] {
				t.Fatalf("byte %d of run %d is damaged: %v", at, hurt, sound)
			}
		}
		dst[at] ^= bit
		come()
		if !sound[hurt] {
			t.Fatal("mended, and not sound")
		}
		wants[0].dst = wants[0].dst[:len(wants[0].dst)-1]
		f = follower{wants: wants[:1], begin: wants[0].pos}
		if f.came(int64(len(wants[0].dst))); sound[0] {
			t.Fatal("a run that is cut is sound")
		}
	}
}
