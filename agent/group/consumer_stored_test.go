package group

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

// stage is a group in the middle of things: A shall give up, B waits, a static member is away.
func stage(t testing.TB) *Consumer {
	now := time.Unix(1_700_000_000, 0)
	g := NewConsumer(ConsumerBounds{Session: 45 * time.Second, Heartbeat: 5 * time.Second, MaxMembers: 10, MaxBytes: 1 << 20},
		NewCatalogue(1, []TopicInfo{{"t", topicID(1), 9}, {"u", topicID(2), 2}}))
	say := func(e ConsumerBeat) {
		out := g.Step(e, now)
		if told := out.Replies[0].Msg.(ConsumerTold); told.Err != nil {
			t.Fatal(told.Err)
		}
	}
	rack, regex, assignor, static := "r1", "u.*", Range, "static"
	say(ConsumerBeat{Member: "A", Names: []string{"t"}, Regex: &regex, Rack: &rack, Assignor: &assignor, Owned: Parts{}, Rebalance: time.Minute, Client: "c", Host: "h"})
	say(ConsumerBeat{Member: "S", Instance: &static, Names: []string{"t"}, Owned: Parts{}, Rebalance: time.Minute})
	say(ConsumerBeat{Member: "S", Instance: &static, Epoch: leftForAWhile, Rebalance: -1})
	say(ConsumerBeat{Member: "A", Epoch: 1, Rebalance: -1})
	say(ConsumerBeat{Member: "B", Names: []string{"t", "gone"}, Owned: Parts{}, Rebalance: time.Minute})
	return g
}

// TestConsumerRecord: what is stored and read is the group, with the doubts that a new coordinator has.
func TestConsumerRecord(t *testing.T) {
	g := stage(t)
	r, members := g.Record()
	members, err := records.ParseGroupMembers(records.PackGroupMembers(members))
	if err != nil {
		t.Fatal(err)
	}
	got, err := RestoreConsumer(g.bounds, g.cat, r, members, time.Unix(1_700_000_001, 0))
	if err != nil {
		t.Fatal(err)
	}
	if got.epoch != g.epoch || got.targetEpoch != g.targetEpoch || got.sum != g.sum || got.assignor != g.assignor || got.settled || got.bytes != g.bytes {
		t.Errorf("read: %+v\nstored: %+v", got, g)
	}
	for id, m := range g.members {
		n := got.members[id]
		if n == nil {
			t.Fatalf("%s is missing", id)
		}
		if n.epoch != m.epoch || n.previous != m.previous || n.rack != m.rack || n.assignor != m.assignor || n.client != m.client ||
			n.host != m.host || n.rebalance != m.rebalance || !same(n.instance, m.instance) || n.wants.key != m.wants.key {
			t.Errorf("%s read: %+v\nstored: %+v", id, n, m)
		}
		if fmt.Sprint(n.target) != fmt.Sprint(m.target) || fmt.Sprint(n.assigned.join(n.revoking).parts()) != fmt.Sprint(m.assigned.join(m.revoking).parts()) {
			t.Errorf("%s has %v and shall have %v; stored were %v and %v", id, n.assigned, n.target, m.assigned, m.target)
		}
		if !n.deadline.Equal(time.Unix(1_700_000_046, 0)) {
			t.Errorf("the session of %s ends at %v", id, n.deadline)
		}
	}
	if r.Type != records.ConsumerGroup || r.State != records.GroupStable || r.ProtocolType != "consumer" {
		t.Errorf("stored: %+v", r)
	}
}

// TestConsumerRecordEmpty: a group without members keeps its epoch, and since when it is empty.
func TestConsumerRecordEmpty(t *testing.T) {
	g := stage(t)
	now := time.Unix(1_700_000_100, 0)
	g.Step(Tick{}, now)
	r, members := g.Record()
	if r.State != records.GroupEmpty || r.EmptySince != now.UnixMilli() {
		t.Errorf("stored: %+v", r)
	}
	got, err := RestoreConsumer(g.bounds, g.cat, r, members, now)
	if err != nil || got.epoch != g.epoch || !got.emptied.Equal(now) || !got.Idle() || got.State() != "Empty" {
		t.Errorf("read: %+v, %v", got, err)
	}
}

