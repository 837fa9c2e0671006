package simtest

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/varvelog/varve/metastore"
	factfault "github.com/varvelog/varve/metastore/fault"
)

// R21: a topic that only its leader knows: nobody else was told, and what the others look at from time to time does not say. The leader
// dies; who opens its slots reads the topics before it drops anything.
func TestTopicThatNobodyToldOf(t *testing.T) {
	script(t, func(s *clusterSim) {
		_, _, slots := s.facts.snapshot()
		knows := slots[0].Agent // makes topics
		p := &producer{name: "lone", client: s.producerClient("lone"), n: map[tp]int{}}
		var others []string
		for _, name := range s.names {
			if name != knows {
				others = append(others, name)
			}
		}
		deaf := func(purposes ...metastore.Purpose) {
			s.onFacts(func(_ string, c factfault.Call) factfault.Action {
				if slices.Contains(purposes, c.Purpose) && (c.Op == factfault.Query || c.Purpose == metastore.PurposeTopic) {
					return factfault.Action{Do: factfault.Fail}
				}
				return factfault.Action{}
			}, others...)
		}
		deaf(metastore.PurposePoll, metastore.PurposeTopic) // the client asks everybody about its topic
		if _, err := kadm.NewClient(p.client).CreateTopic(s.t.Context(), 8, -1, nil, "new"); err != nil {
			s.t.Fatalf("create topic: %v\n%s", err, s.seen.play())
		}
		of := s.slotsOf("new")
		wrote := map[int32]bool{}
		for part, slot := range of {
			at := tp{"new", int32(part)}
			s.extra = append(s.extra, at)
			if slots[slot].Agent == knows {
				wrote[int32(part)] = true
				for range 3 {
					s.send(s.t.Context(), p, at)
				}
			}
		}
		if err := p.client.Flush(s.t.Context()); err != nil || len(wrote) == 0 {
			s.t.Fatalf("%d partitions written: %v", len(wrote), err)
		}
		p.client.Close()
		deaf(metastore.PurposePoll)
		s.kill(knows, false)
		time.Sleep(30 * time.Second)
		for _, slot := range of {
			if _, _, now := s.facts.snapshot(); now[slot].Agent == knows {
				s.violation("slot %d is not led by another", slot)
			}
		}
		s.well()
		ends, err := kadm.NewClient(s.client("asker")).ListEndOffsets(s.t.Context(), "new")
		if err != nil {
			s.t.Fatal(err)
		}
		for part := range wrote {
			if end, _ := ends.Lookup("new", part); end.Err != nil || end.Offset != 3 {
				s.t.Fatalf("V1: partition %d ends at %d, %v; three records were acked\n%s", part, end.Offset, end.Err, s.seen.play())
			}
		}
		s.revive(knows)
		s.allReady(time.Minute)
	})
}
