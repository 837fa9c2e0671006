// Pure.

package meta

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/objstore/bundle"
)

// merge is one snapshot made of slots of several.
type merge struct {
	topics  []bundle.Topic
	objects []bundle.Object
	slots   []mergedSlot
}

// mergedSlot is a slot's part of a snapshot; its topics and objects are numbered as in the merge.
type mergedSlot struct {
	slot  bundle.Slot
	parts []mergedPart
	runs  []mergedRun
}

type mergedPart struct {
	partition bundle.Partition
	epochs    []bundle.Epoch
	producers []bundle.Producer
}

type mergedRun struct {
	run bundle.Run
	ref uint32
}

func newMerge() *merge { return &merge{} }

// add takes slots out of f.
func (m *merge) add(f *bundle.Footer, want map[uint16]bool) {
	at := map[uint16]int{}
	for _, s := range f.Slots {
		if want[s.Slot] {
			at[s.Slot] = len(m.slots)
			m.slots = append(m.slots, mergedSlot{slot: s})
		}
	}
	epochs, producers := f.Epochs, f.Producers
	for _, p := range f.Partitions {
		own, known := epochs[:p.Epochs], producers[:p.Producers]
		epochs, producers = epochs[p.Epochs:], producers[p.Producers:]
		if i, ok := at[p.Slot]; ok {
			p.Topic = m.topic(f.Topics[p.Topic])
			m.slots[i].parts = append(m.slots[i].parts, mergedPart{p, own, known})
		}
	}
	for k, r := range f.Runs {
		if i, ok := at[r.Slot]; ok {
			r.Topic = m.topic(f.Topics[r.Topic])
			m.slots[i].runs = append(m.slots[i].runs, mergedRun{r, m.object(f.Objects[f.Refs[k].Object])})
		}
	}
}

func (m *merge) topic(t bundle.Topic) uint32 {
	i := slices.IndexFunc(m.topics, func(o bundle.Topic) bool { return o.ID == t.ID })
	if i < 0 {
		i = len(m.topics)
		m.topics = append(m.topics, t)
	}
	m.topics[i].Partitions = max(m.topics[i].Partitions, t.Partitions)
	return uint32(i)
}

func (m *merge) object(o bundle.Object) uint32 {
	if i := slices.Index(m.objects, o); i >= 0 {
		return uint32(i)
	}
	m.objects = append(m.objects, o)
	return uint32(len(m.objects) - 1)
}

// footer is the snapshot: topics and slots in order, as an agent writes it.
func (m *merge) footer() *bundle.Footer {
	f := &bundle.Footer{Topics: slices.Clone(m.topics), Objects: m.objects}
	slices.SortFunc(f.Topics, func(a, b bundle.Topic) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	number := map[uuid.UUID]uint32{}
	for i, t := range f.Topics {
		number[t.ID] = uint32(i)
	}
	slices.SortFunc(m.slots, func(a, b mergedSlot) int { return cmp.Compare(a.slot.Slot, b.slot.Slot) })
	for _, s := range m.slots {
		slices.SortStableFunc(s.runs, func(a, b mergedRun) int {
			x, y := m.topics[a.run.Topic].ID, m.topics[b.run.Topic].ID
			return cmp.Or(bytes.Compare(x[:], y[:]), cmp.Compare(a.run.Partition, b.run.Partition), cmp.Compare(a.run.Base, b.run.Base))
		})
		s.slot.FirstRun, s.slot.Runs = uint32(len(f.Runs)), uint32(len(s.runs))
		f.Slots = append(f.Slots, s.slot)
		for _, p := range s.parts {
			p.partition.Topic = number[m.topics[p.partition.Topic].ID]
			f.Partitions = append(f.Partitions, p.partition)
			f.Epochs = append(f.Epochs, p.epochs...)
			f.Producers = append(f.Producers, p.producers...)
		}
		for _, r := range s.runs {
			r.run.Topic = number[m.topics[r.run.Topic].ID]
			f.Runs = append(f.Runs, r.run)
			f.Refs = append(f.Refs, bundle.Ref{Object: r.ref})
		}
	}
	return f
}
