package simtest

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// coreView is the log of a partition as somebody finds it.
type coreView struct {
	start, end int64
	runs       []coreRun
	last       map[int64]int32 // by producer: the last sequence number
	bad        string
}

// settle plays a take-over of every slot that may have changed: nothing that one needs may be missing (I9), and it finds the truth.
func (o *coreOracle) settle() {
	if len(o.dirty) == 0 || o.w.bad != "" {
		return
	}
	for _, n := range sortedSlots(o.dirty) {
		if s := o.slots[n]; s != nil {
			if e := o.takeOver(s); e != "" {
				o.w.fail("take-over of slot %d e%d: %s", n, s.Epoch, e)
			}
		}
	}
	clear(o.dirty)
}

func (o *coreOracle) settleAll() {
	for n := range o.slots {
		o.dirty[n] = true
	}
	o.settle()
}

// takeOver is what an heir of the slot would find if its leader were fenced now: recover of the model, over the stores as they are.
func (o *coreOracle) takeOver(s *records.Slot) string {
	led := o.sessions[s.Leader]
	end := led.End
	if led.State == records.Active || led.State == records.Fenced {
		end = led.Committed + 1
	}
	logs := map[int32]*coreView{}
	for i := len(s.From); i >= 0; i-- {
		from := records.From{Session: s.Leader, End: end, Epoch: s.Epoch}
		if i < len(s.From) {
			from = s.From[i]
		}
		if o.sessions[from.Session].State == records.Drained {
			continue
		}
		found, e := o.recover(logs, s.Slot, from)
		if e != "" {
			return e
		}
		if found {
			break
		}
		if i < len(s.From) {
			o.w.some("an heir died before it opened")
		}
	}
	return o.compare(s.Slot, logs)
}

// recover reads one entry of from[].
func (o *coreOracle) recover(logs map[int32]*coreView, slot uint16, from records.From) (found bool, bad string) {
	item := o.sessions[from.Session]
	if item.Snap > 0 {
		key := o.w.keys.Snapshot(from.Session, uint64(item.Snap), item.SnapID)
		x := o.objects[key]
		if x == nil || !x.exists {
			return false, "I9: its snapshot " + key + " is gone"
		}
		for _, s := range x.footer.Slots {
			if s.Slot == slot && s.Epoch == from.Epoch {
				found = true
				addSnapshot(logs, x.footer, slot)
			}
		}
	}
	for seq := item.Snap + 1; seq < from.End; seq++ {
		x := o.wal[from.Session][seq-1]
		if !x.exists {
			return false, fmt.Sprintf("I9: bundle %d of session %s is gone", seq, from.Session)
		}
		for _, op := range x.footer.Ops {
			if op.Slot != slot || op.Epoch != from.Epoch {
				continue
			}
			switch op.Kind {
			case bundle.OpSlotOpen:
				if found {
					o.w.some("slot opened again under one epoch")
					continue // of a try whose predecessor's outcome was unknown
				}
				found = true
				clear(logs)
				if op.Key == "" {
					continue
				}
				n := o.objects[op.Key]
				if n == nil || !n.exists {
					return false, "I9: the snapshot " + op.Key + " that a slot-open names is gone"
				}
				addSnapshot(logs, n.footer, slot)
			case bundle.OpLogStart:
				if v := logs[op.Partition]; v != nil && op.Offset > v.start && op.Offset <= v.end {
					v.start = op.Offset
				}
			}
		}
		for i := range x.footer.Runs {
			r := &x.footer.Runs[i]
			if r.Slot == slot && r.LeaderEpoch == from.Epoch && found {
				addRun(logs, r, x.footer.BatchesOf(r), from.Session, uint64(seq))
			}
		}
	}
	return found, ""
}

func view(logs map[int32]*coreView, part int32) *coreView {
	v := logs[part]
	if v == nil {
		v = &coreView{last: map[int64]int32{}}
		logs[part] = v
	}
	return v
}

