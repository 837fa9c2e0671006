package simtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
)

// segmentScript runs f on a cluster of three agents whose records become packs and segments within seconds, with clients about and books
// kept; then everything is settled and read.
func segmentScript(t *testing.T, f func(s *clusterSim, b *books)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSim(t, 1)
		defer s.end()
		b := s.keepBooks()
		s.change = hurried(6 * time.Second)
		s.startAll()
		parts := s.topic("t", 6)
		w := s.workload()
		w.produce("p0", parts, 200*time.Millisecond)
		w.consume("r0", parts)
		time.Sleep(5 * time.Second)
		f(s, b)
		s.well()
		for _, name := range s.names {
			s.revive(name)
		}
		s.allReady(2 * time.Minute)
		time.Sleep(15 * time.Second)
		s.settleSegments(w, append(parts, s.extra...))
	})
}

func isKind(key, kind string) bool {
	p, err := objstore.Parse(key)
	return err == nil && p.Kind == kind
}

// isLink reports whether a call links segments.
func isLink(c factfault.Call) bool {
	return c.Op == factfault.Transact && slices.ContainsFunc(c.Ops, func(op metastore.Op) bool {
		return op.Kind == metastore.OpPut && strings.HasPrefix(op.Key.SK, records.ExtentPrefix)
	})
}

// eventually waits until ok.
func (s *clusterSim) eventually(limit time.Duration, what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			s.violation("V17: after %v still not: %s", limit, what)
			return
		}
	}
}

// bundlesOf counts the bundles of a session.
func (s *clusterSim) bundlesOf(session uuid.UUID) int {
	found, err := s.objects.List(context.Background(), objstore.Keys{Cluster: "varve"}.WALPrefix(session), "", 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return len(found)
}

// leaders returns the session that leads some slot, by agent.
func (s *clusterSim) leaders() map[string]uuid.UUID {
	_, _, slots := s.facts.snapshot()
	all := map[string]uuid.UUID{}
	for _, slot := range slots {
		all[slot.Agent] = slot.Leader
	}
	return all
}

// R10: A dies; what one heir took over of it goes to packs at once, what the other did cannot. A's bundles stay until that one can, and
// then they go.
func TestR10BundlesStayForTheLast(t *testing.T) {
	segmentScript(t, func(s *clusterSim, b *books) {
		slot := b.slotOf("t", 0)
		leader := func() string {
			_, _, slots := s.facts.snapshot()
			return slots[slot].Agent
		}
		first := leader()
		dead := s.leaders()[first]
		s.onObjects(func(name string, op objfault.Op, key string) objfault.Action {
			if op == objfault.Put && isKind(key, objstore.KindPack) && name == leader() {
				return objfault.Action{Do: objfault.Fail}
			}
			return objfault.Action{}
		}, s.names...)
		s.kill(first, true)
		time.Sleep(3 * time.Minute)
		if state := s.facts.sessionState(dead); state == records.Drained || s.bundlesOf(dead) == 0 {
			s.violation("R10: %d bundles of a session that is %s, and %s has records there", s.bundlesOf(dead), state, leader())
		}
		s.well()
		s.eventually(6*time.Minute, "the dead session's bundles are gone", func() bool {
			return s.facts.sessionState(dead) == records.Drained && s.bundlesOf(dead) == 0
		})
	})
}

// slotOf returns the slot of a partition.
func (b *books) slotOf(topic string, partition int) uint16 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.topics[topic].Slots[partition]
}

// R12: links of A land after A died and its heirs linked the same records.
func TestR12LinksOfTheDead(t *testing.T) {
	segmentScript(t, func(s *clusterSim, b *books) {
		var held atomic.Int64
		s.onFacts(func(_ string, c factfault.Call) factfault.Action {
			if isLink(c) {
				held.Add(1)
				return factfault.Action{Do: factfault.Late, After: 25 * time.Second}
			}
			return factfault.Action{}
		}, "a")
		s.eventually(30*time.Second, "a links", func() bool { return held.Load() > 0 })
		s.kill("a", true)
		before := b.counts()
		time.Sleep(40 * time.Second)
		if now := b.counts(); now.linked == before.linked || now.refused == before.refused {
			s.violation("R12: nobody linked what a did not, or its links did not land: %v, then %v", before, now)
		}
	})
}

