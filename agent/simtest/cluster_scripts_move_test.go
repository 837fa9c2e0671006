package simtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	factfault "github.com/varvelog/varve/metastore/fault"
)

// R8: somebody else wishes slots here and there all the time, as a second controller would. Only owners hand over, and nobody is fenced:
// the watcher of the table looks at each step.
func TestR8OnlyOwnersHandOver(t *testing.T) {
	script(t, func(s *clusterSim) {
		for i := range 200 {
			_, _, slots := s.facts.snapshot()
			slot := uint16(i % 8)
			_ = s.wish(slot, slots[slot].V, s.names[s.rng.IntN(3)])
			time.Sleep(time.Duration(50+s.rng.IntN(400)) * time.Millisecond)
		}
		s.expectSessions(3, 0)
		s.facts.mu.Lock()
		moves := s.facts.moves
		s.facts.mu.Unlock()
		if moves < 40 {
			s.violation("%d moves are too few to say anything", moves)
		}
	})
}

// R25: a leader wants to take its slot out of the pins of the session before it; the update is late. Meanwhile the slot went back to
// that session and on from there: the new pin stays.
func TestR25LateUnpin(t *testing.T) {
	script(t, func(s *clusterSim) {
		slot := s.emptySlot("t")
		for range 3 {
			s.move(slot, "c")
			s.onFacts(func(_ string, c factfault.Call) factfault.Action {
				if c.Op == factfault.Write && c.Key.SK == "PINS" {
					return factfault.Action{Do: factfault.Late, After: 6 * time.Second}
				}
				return factfault.Action{}
			}, "a")
			s.move(slot, "a")
			time.Sleep(2 * time.Second)
			s.move(slot, "c")
			s.move(slot, "b")
			time.Sleep(10 * time.Second)
			s.well()
		}
		s.kill("c", false)
		time.Sleep(5 * time.Second)
		s.revive("c")
	})
}

// R16: a topic is deleted and made again under the same name, with writes of the old one on their way and leaders that die. Nothing
// of the old one is in the new one.
func TestR16TopicMadeAgain(t *testing.T) {
	script(t, func(s *clusterSim) {
		for i, name := range s.names {
			s.topic("u", 4)
			s.net.delay(name, objectsHost, time.Second)
			s.writeTo("u", fmt.Sprintf("%d-acked", i), true)
			s.writeTo("u", fmt.Sprintf("%d-late", i), false)
			s.deleteTopic("u")
			if i > 0 {
				s.kill(name, true)
			}
			s.net.delay(name, objectsHost, 0)
			s.topic("u", 4)
			mine := fmt.Sprintf("%d-new", i)
			s.writeTo("u", mine, true)
			time.Sleep(5 * time.Second)
			s.revive(name)
			s.allReady(time.Minute)
			for value, n := range s.valuesIn("u") {
				if !strings.HasPrefix(value, mine) || n != 1 {
					s.violation("A15: the new topic holds %s, %d times", value, n)
				}
			}
			s.deleteTopic("u")
		}
	})
}

// writeTo sends forty records to a topic and, if acked, waits for the answers.
func (s *clusterSim) writeTo(topic, prefix string, acked bool) {
	s.t.Helper()
	c := s.producerClient("w-" + prefix)
	for i := range 40 {
		c.Produce(context.Background(), &kgo.Record{Topic: topic, Partition: int32(i % 4), Value: fmt.Appendf(nil, "%s/%d", prefix, i)}, func(_ *kgo.Record, err error) {
			if acked && err != nil {
				s.violation("V16: %s: %v", prefix, err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if !acked {
		time.Sleep(300 * time.Millisecond)
		c.Close()
	} else if err := c.Flush(ctx); err != nil {
		s.t.Fatalf("%s: %v\n%s", prefix, err, s.seen.play())
	}
}

func (s *clusterSim) deleteTopic(name string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := kadm.NewClient(s.client("admin")).DeleteTopics(ctx, name)
	if err == nil {
		err = got.Error()
	}
	if err != nil {
		s.t.Fatalf("delete topic %s: %v\n%s", name, err, s.seen.play())
	}
}

// valuesIn reads the first forty records of a topic, and whatever comes in the second after it.
func (s *clusterSim) valuesIn(topic string) map[string]int {
	s.t.Helper()
	c := s.client("reader", kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got := map[string]int{}
	for ctx.Err() == nil {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got[string(r.Value)]++ })
		if len(got) >= 40 {
			ctx, cancel = context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			c.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got[string(r.Value)]++ })
			return got
		}
	}
	s.violation("V1: %d of 40 records are in topic %s", len(got), topic)
	return got
}
