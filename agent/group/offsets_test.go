package group

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// TestLargeFirstCommit: the first commit of many partitions, each with as much metadata as may be, is more than a transaction takes.
func TestLargeFirstCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lead(t, mem.New(), 1)
		defer l.Close()
		all := map[Partition]records.GroupOffset{}
		for i := range int32(40 * records.OffsetsPerPage) {
			all[part(i)] = records.GroupOffset{Offset: int64(i), Metadata: strings.Repeat("m", 4096)}
		}
		if err := answer(func(done func(error)) { l.Commit("g", Commit{Generation: -1, Offsets: all}, done) }); err != nil {
			t.Fatal(err)
		}
		for _, i := range []int32{0, 64, 40*records.OffsetsPerPage - 1} {
			l.mustFetch(part(i), int64(i))
		}
	})
}
