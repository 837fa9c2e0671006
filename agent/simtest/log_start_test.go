package simtest

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// OF8: DeleteRecords moves the log start for good: after a crash, a replay and a snapshot it is where it was.
func TestDeleteRecords(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.createTopic("orders", 1)
	w.produce(w.client(), "orders", 0, 1000)
	admin := kadm.NewClient(w.client())
	del := func(offset int64) kadm.DeleteRecordsResponse {
		t.Helper()
		at := kadm.Offsets{}
		at.Add(kadm.Offset{Topic: "orders", Partition: 0, At: offset})
		got, err := admin.DeleteRecords(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := got.Lookup("orders", 0)
		return r
	}
	starts := func(want int64) {
		t.Helper()
		got, err := admin.ListStartOffsets(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := got.Lookup("orders", 0); o.Offset != want {
			t.Fatalf("the log starts at %d, want %d", o.Offset, want)
		}
	}
	if r := del(400); r.Err != nil || r.LowWatermark != 400 {
		t.Fatalf("%+v", r)
	}
	if r := del(100); r.Err != nil || r.LowWatermark != 400 {
		t.Fatalf("an earlier offset: %+v", r)
	}
	if r := del(1001); !errors.Is(r.Err, kerr.OffsetOutOfRange) {
		t.Fatalf("beyond the high watermark: %+v", r)
	}
	starts(400)
	if got := w.consume("orders", 600); len(got) != 600 {
		t.Fatalf("%d records are left", len(got))
	}
	w.crash()
	w.start()
	starts(400)
	if r := del(-1); r.Err != nil || r.LowWatermark != 1000 {
		t.Fatalf("all: %+v", r)
	}
	w.stop()
	w.start()
	starts(1000)
	w.produce(w.client(), "orders", 1000, 10)
	if got := w.consume("orders", 10); len(got) != 10 || got["v1000"].offset != 1000 {
		t.Fatalf("after all was deleted: %v", got)
	}
}