// TestConsumerRecordDamaged cuts every stored member everywhere and turns every byte: either it is an error, or a group that can be used.
func TestConsumerRecordDamaged(t *testing.T) {
	g := stage(t)
	r, members := g.Record()
	try := func(damaged []records.GroupMember) error {
		got, err := RestoreConsumer(g.bounds, g.cat, r, damaged, time.Unix(1_700_000_001, 0))
		if err == nil {
			got.Step(Tick{}, time.Unix(1_700_000_100, 0))
			return nil
		}
		if !errors.Is(err, ErrBad) {
			t.Fatal(err)
		}
		return err
	}
	clone := func() []records.GroupMember {
		out, err := records.ParseGroupMembers(records.PackGroupMembers(members))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for i := range members {
		for _, of := range []func(m []records.GroupMember) *[]byte{
			func(m []records.GroupMember) *[]byte { return &m[i].Protocols[0].Metadata },
			func(m []records.GroupMember) *[]byte { return &m[i].Assignment },
		} {
			for n := range *of(members) {
				d := clone()
				*of(d) = (*of(d))[:n]
				if try(d) == nil && n > 0 {
					t.Errorf("member %d cut to %d bytes is taken", i, n)
				}
				for _, bit := range []byte{1, 0x80, 0xff} {
					d = clone()
					(*of(d))[n] ^= bit
					_ = try(d)
				}
			}
			d := clone()
			if len(*of(d)) > 0 {
				*of(d) = append(*of(d), 0)
				if try(d) == nil {
					t.Errorf("member %d with a byte more is taken", i)
				}
			}
		}
	}
	for what, damage := range map[string]func(m []records.GroupMember) []records.GroupMember{
		"no target":    func(m []records.GroupMember) []records.GroupMember { return m[1:] },
		"nothing":      func([]records.GroupMember) []records.GroupMember { return nil },
		"member twice": func(m []records.GroupMember) []records.GroupMember { return append(m, m[1]) },
		"classic": func(m []records.GroupMember) []records.GroupMember {
			m[1].Protocols[0].Name = "range"
			return m
		},
	} {
		if try(damage(clone())) == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func TestPackedGrants(t *testing.T) {
	for _, g := range []grants{
		{},
		{uuid.UUID{1}: {{0, 1}}},
		{uuid.UUID{1}: {{0, 1}, {1, 1}, {2, 1}, {3, 2}, {7, 2}, {maxPartition - 1, 1 << 30}}, uuid.UUID{2}: {{5, 0}}},
	} {
		var e enc
		e.grants(g)
		d := dec{b: e}
		if got := d.grants(); d.end() != nil || !reflect.DeepEqual(got, g) {
			t.Errorf("packed %v, read %v, %v", g, got, d.end())
		}
	}
	var huge enc // one run that says it has 2^40 partitions
	huge.num(1)
	huge = append(huge, make([]byte, 16)...)
	for _, n := range []int64{1, 0, 1 << 40, 1} {
		huge.num(n)
	}
	d := dec{b: huge}
	if d.grants(); !errors.Is(d.end(), ErrBad) {
		t.Error("a run of 2^40 partitions is taken")
	}
}

// FuzzPackedGrants: whatever is read packs to something that reads the same.
func FuzzPackedGrants(f *testing.F) {
	var e enc
	e.grants(grants{uuid.UUID{1}: {{0, 1}, {1, 1}, {4, 2}}})
	f.Add([]byte(e))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := dec{b: b}
		g := d.grants()
		if d.end() != nil {
			return
		}
		var e enc
		e.grants(g)
		again := dec{b: e}
		if got := again.grants(); again.end() != nil || !reflect.DeepEqual(got, g) {
			t.Errorf("read %v, then %v", g, got)
		}
	})
}

// TestPartsSets checks the set operations against maps.
func TestPartsSets(t *testing.T) {
	a := grants{topicID(1): {{1, 5}, {2, 6}, {4, 7}}, topicID(2): {{0, 1}}}
	kept, lost, missing := a.split(Parts{topicID(1): {0, 2, 4, 9}, topicID(3): {3}})
	if fmt.Sprint(kept) != fmt.Sprint(grants{topicID(1): {{2, 6}, {4, 7}}}) ||
		fmt.Sprint(lost) != fmt.Sprint(grants{topicID(1): {{1, 5}}, topicID(2): {{0, 1}}}) ||
		fmt.Sprint(missing) != fmt.Sprint(Parts{topicID(1): {0, 9}, topicID(3): {3}}) {
		t.Errorf("kept %v, lost %v, missing %v", kept, lost, missing)
	}
	both := lost.join(kept).join(grants{topicID(1): {{2, 9}}})
	if fmt.Sprint(both) != fmt.Sprint(grants{topicID(1): {{1, 5}, {2, 9}, {4, 7}}, topicID(2): {{0, 1}}}) {
		t.Errorf("joined %v", both)
	}
	n := Parts{topicID(1): {3, 1, 3, 2}, topicID(2): {}}.normal()
	if fmt.Sprint(n) != fmt.Sprint(Parts{topicID(1): {1, 2, 3}}) {
		t.Errorf("in order: %v", n)
	}
}
