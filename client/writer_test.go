package client

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestPartitionByNumberIsAmongAll: kgo counts only the partitions that can be written to now, unless the partitioner
// says that a record belongs to one; a number would mean another partition while one is down.
func TestPartitionByNumberIsAmongAll(t *testing.T) {
	p := partitioner{kgo.StickyKeyPartitioner(nil)}.ForTopic("t")
	for _, c := range []struct {
		r    kgo.Record
		want bool
	}{
		{kgo.Record{Partition: 0}, true}, {kgo.Record{Partition: ByKey}, false}, {kgo.Record{Partition: ByKey, Key: []byte("k")}, true},
	} {
		if got := p.RequiresConsistency(&c.r); got != c.want {
			t.Errorf("partition %d, key %q: %v, want %v", c.r.Partition, c.r.Key, got, c.want)
		}
	}
	if got := p.Partition(&kgo.Record{Partition: 2}, 5); got != 2 {
		t.Errorf("partition 2 became %d", got)
	}
}
