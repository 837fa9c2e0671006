package simtest

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
)

// isMerge reports whether a call puts an extent into the place of others.
func isMerge(c factfault.Call) bool {
	return c.Op == factfault.Transact && slices.ContainsFunc(c.Ops, func(op metastore.Op) bool {
		return op.Kind == metastore.OpPut && strings.HasPrefix(op.Key.SK, records.ExtentPrefix) && len(op.If) > 0 && op.If[0].Attr == records.AttrSegment
	})
}

// Merges of segments under way, their answers lost and their effects 20 s late, while the log start moves past some of what they merge, and into
// the middle of one: whichever comes first, the log is whole from its start on, and the books agree at each step.
func TestMergesAndLogStarts(t *testing.T) {
	segmentScript(t, func(s *clusterSim, b *books) {
		s.createWith("u", 4, "retention.ms", "-1")
		for i := range 8 {
			if i == 6 {
				var held atomic.Int64
				s.onFacts(func(_ string, c factfault.Call) factfault.Action {
					if isMerge(c) && held.Add(1)%2 == 1 {
						return factfault.Action{Do: factfault.Late, After: 20 * time.Second}
					}
					return factfault.Action{}
				}, s.names...)
				defer func() {
					if held.Load() == 0 {
						s.violation("no merge was under way")
					}
				}()
			}
			s.writeTo("u", fmt.Sprint("w", i), true)
			time.Sleep(8 * time.Second)
		}
		admin, at := kadm.NewClient(s.client("admin")), kadm.Offsets{}
		for i, offset := range []int64{15, 20, 79, 80} {
			at.Add(kadm.Offset{Topic: "u", Partition: int32(i), At: offset})
		}
		if _, err := admin.DeleteRecords(s.t.Context(), at); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		s.well()
		for i := range 9 {
			s.writeTo("u", fmt.Sprint("x", i), true)
			time.Sleep(8 * time.Second)
		}
		s.eventually(2*time.Minute, "segments are merged", func() bool { return b.counts().merged >= 8 })
		for i, offset := range []int64{15, 20, 79, 80} {
			c := s.client("reader", kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"u": {int32(i): kgo.NewOffset().AtStart()}}))
			s.firstIs(c, offset)
			c.Close()
		}
	})
}

// A GET of a small segment takes so long that it is merged with its neighbours and deleted. The reader goes on where it was.
func TestReaderOfAMergedSegment(t *testing.T) {
	segmentScript(t, func(s *clusterSim, b *books) {
		s.createWith("u", 4, "retention.ms", "-1")
		for i := range 6 {
			s.writeTo("u", fmt.Sprint("w", i), true)
			time.Sleep(8 * time.Second)
		}
		for _, name := range s.names { // their caches are cold then
			s.kill(name, false)
		}
		for _, name := range s.names {
			s.revive(name)
		}
		s.allReady(time.Minute)
		var late atomic.Int64
		s.onObjects(func(_ string, op objfault.Op, key string) objfault.Action {
			p, err := objstore.Parse(key)
			if op == objfault.Get && err == nil && p.Topic == b.topicID("u") && p.Partition == 0 && late.Add(1) <= 8 {
				return objfault.Action{Do: objfault.Pass, Delay: 100 * time.Second}
			}
			return objfault.Action{}
		}, s.names...)
		c := s.client("slow", kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"u": {0: kgo.NewOffset().At(0)}}), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
		time.Sleep(2 * time.Second) // it reads ahead of polls
		before := b.counts()
		for i := range 5 {
			s.writeTo("u", fmt.Sprint("x", i), true)
			time.Sleep(8 * time.Second)
		}
		s.eventually(2*time.Minute, "segments are merged and deleted", func() bool {
			now := b.counts()
			return now.merged >= before.merged+8 && now.deleted > before.deleted
		})
		if late.Load() == 0 {
			s.violation("nobody asked for a segment")
		}
		s.firstIs(c, 0)
	})
}