// counts returns what happened until now.
func (b *books) counts() counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// R16, R29: a topic is deleted while its records become segments, a link of it under way until long after, and made again under the same
// name. Nothing of the old one is in the new one, and nothing of it stays.
func TestR16R29SegmentsOfATopicMadeAgain(t *testing.T) {
	segmentScript(t, func(s *clusterSim, b *books) {
		for i, name := range s.names {
			s.topic("u", 4)
			old := b.topicID("u")
			var held atomic.Int64
			s.onFacts(func(_ string, c factfault.Call) factfault.Action {
				if isLink(c) && i != 1 {
					held.Add(1)
					return factfault.Action{Do: factfault.Late, After: 20 * time.Second}
				}
				return factfault.Action{}
			}, s.names...)
			s.writeTo("u", fmt.Sprintf("%d-old", i), true)
			time.Sleep(12 * time.Second)
			if i != 1 && held.Load() == 0 {
				s.violation("R29: no link is on its way")
			}
			s.deleteTopic("u")
			s.topic("u", 4)
			mine := fmt.Sprintf("%d-new", i)
			s.writeTo("u", mine, true)
			if i == 2 {
				s.kill(name, true)
			}
			time.Sleep(25 * time.Second)
			s.well()
			s.revive(name)
			s.allReady(time.Minute)
			for value, n := range s.valuesIn("u") {
				if !strings.HasPrefix(value, mine) || n != 1 {
					s.violation("R16: the new topic holds %s, %d times", value, n)
				}
			}
			s.eventually(3*time.Minute, "nothing of the old topic is there", func() bool { return b.nothingOf(old) })
			s.deleteTopic("u")
		}
	})
}

func (b *books) topicID(name string) uuid.UUID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.topics[name].ID
}

// nothingOf reports whether the table has no extent and no item of a topic's four partitions.
func (b *books) nothingOf(topic uuid.UUID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range int32(4) {
		if t := b.tiers[logID{topic, i}]; t != nil && (t.item.V > 0 || len(t.extents) > 0) {
			return false
		}
	}
	return true
}

// R18: a GET of a segment takes so long that the log start passes it and it is deleted. The reader is told where the log begins now, and
// goes on there.
func TestR18ReaderOfADeletedSegment(t *testing.T) {
	segmentScript(t, func(s *clusterSim, b *books) {
		s.createWith("u", 4, "retention.ms", "-1")
		for i := range 4 {
			s.writeTo("u", fmt.Sprint("first ", i), true)
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
			if op == objfault.Get && isKind(key, objstore.KindSegment) && late.Add(1) <= 8 {
				return objfault.Action{Do: objfault.Pass, Delay: 45 * time.Second}
			}
			return objfault.Action{}
		}, s.names...)
		c := s.client("slow", kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"u": {0: kgo.NewOffset().At(0)}}), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		time.Sleep(2 * time.Second) // it reads ahead of polls
		before := b.counts()
		at := kadm.Offsets{}
		at.Add(kadm.Offset{Topic: "u", Partition: 0, At: 35})
		if _, err := kadm.NewClient(s.client("admin")).DeleteRecords(s.t.Context(), at); err != nil {
			s.t.Fatal(err)
		}
		s.eventually(2*time.Minute, "the segment is deleted", func() bool {
			now := b.counts()
			return now.unlinked > before.unlinked && now.deleted > before.deleted
		})
		if late.Load() == 0 {
			s.violation("R18: nobody asked for a segment")
		}
		s.firstIs(c, 35)
	})
}

// firstIs polls for a record and checks its offset.
func (s *clusterSim) firstIs(c *kgo.Client, offset int64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if got := c.PollFetches(ctx).Records(); len(got) > 0 {
			if got[0].Offset != offset {
				s.violation("R18: the reader goes on at %d, the log starts at %d", got[0].Offset, offset)
			}
			return
		}
	}
	s.violation("R18: the reader gets nothing any more")
}

