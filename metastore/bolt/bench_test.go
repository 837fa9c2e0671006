package bolt

import (
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/varvelog/varve/metastore"
)

// The commit of a flush: a conditional update of one item, on the disk of the temporary folder (TMPDIR).
func BenchmarkCommit(b *testing.B) {
	s, err := Open(filepath.Join(b.TempDir(), "facts"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	update := func(sk string) {
		_, err := s.Write(b.Context(), metastore.Op{
			Kind: metastore.OpUpdate, Key: metastore.Key{PK: "pk", SK: sk},
			Set: metastore.Item{"state": metastore.S("ACTIVE")}, Add: map[string]int64{"committed": 1, "hb": 1},
		})
		if err != nil {
			b.Error(err)
		}
	}
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			update("a")
		}
	})
	b.Run("crowd", func(b *testing.B) {
		var n atomic.Int64
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			sk := string(rune('a' + n.Add(1)%64))
			for pb.Next() {
				update(sk)
			}
		})
	})
}
