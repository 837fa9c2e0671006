package topic

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/records"
)

// queued returns what the garbage queue has of a topic.
func queued(t *testing.T, store metastore.Store, id uuid.UUID) (all []records.Garbage) {
	t.Helper()
	page, err := store.Query(t.Context(), metastore.Query{PK: records.Cluster("c").GarbagePK(int(id[0])), Consistency: metastore.Consistent})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range page.Rows {
		g, err := records.DecodeGarbage(row.Item)
		if err != nil || g.ID != id {
			t.Fatal(g, err)
		}
		all = append(all, g)
	}
	return all
}

// What a deleted topic has in segments is queued before its item goes, and not before every leader has dropped it.
func TestDeletedTopicIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := mem.New()
		a, b := lead(t, store, uuid.UUID{1}, 0), lead(t, store, uuid.UUID{2}, 2)
		a.o.Grace = time.Hour
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
		if q := queued(t, store, made.ID); len(q) != 0 {
			t.Fatal("b may still link segments", q)
		}
		ctx, stop := context.WithCancel(t.Context())
		go a.Run(ctx)
		go b.Run(ctx)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		stop()
		synctest.Wait()
		q := queued(t, store, made.ID)
		if len(q) == 0 || q[0].Partitions != 3 {
			t.Fatal(q)
		}
		if _, err := store.Get(t.Context(), records.Cluster("c").TopicKey("x"), metastore.Consistent); !errors.Is(err, metastore.ErrNotFound) {
			t.Fatal("the item is still there", err)
		}
	})
}

// Without the queue's item the topic's item stays: it is the last that knows of the data.
func TestTopicStaysUntilItIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &noQueue{Store: mem.New()}
		a := lead(t, store, uuid.UUID{1}, 0)
		if _, err := a.Create(t.Context(), Spec{Name: "x", Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		if err := a.Delete(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		it, err := store.Get(t.Context(), records.Cluster("c").TopicKey("x"), metastore.Consistent)
		if err != nil {
			t.Fatal("the item is gone:", err)
		}
		if r, err := records.DecodeTopic(it); err != nil || r.State != records.TopicDeleting {
			t.Fatal(r, err)
		}
	})
}

// noQueue refuses items of the garbage queue.
type noQueue struct{ metastore.Store }

func (s *noQueue) Write(ctx context.Context, op metastore.Op) (metastore.Item, error) {
	if _, err := records.DecodeGarbage(op.Set); err == nil && op.Kind == metastore.OpPut {
		return nil, metastore.ErrRefused
	}
	return s.Store.Write(ctx, op)
}
