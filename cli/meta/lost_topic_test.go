package meta

import (
	"context"
	"testing"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// A topic's item is lost, and something else of a partition too: no command that a check prints unlinks what the topic has.
func TestALostTopicWithDamageIsNotUnlinked(t *testing.T) {
	for name, plant := range map[string]func(r *rig){
		"a count":     func(r *rig) { r.set(r.cluster.PartitionKey(r.topic.ID, 0), records.AttrBytes, metastore.N(1)) },
		"an extent":   func(r *rig) { r.drop(r.cluster.ExtentKey(r.topic.ID, 0, 0)) },
		"an overlap":  func(r *rig) { r.item(r.cluster.ExtentKey(r.topic.ID, 0, 15), r.segment(0, 15, 20).Item()) },
		"no item":     func(r *rig) { r.drop(r.cluster.PartitionKey(r.topic.ID, 0)) },
		"undecodable": func(r *rig) { r.item(r.cluster.ExtentKey(r.topic.ID, 0, 0), metastore.Item{"x": metastore.N(1)}) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			plant(r)
			r.drop(r.cluster.TopicKey("t"))
			for _, f := range r.check(true) {
				if len(f.Fix) == 5 {
					did, err := r.tool().Repair(context.Background(), Class(f.Fix[2]), f.Fix[3])
					t.Logf("%s %s: %s %v", f.Class, f.Where, did, err)
				} else if f.Fix != nil {
					r.fix(f)
				}
			}
			if e := decoded(r, r.cluster.ExtentKey(r.topic.ID, 0, 10), records.DecodeExtent); e.Segment != r.extents[1].Segment {
				t.Errorf("the extent is %+v", e)
			}
			if p := decoded(r, r.cluster.PackKey(r.pack), records.DecodePack); p.Live != 1 {
				t.Errorf("the pack is %+v", p)
			}
		})
	}
}
