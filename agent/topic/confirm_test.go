package topic

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// leader is a catalogue of an agent that leads slots.
type leader struct {
	*Catalog
	session uuid.UUID
	dropped []uuid.UUID
	log     bytes.Buffer
}

func lead(t *testing.T, store metastore.Store, session uuid.UUID, slots ...uint16) *leader {
	t.Helper()
	l := &leader{session: session}
	for _, n := range slots {
		s := records.Slot{Slot: n, Leader: session, Agent: "a", V: 1}
		if _, err := store.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: records.Cluster("c").SlotKey(n), Set: s.Item()}); err != nil {
			t.Fatal(err)
		}
	}
	l.Catalog = New(store, slog.New(slog.NewTextHandler(&l.log, nil)), Options{
		Cluster: "c", Slots: 16, Poll: time.Second, Settings: settings(t, nil), Session: session,
		OnDelete: func(id uuid.UUID) { l.dropped = append(l.dropped, id) },
	})
	if err := l.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// A deleted topic's name is free only when every leader has dropped it: one that has not heard of it would ack records that
// the new topic of that name does not have.
func TestNameIsFreeOnceEveryLeaderDroppedTheTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.New()
		a, b := lead(t, store, uuid.UUID{1}, 0, 1), lead(t, store, uuid.UUID{2}, 2)
		made, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 3})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := a.Delete(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 3}); !errors.Is(err, ErrExists) {
			t.Fatalf("b leads slot 2 and still takes records for the old x; creating it anew: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		go a.Run(ctx)
		time.Sleep(time.Minute)
		if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 3}); !errors.Is(err, ErrExists) {
			t.Fatalf("b has not come back: %v", err)
		}
		go b.Run(ctx)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if len(b.dropped) != 1 || b.dropped[0] != made.ID {
			t.Fatalf("b dropped %v", b.dropped)
		}
		again, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 3})
		if err != nil || again.ID == made.ID {
			t.Fatalf("after b dropped it: %v, %v", again, err)
		}
		stop()
		synctest.Wait()
	})
}

// A leader that ended does not count any more once its slots have another leader, which reads the topics before it serves.
func TestDeletionGoesOnWithoutADeadLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.New()
		a := lead(t, store, uuid.UUID{1}, 0)
		lead(t, store, uuid.UUID{2}, 1)
		if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 3}); err != nil {
			t.Fatal(err)
		}
		if err := a.Delete(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		go a.Run(ctx)
		time.Sleep(10 * time.Second)
		if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 3}); !errors.Is(err, ErrExists) {
			t.Fatal(err)
		}
		lead(t, store, uuid.UUID{1}, 1)
		time.Sleep(3 * time.Second)
		if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 3}); err != nil {
			t.Fatal(err)
		}
		stop()
		synctest.Wait()
	})
}

// While another leader has to be heard, Poke and Announce make it a matter of milliseconds.
func TestDeletionWithinOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.New()
		a, b := lead(t, store, uuid.UUID{1}, 0), lead(t, store, uuid.UUID{2}, 1)
		a.o.Announce = b.Poke
		ctx, stop := context.WithCancel(t.Context())
		go b.Run(ctx)
		for range 3 {
			if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 2}); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			if err := a.Delete(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took > 100*time.Millisecond { // on the bubble's clock
				t.Fatalf("took %v", took)
			}
		}
		if len(a.mu.left) != 0 || len(a.mu.deleting) != 0 {
			t.Fatalf("left behind: %v, %v", a.mu.left, a.mu.deleting)
		}
		stop()
		synctest.Wait()
	})
}
