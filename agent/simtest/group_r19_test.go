package simtest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
	factfault "github.com/varvelog/varve/metastore/fault"
)

// zombieGroup is a group whose first coordinator's writes land long after it was replaced.
type zombieGroup struct {
	s    *clusterSim
	adm  *kadm.Client
	name string
	slot uint16
}

const zombieTopic = "wide" // of more partitions than a page of offsets has

// R19: the coordinator of a group, on agent a, writes something whose outcome it does not learn, and which lands 20 s later, when the group
// has another coordinator: offsets that are older by then, a page of offsets that was not there, members and offsets of a group that was
// deleted. Nobody is ever told of any of it, neither by the coordinator of then nor by the next one, which reads everything anew.
func TestR19LateWrites(t *testing.T) {
	for name, f := range map[string]func(z *zombieGroup){
		"older offsets": func(z *zombieGroup) {
			z.late(func() { z.try(0, 6) })
			z.expect(0, 5)
			z.commit(0, 9)
			z.stays(func() { z.expect(0, 9) })
		},
		"absent page": func(z *zombieGroup) {
			z.late(func() { z.try(65, 6) })
			z.expect(65, -1)
			z.stays(func() { z.expect(65, -1); z.expect(0, 5) })
		},
		"deleted group": func(z *zombieGroup) {
			z.late(func() { z.try(0, 6); z.tryJoin() })
			if _, err := z.adm.DeleteGroups(z.s.t.Context(), z.name); err != nil {
				z.s.violation("R19: delete: %v", err)
			}
			z.stays(func() { z.expect(0, -1); z.expectGone() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			script(t, func(s *clusterSim) {
				s.createTopic(zombieTopic, 70)
				z := &zombieGroup{s: s, adm: kadm.NewClient(s.client("q"))}
				z.settle()
				z.commit(0, 5)
				f(z)
			})
		})
	}
}

// settle chooses a group whose slot agent a leads once nothing has moved for a while, so that nobody moves it away: loads are known by
// then, and each agent leads its share of them.
func (z *zombieGroup) settle() {
	was, still := "", 0
	for range 600 {
		time.Sleep(500 * time.Millisecond)
		_, _, slots := z.s.facts.snapshot()
		now := ""
		for n := range uint16(len(slots)) {
			now += slots[n].Agent + " " + slots[n].Want + ","
		}
		if still++; now != was {
			was, still = now, 0
		}
		if still < 60 {
			continue
		}
		for i := range 100 {
			z.name = fmt.Sprint("g", i)
			if z.slot = group.Slot(z.name, len(slots)); slots[z.slot].Agent == "a" {
				return
			}
		}
	}
	z.s.t.Fatal("the slots do not come to rest")
}

// late has a write what do asks for, so late that b coordinates the group when it lands.
func (z *zombieGroup) late(do func()) {
	var n atomic.Int64
	z.s.onFacts(func(_ string, c factfault.Call) factfault.Action {
		if isWrite(c) && strings.Contains(c.Key.PK, "/GRP#") {
			n.Add(1)
			return factfault.Action{Do: factfault.Late, After: 20 * time.Second}
		}
		return factfault.Action{}
	}, "a")
	do()
	z.s.move(z.slot, "b")
	z.s.well()
	if n.Load() == 0 {
		z.s.violation("R19: the coordinator wrote nothing")
	}
}

// stays checks now, when what is late has landed, and at a coordinator that has only the table.
func (z *zombieGroup) stays(check func()) {
	check()
	time.Sleep(40 * time.Second)
	check()
	z.s.move(z.slot, "c")
	check()
}

func offsetsOf(partition int32, offset int64) kadm.Offsets {
	var all kadm.Offsets
	all.AddOffset(zombieTopic, partition, offset, -1)
	return all
}

func (z *zombieGroup) commit(partition int32, offset int64) {
	ctx, cancel := context.WithTimeout(z.s.t.Context(), time.Minute)
	defer cancel()
	told, err := z.adm.CommitOffsets(ctx, z.name, offsetsOf(partition, offset))
	if err == nil {
		err = told.Error()
	}
	if err != nil {
		z.s.violation("R19: commit %d of partition %d: %v", offset, partition, err)
	}
}

// try commits, without an answer that says what came of it.
func (z *zombieGroup) try(partition int32, offset int64) {
	ctx, cancel := context.WithTimeout(z.s.t.Context(), 3*time.Second)
	defer cancel()
	if told, err := z.adm.CommitOffsets(ctx, z.name, offsetsOf(partition, offset)); err == nil && told.Error() == nil {
		z.s.violation("R19: a commit is acked whose write has not landed")
	}
}

// tryJoin has a member join, likewise; it waits for more members for 3 s.
func (z *zombieGroup) tryJoin() {
	ctx, cancel := context.WithTimeout(z.s.t.Context(), 8*time.Second)
	defer cancel()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = z.name, "consumer", 10_000, 10_000
	req.InstanceID = kmsg.StringPtr("i")
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	if resp, err := req.RequestWith(ctx, z.s.client("joins")); err == nil && resp.ErrorCode == 0 {
		z.s.violation("R19: a member joined before that was stored")
	}
}

// expect: a partition's committed offset; -1: none.
func (z *zombieGroup) expect(partition int32, want int64) {
	z.s.t.Helper()
	ctx, cancel := context.WithTimeout(z.s.t.Context(), time.Minute)
	defer cancel()
	told, err := z.adm.FetchOffsets(ctx, z.name)
	if err == nil {
		err = told.Error()
	}
	got := int64(-1)
	if o, ok := told.Lookup(zombieTopic, partition); ok {
		got = o.At
	}
	if err != nil || got != want {
		z.s.violation("R19: partition %d: the group has %d, want %d: %v", partition, got, want, err)
	}
}

// expectGone: there is no such group.
func (z *zombieGroup) expectGone() {
	ctx, cancel := context.WithTimeout(z.s.t.Context(), time.Minute)
	defer cancel()
	all, err := z.adm.ListGroups(ctx)
	if _, there := all[z.name]; err != nil || there {
		z.s.violation("R19: the deleted group is back: %v, %v", all, err)
	}
}
