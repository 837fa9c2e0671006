package topic

import (
	"fmt"
	"testing"

	"github.com/varvelog/varve/metastore/mem"
)

// Lookups are on the path of every Produce and Fetch: no lock, no garbage.
func BenchmarkLookup(b *testing.B) {
	s, err := NewSettings(nil)
	if err != nil {
		b.Fatal(err)
	}
	c := New(mem.New(), nil, Options{Cluster: "c", Slots: 16, Settings: s})
	specs := make([]Spec, 10_000)
	for i := range specs {
		specs[i] = Spec{Name: fmt.Sprintf("topic-%05d", i), Partitions: 1}
	}
	if out := c.CreateAll(b.Context(), specs); out[0].Err != nil {
		b.Fatal(out[0].Err)
	}
	id := c.Lookup("topic-00077").ID
	b.Run("name", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if c.Lookup("topic-00077") == nil {
				b.Fatal("gone")
			}
		}
	})
	b.Run("id", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if c.LookupID(id) == nil {
				b.Fatal("gone")
			}
		}
	})
	b.Run("effective", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.effective(nil)
		}
	})
}
