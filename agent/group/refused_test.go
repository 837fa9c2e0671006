package group

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// TestRefusedMakesNothing: what would be refused in any group makes none, and a group without a name is nobody's.
func TestRefusedMakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lead(t, mem.New(), 1)
		defer l.Close()
		join := func(group string, j Join) error {
			j.NewID = "m"
			return answer(func(done func(Joined)) { l.Join(group, j, done) }).Err
		}
		good := Join{Session: 10 * time.Second, Rebalance: time.Second, Type: "consumer", Protocols: []Protocol{{Name: "range"}}}
		short, mute, kindless := good, good, good
		short.Session, mute.Protocols, kindless.Type = time.Second, nil, ""
		for _, c := range []struct {
			what      string
			got, want error
		}{
			{"short session", join("g", short), ErrSessionTimeout},
			{"no protocols", join("g", mute), ErrProtocol},
			{"no type", join("g", kindless), ErrProtocol},
			{"join without a name", join("", good), ErrGroupID},
			{"sync", answer(func(done func(Synced)) { l.Sync("", Sync{}, done) }).Err, ErrGroupID},
			{"heartbeat", answer(func(done func(error)) { l.Heartbeat("", Heartbeat{}, done) }), ErrGroupID},
			{"leave", answer(func(done func(Left)) { l.Leave("", Leave{}, done) }).Err, ErrGroupID},
			{"delete offsets", answer(func(done func(error)) {
				l.DeleteOffsets("", nil, nil, func(_ map[Partition]error, err error) { done(err) })
			}), ErrGroupID},
			{"describe", answer(func(done func(error)) {
				l.DescribeConsumer("", func(_ ConsumerDescription, err error) { done(err) })
			}), ErrGroupID},
			{"commit with epochs into no group", answer(func(done func(error)) {
				l.Coordinator.Commit("g", Commit{Member: "m", Generation: 1, Epochs: true, Offsets: map[Partition]records.GroupOffset{part(0): {}}},
					func(_ map[Partition]error, err error) { done(err) })
			}), ErrUnknownGroup},
		} {
			if !errors.Is(c.got, c.want) {
				t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
			}
		}
		if all := answer(func(done func([]Listed)) { l.List(func(all []Listed, _ error) { done(all) }) }); len(all) > 0 {
			t.Errorf("there are groups: %v", all)
		}
	})
}

// TestLeavesForAWhileUnnamed: a static member that leaves for a while need not say its instance id; its place is kept. Nobody else can.
func TestLeavesForAWhileUnnamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lead(t, mem.New(), 1)
		defer l.Close()
		beat := func(member string, epoch int32, instance *string) error {
			e := ConsumerBeat{Member: member, Epoch: epoch, Instance: instance, Rebalance: -1}
			if epoch == joining {
				e.Rebalance, e.Names, e.Owned = time.Minute, []string{"t"}, Parts{}
			}
			return answer(func(done func(ConsumerTold)) { l.ConsumerHeartbeat("g", e, done) }).Err
		}
		if err := beat("s", leftForAWhile, nil); !errors.Is(err, ErrRequest) {
			t.Errorf("without a group: %v", err)
		}
		i := "i"
		if err := errors.Join(beat("s", joining, &i), beat("d", joining, nil)); err != nil {
			t.Fatal(err)
		}
		if err := beat("d", leftForAWhile, nil); !errors.Is(err, ErrRequest) {
			t.Errorf("a dynamic member: %v", err)
		}
		if err := beat("next", joining, &i); !errors.Is(err, ErrUnreleased) {
			t.Errorf("before: %v", err)
		}
		if err := beat("s", leftForAWhile, nil); err != nil {
			t.Error(err)
		}
		if err := beat("next", joining, &i); err != nil {
			t.Errorf("after: %v", err)
		}
	})
}
