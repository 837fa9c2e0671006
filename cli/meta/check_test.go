package meta

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
)

func TestSoundClusterIsClean(t *testing.T) {
	r := newRig(t)
	r.clean()
	if got, err := r.tool().Check(context.Background(), true); err != nil || got.Live || got.Sessions != 1 || got.Parts != 2 || got.Topics != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestLinkedSinceTheSnapshot: a run that was linked after the newest snapshot is not needed in its pack any more, nor in its bundle.
func TestLinkedSinceTheSnapshot(t *testing.T) {
	r := newRig(t)
	r.link(0, 20, 30)
	r.partition(0, 0, 30)
	r.drop(r.cluster.PackKey(r.pack))
	g := records.Garbage{ID: uuid.New(), NotBefore: time.Now().Add(time.Minute).UnixMilli(), Keys: []string{r.keys.Pack(r.pack)}}
	r.item(r.cluster.GarbageKey(g), g.Item())
	r.clean()
	r.lose(r.keys.Pack(r.pack))
	r.clean()
}

// TestTopicOnItsWayOut: while a deleted topic waits in the queue, its objects may be gone before the extents that name them.
func TestTopicOnItsWayOut(t *testing.T) {
	r := newRig(t)
	gone := uuid.New()
	for base := int64(0); base < 10; base += 5 {
		e := records.Extent{Base: base, Next: base + 5, Segment: uuid.New(), Size: 64}
		r.item(r.cluster.ExtentKey(gone, 0, base), e.Item())
	}
	topic := r.topic.ID
	r.topic.ID = gone
	r.segment(0, 5, 10)
	r.topic.ID = topic
	g := records.Garbage{ID: gone, Partitions: 1, NotBefore: time.Now().Add(time.Minute).UnixMilli()}
	r.item(r.cluster.GarbageKey(g), g.Item())
	r.clean()
}