// R28: the log start passes everything that lies in packs, and what was linked, and then the leader dies. Its heirs go on from there; its
// session drains.
func TestR28LogStartPassesTiered(t *testing.T) {
	segmentScript(t, func(s *clusterSim, b *books) {
		s.createWith("u", 4, "retention.ms", "-1")
		s.writeTo("u", "first", true)
		time.Sleep(2 * time.Second)
		s.deleteAllRecords("u")
		packs := b.packsNow()
		s.eventually(2*time.Minute, "the packs are counted down", func() bool {
			return !slices.ContainsFunc(b.packsNow(), func(id uuid.UUID) bool { return slices.Contains(packs, id) })
		})
		for i, name := range s.names {
			s.writeTo("u", fmt.Sprint("before ", i), true)
			time.Sleep(time.Duration(2+4*i) * time.Second) // in packs, then linked in part
			s.deleteAllRecords("u")
			dead := s.leaders()[name]
			s.kill(name, true)
			time.Sleep(15 * time.Second)
			s.writeTo("u", fmt.Sprint("after ", i), true)
			s.revive(name)
			s.allReady(time.Minute)
			s.eventually(5*time.Minute, "the dead session is drained", func() bool { return s.facts.sessionState(dead) == records.Drained })
		}
		s.eventually(2*time.Minute, "tiered follows the log start", func() bool { return b.followed("u") })
	})
}

// deleteAllRecords moves the log starts of a topic to the ends.
func (s *clusterSim) deleteAllRecords(topic string) {
	s.t.Helper()
	admin := kadm.NewClient(s.client("admin"))
	ends, err := admin.ListEndOffsets(s.t.Context(), topic)
	if err == nil {
		_, err = admin.DeleteRecords(s.t.Context(), ends.Offsets())
	}
	if err != nil {
		s.t.Fatalf("delete all records of %s: %v\n%s", topic, err, s.seen.play())
	}
}

// packsNow returns the packs that the table has.
func (b *books) packsNow() []uuid.UUID {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.packs))
}

// followed reports whether tiered is at the log start of each partition of a topic, or beyond.
func (b *books) followed(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	topic := b.topics[name]
	for i := range topic.Slots {
		id := logID{topic.ID, int32(i)}
		if t := b.tiers[id]; t == nil || t.item.Tiered < b.log(id).start {
			return false
		}
	}
	return true
}

// Z2: PUTs of bundles that were committed land once more after the bundles were trimmed and deleted. Nobody reads them.
func TestZ2BundlesLandAgain(t *testing.T) {
	segmentScript(t, func(s *clusterSim, b *books) {
		var mu sync.Mutex
		var again []string
		s.onObjects(func(_ string, op objfault.Op, key string) objfault.Action {
			if isWAL(op, key) {
				mu.Lock()
				again = append(again, key)
				mu.Unlock()
				return objfault.Action{Do: objfault.Twice, After: 4 * time.Minute}
			}
			return objfault.Action{}
		}, "a")
		time.Sleep(5 * time.Second)
		s.well()
		time.Sleep(3*time.Minute + 30*time.Second)
		gone := 0
		mu.Lock()
		defer mu.Unlock()
		for _, key := range again {
			if !b.there(key) {
				gone++
			}
		}
		if gone == 0 {
			s.violation("Z2: none of %d bundles was deleted before it lands again", len(again))
		}
		time.Sleep(30 * time.Second)
		dead := s.leaders()["a"]
		s.kill("a", true)
		s.eventually(10*time.Minute, "what landed again is swept", func() bool {
			return s.facts.sessionState(dead) == records.Drained && s.bundlesOf(dead) == 0
		})
	})
}

// Z17: what packs, merges and links write takes far longer than the grace, and the queue is worked off meanwhile: what is linked in the
// end is there.
func TestZ17StalledRewrites(t *testing.T) {
	for name, dies := range map[string]bool{"lives": false, "dies": true} {
		t.Run(name, func(t *testing.T) {
			segmentScript(t, func(s *clusterSim, b *books) {
				var stalled atomic.Int64
				s.onFacts(func(_ string, c factfault.Call) factfault.Action {
					if c.Purpose == "segment" && isWrite(c) && stalled.Add(1)%2 == 0 {
						return factfault.Action{Do: factfault.Late, After: 100 * time.Second}
					}
					return factfault.Action{}
				}, "a")
				s.onObjects(func(_ string, op objfault.Op, key string) objfault.Action {
					if op == objfault.Put && (isKind(key, objstore.KindPack) || isKind(key, objstore.KindSegment)) && stalled.Add(1)%3 == 0 {
						return objfault.Action{Do: objfault.Late, After: 100 * time.Second}
					}
					return objfault.Action{}
				}, "a")
				time.Sleep(70 * time.Second)
				if dies {
					s.kill("a", true)
				}
				time.Sleep(2 * time.Minute)
				if now := b.counts(); stalled.Load() < 6 || now.linked == 0 {
					s.violation("Z17: %d requests were stalled, %v", stalled.Load(), now)
				}
			})
		})
	}
}
