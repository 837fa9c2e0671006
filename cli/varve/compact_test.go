package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/varvelog/varve/client"
)

// TestCompactIsDone: all partitions have to be served, once, and none may have records left. The line that it shows says what is missing,
// and so does the time-out.
func TestCompactIsDone(t *testing.T) {
	r := compactRun{topic: client.Topic{Name: "orders", Partitions: make([]client.Partition, 6)}}
	for _, c := range []struct {
		all  []compacted
		done bool
		text string
	}{
		{[]compacted{{Partitions: 2, Segments: 4}, {Partitions: 4, Segments: 5}}, true, "0 of 6 partitions left, 9 segments cut"},
		{[]compacted{{Partitions: 2, Left: 2, Some: []int32{1, 3}}, {Partitions: 4}}, false, "2 of 6 partitions left, 0 segments cut, left are 1, 3"},
		{[]compacted{{Partitions: 2}, {Partitions: 1}}, false, "; agents serve 3 partitions of 6"},
		{[]compacted{{Partitions: 4}, {Partitions: 4}}, false, "; agents serve 8 partitions of 6"}, // a slot moves
		{nil, false, "agents serve 0 partitions of 6"},
	} {
		done, err := r.judge(t.Context(), c.all)
		if done != c.done || err != nil || !strings.Contains(r.String(), c.text) {
			t.Errorf("%+v: %v, %v, %q", c.all, done, err, &r)
		}
	}
	if _, err := r.judge(t.Context(), []compacted{{err: errNotVarve}}); !errors.Is(err, errNotVarve) {
		t.Error("a server of another kind is waited for:", err)
	}
}
