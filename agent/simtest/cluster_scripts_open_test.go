package simtest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/objstore"
	objfault "github.com/varvelog/varve/objstore/fault"
)

// R11: an agent dies, and who takes its slots cannot make a bundle durable, so no slot-open either. Until it can, it takes no record of
// these slots, not even one that asks for no commit, and tells nothing of their ends (I5).
func TestR11NotBeforeSlotOpen(t *testing.T) {
	script(t, func(s *clusterSim) {
		lone := s.client("lone", kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerLinger(0), kgo.ProduceRequestTimeout(time.Second), kgo.RequestTimeoutOverhead(time.Second), kgo.RecordDeliveryTimeout(3*time.Second))
		orphans := s.partitionsOf("lost", "a")
		var held atomic.Bool
		held.Store(true)
		s.onObjects(func(_ string, op objfault.Op, key string) objfault.Action {
			if held.Load() && isWAL(op, key) {
				return objfault.Action{Do: objfault.Fail, Err: objstore.ErrThrottled}
			}
			return objfault.Action{}
		}, "b", "c")
		s.kill("a", false)
		time.Sleep(12 * time.Second)
		s.expectLedBy("a", 0)
		for _, part := range orphans {
			if s.takes(lone, part) {
				s.violation("I5: partition %d takes a record before its slot-open is committed", part)
			}
			ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
			ends, err := kadm.NewClient(lone).ListEndOffsets(ctx, "lost")
			cancel()
			if end, ok := ends.Lookup("lost", part); err == nil && ok && end.Err == nil {
				s.violation("I5: partition %d is said to end at %d before its slot-open is committed", part, end.Offset)
			}
		}
		held.Store(false)
		time.Sleep(15 * time.Second)
		for _, part := range orphans {
			if !s.takes(lone, part) {
				s.violation("V16: partition %d takes no record although its slot can be opened", part)
			}
		}
		s.revive("a")
		s.allReady(time.Minute)
	})
}

// partitionsOf makes a topic, writes a record to each partition and returns those that an agent leads.
func (s *clusterSim) partitionsOf(topic, name string) (parts []int32) {
	s.t.Helper()
	s.topic(topic, 8)
	s.writeTo(topic, "first", true)
	of := s.slotsOf(topic)
	_, _, slots := s.facts.snapshot()
	for part, slot := range of {
		if slots[slot].Agent == name {
			parts = append(parts, int32(part))
		}
	}
	if len(parts) == 0 {
		s.t.Fatalf("%s leads no partition of %s: %v", name, topic, of)
	}
	return parts
}

// takes reports whether a record is taken within a few seconds.
func (s *clusterSim) takes(c *kgo.Client, part int32) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*time.Second)
	defer cancel()
	return c.ProduceSync(ctx, &kgo.Record{Topic: "lost", Partition: part, Value: []byte("x")}).FirstErr() == nil
}

// No leader lasts for long enough to rewrite anything of its own accord: it is done in a hurry, so that from[] stays short.
func TestLeadersThatDoNotLast(t *testing.T) {
	script(t, func(s *clusterSim) {
		longest := 0
		for i := range 30 {
			name := s.names[i%3]
			s.kill(name, i%2 == 0)
			time.Sleep(3 * time.Second)
			s.revive(name)
			s.allReady(time.Minute)
			time.Sleep(5 * time.Second)
			_, _, slots := s.facts.snapshot()
			for _, slot := range slots {
				longest = max(longest, len(slot.From))
			}
		}
		if longest > 14 {
			s.violation("from[] has %d entries", longest)
		}
		s.t.Logf("from[] has at most %d entries", longest)
	})
}

// A slot-open lands after its opening was given up, while the next try reads the log. Then that try, and one more, have nothing left to
// open; groups are coordinated all the same.
func TestSlotOpenOfAnEarlierTry(t *testing.T) {
	script(t, func(s *clusterSim) {
		var noBundles, noReads atomic.Bool
		noBundles.Store(true)
		s.onObjects(func(_ string, op objfault.Op, key string) objfault.Action {
			if noBundles.Load() && isWAL(op, key) || noReads.Load() && op == objfault.Get {
				return objfault.Action{Do: objfault.Fail, Err: objstore.ErrThrottled}
			}
			return objfault.Action{}
		}, "b", "c")
		s.kill("a", false)
		time.Sleep(25 * time.Second) // the slots were replayed
		noReads.Store(true)
		time.Sleep(20 * time.Second) // the opening was given up, and the next try cannot read
		noBundles.Store(false)
		time.Sleep(15 * time.Second)
		noReads.Store(false)
		time.Sleep(15 * time.Second)
		adm, offsets := kadm.NewClient(s.client("groups")), kadm.Offsets{}
		offsets.AddOffset("t", 0, 1, -1)
		for slot := range uint16(8) {
			name := "g"
			for group.Slot(name, 8) != slot {
				name += "g"
			}
			ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
			told, err := adm.CommitOffsets(ctx, name, offsets)
			cancel()
			if err == nil {
				err = told.Error()
			}
			if err != nil {
				s.violation("V16: nobody coordinates the groups of slot %d: %v", slot, err)
			}
		}
		s.revive("a")
		s.allReady(time.Minute)
	})
}