func addRun(logs map[int32]*coreView, r *bundle.Run, batches []bundle.Batch, session uuid.UUID, seq uint64) {
	v := view(logs, r.Partition)
	if r.Base != v.end {
		v.bad = fmt.Sprintf("a run at offset %d does not continue the log, which ends at %d", r.Base, v.end)
		return
	}
	v.end = r.Next
	v.runs = append(v.runs, coreRun{r.Base, r.Next, session, seq})
	for i := range batches {
		b := &batches[i]
		v.last[b.ProducerID] = b.BaseSequence + int32(b.LastOffsetDelta)
	}
}

// addSnapshot takes over what a snapshot says of a slot, in place of what was known.
func addSnapshot(logs map[int32]*coreView, f *bundle.Footer, slot uint16) {
	clear(logs)
	producers := f.Producers
	for _, p := range f.Partitions {
		own := producers[:p.Producers]
		producers = producers[p.Producers:]
		if p.Slot != slot {
			continue
		}
		v := view(logs, p.Partition)
		v.start, v.end = p.LogStart, p.LogEnd
		for _, w := range own {
			v.last[w.ID] = w.Last[len(w.Last)-1].LastSeq
		}
	}
	for i, r := range f.Runs {
		if r.Slot == slot {
			x := f.Objects[f.Refs[i].Object]
			v := view(logs, r.Partition)
			v.runs = append(v.runs, coreRun{r.Base, r.Next, x.Session, x.Seq})
		}
	}
}

// compareRuns says in what the runs of a log differ from the truth, which has them in the WAL; empty: in nothing. One in a pack
// stands for several.
func (o *coreOracle) compareRuns(runs, truth []coreRun) string {
	k := 0
	for _, r := range runs {
		if r.seq == 0 {
			for k < len(truth) && truth[k].base >= r.base && truth[k].next <= r.next {
				k++
			}
			if k == 0 || truth[k-1].next != r.next {
				return fmt.Sprintf("V2: a pack has %v, which are no whole runs", r)
			}
			o.w.some("taken over in a pack")
			continue
		}
		switch {
		case k == len(truth) || truth[k] != r:
			return fmt.Sprintf("V2: run %d is %v, not so in %v", k, r, truth)
		case !o.wal[r.session][r.seq-1].exists:
			return fmt.Sprintf("I9: the object of %v is gone", r)
		}
		k++
	}
	if k != len(truth) {
		return fmt.Sprintf("its log has %d of %d runs", k, len(truth))
	}
	return ""
}

// compare says in what logs of a slot differ from the truth; empty: in nothing.
func (o *coreOracle) compare(slot uint16, logs map[int32]*coreView) string {
	for part := range o.parts {
		if part%o.w.plan.slots != int(slot) {
			continue
		}
		p, v := &o.parts[part], logs[int32(part)]
		if v == nil {
			v = &coreView{}
		}
		switch {
		case v.bad != "":
			return fmt.Sprintf("partition %d: %s", part, v.bad)
		case v.end < p.end:
			return fmt.Sprintf("V1: partition %d: the log ends at %d, committed is up to %d", part, v.end, p.end)
		case v.end > p.end:
			return fmt.Sprintf("partition %d: the log ends at %d, committed is only up to %d", part, v.end, p.end)
		case v.start != p.start:
			return fmt.Sprintf("partition %d: the log starts at %d, not at %d", part, v.start, p.start)
		}
		runs := v.runs
		for len(runs) > 0 && runs[0].next <= v.start {
			runs = runs[1:]
		}
		if e := o.compareRuns(runs, p.runs); e != "" {
			return fmt.Sprintf("partition %d: %s", part, e)
		}
		for id, next := range p.next {
			if last, known := v.last[id]; !known || last+1 != next {
				return fmt.Sprintf("B1: partition %d: producer %d is at %d (known: %v), not at %d", part, id, last, known, next-1)
			}
		}
	}
	return ""
}
