package meta

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// takeState reads the snapshots that slots are taken from, and the bundles after them.
func (b *rebuild) takeState(ctx context.Context) error {
	byKey := map[string]map[uint16]claim{}
	for n, c := range b.won {
		if byKey[c.key] == nil {
			byKey[c.key] = map[uint16]claim{}
		}
		byKey[c.key][n] = c
	}
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		if key == "" {
			continue
		}
		b.say("reads %s", key)
		f, _, _, err := b.readFooter(ctx, key)
		if err != nil {
			return err
		}
		b.takeSnapshot(f, byKey[key])
	}
	for id, w := range b.writers {
		if err := b.takeBundles(ctx, id, w); err != nil {
			return err
		}
	}
	return nil
}

// takeSnapshot takes in the slots of a snapshot that are won by it.
func (b *rebuild) takeSnapshot(f *bundle.Footer, won map[uint16]claim) {
	apart := map[uint16]bool{}
	for n, c := range won {
		if !c.inLog {
			apart[n] = true
		}
	}
	if len(apart) > 0 {
		if b.merged == nil {
			b.merged = newMerge()
		}
		b.merged.add(f, apart)
	}
	producers, epochs := f.Producers, f.Epochs
	for _, p := range f.Partitions {
		own, led := producers[:p.Producers], epochs[:p.Epochs]
		producers, epochs = producers[p.Producers:], epochs[p.Epochs:]
		c, ok := won[p.Slot]
		if !ok {
			continue
		}
		b.lines[part{f.Topics[p.Topic].ID, p.Partition}] = line{led, p.LogEnd}
		b.topicOf(f.Topics[p.Topic], p.Partition, p.Slot, c)
		b.logs[part{f.Topics[p.Topic].ID, p.Partition}] = &logState{start: p.LogStart, end: p.LogEnd, base: p.LogEnd, slot: p.Slot}
		for _, w := range own {
			b.sawProducer(w.ID)
		}
	}
	for i := range f.Runs {
		if c, ok := won[f.Runs[i].Slot]; ok {
			b.takeRun(f, i, c)
		}
	}
}

// takeRun notes in which object a run of the tail lies.
func (b *rebuild) takeRun(f *bundle.Footer, i int, c claim) {
	r := &f.Runs[i]
	l := b.logs[part{f.Topics[r.Topic].ID, r.Partition}]
	if l != nil {
		l.base = min(l.base, r.Base)
	}
	o := f.Objects[f.Refs[i].Object]
	switch o.Kind {
	case bundle.PACK:
		if l == nil {
			b.packs[o.Session]++
			return
		}
		l.packs = append(l.packs, packed{o.Session, r.Next})
	case bundle.WAL:
		w, seq := b.writer(o.Session), int64(o.Seq)
		refs, ok := w.refs[r.Slot]
		if !ok {
			refs = [2]int64{seq, seq}
		}
		w.refs[r.Slot] = [2]int64{min(refs[0], seq), max(refs[1], seq)}
	}
}

// takeBundles takes in what bundles after a snapshot say of the slots that are won by their session.
func (b *rebuild) takeBundles(ctx context.Context, id uuid.UUID, w *writer) error {
	for seq := w.snap + 1; seq <= w.committed; seq++ {
		f, _, _, err := b.readFooter(ctx, b.Tool.cfg.Keys.WAL(id, uint64(seq)))
		if err != nil {
			return err
		}
		for _, op := range f.Ops {
			if l := b.wins(id, op.Slot, op.Epoch, f.Topics, op.Topic, op.Partition); l != nil && op.Kind == bundle.OpLogStart {
				l.start = max(l.start, op.Offset)
			}
		}
		for i := range f.Runs {
			r := &f.Runs[i]
			if c := b.won[r.Slot]; c.session != id || c.epoch != r.LeaderEpoch {
				continue
			}
			b.topicOf(f.Topics[r.Topic], r.Partition, r.Slot, b.won[r.Slot])
			name := part{f.Topics[r.Topic].ID, r.Partition}
			if b.logs[name] == nil {
				b.logs[name] = &logState{start: r.Base, end: r.Base, base: r.Base, slot: r.Slot}
			}
			b.logs[name].end = max(b.logs[name].end, r.Next)
			for _, x := range f.BatchesOf(r) {
				b.sawProducer(x.ProducerID)
			}
		}
	}
	return nil
}

// wins returns the log that an operation is about, if its slot is won by the session; nil else.
func (b *rebuild) wins(id uuid.UUID, slot uint16, epoch int32, topics []bundle.Topic, topic uint32, index int32) *logState {
	if c := b.won[slot]; c.session != id || c.epoch != epoch || int(topic) >= len(topics) {
		return nil
	}
	return b.logs[part{topics[topic].ID, index}]
}

// Producer ids come in blocks. Those that were given out and never seen are made up for by a margin.
const (
	producerBlock  = 1000
	producerMargin = 100 // blocks
)

func (b *rebuild) sawProducer(id int64) {
	b.producers = max(b.producers, producerMargin, (max(0, id)/producerBlock)+1+producerMargin)
}

// topicOf notes a topic, with the slot of one of its partitions.
func (b *rebuild) topicOf(t bundle.Topic, index int32, slot uint16, c claim) {
	r, known := b.topics[t.ID]
	if !known {
		for id, o := range b.topics {
			if o.Name != t.Name {
				continue
			}
			if o.Created > c.written.UnixMilli() { // of two topics of one name the one of the later snapshot is alive
				b.note("topic %s with the id %s is left out: there is a later one of that name", t.Name, t.ID)
				return
			}
			b.note("topic %s with the id %s is left out: there is a later one of that name", t.Name, id)
			delete(b.topics, id)
		}
		r = records.Topic{Name: t.Name, ID: t.ID, State: records.TopicActive, Nonce: uuid.New(), V: 1}
	}
	r.Created = max(r.Created, c.written.UnixMilli(), 0)
	n := max(int(t.Partitions), int(index)+1, len(r.Slots))
	n = min(n, maxPartitions)
	for len(r.Slots) < n {
		r.Slots = append(r.Slots, uint16((int(slot)-int(index)%b.config.Slots+len(r.Slots)+b.config.Slots)%b.config.Slots))
	}
	if int(index) < n {
		r.Slots[index] = slot
	}
	b.topics[t.ID] = r
}

// maxPartitions bounds what a snapshot can make a rebuild allocate: no topic item holds more.
const maxPartitions = 200_000

// settleSessions decides what each session's item says, and who leads each slot.
func (b *rebuild) settleSessions(context.Context) error {
	fresh := uuid.Nil
	if b.merged != nil {
		fresh = uuid.New()
		w := b.writer(fresh)
		w.snap, w.snapID, w.committed, w.objects = 1, uuid.New(), 1, true
	}
	for n, c := range b.won {
		leader := c.session
		if !c.inLog {
			leader = fresh
		}
		b.writers[leader].pending[n] = c.epoch
		m := []records.Member{{Agent: b.writers[leader].agent, Session: leader}}
		b.slots[n] = records.Slot{Slot: n, Leader: leader, Agent: m[0].Agent, Epoch: c.epoch, Replicas: m, ISR: m, V: 1, Nonce: uuid.New()}
	}
	ids := slices.SortedFunc(maps.Keys(b.writers), compareIDs)
	for _, id := range ids {
		b.settle(id, b.writers[id])
	}
	for _, id := range ids { // their ends are known now
		w := b.writers[id]
		for n := range w.refs {
			s := b.slots[n]
			if s.Leader == id {
				continue
			}
			epoch := max(0, s.Epoch-1)
			w.pending[n] = epoch
			s.From = append(s.From, records.From{Session: id, End: w.committed + 1, Epoch: epoch})
			b.slots[n] = s
		}
	}
	b.countTopics()
	return nil
}

// settle decides how far a session's log reaches: to its newest snapshot, or what others' snapshots name of it.
func (b *rebuild) settle(id uuid.UUID, w *writer) {
	low := int64(0)
	for n, r := range w.refs {
		w.committed = max(w.committed, r[1])
		if low == 0 || r[0] < low {
			low = r[0]
		}
		if w.from(r[1]) > r[0] {
			b.note("slot %d needs bundles %d to %d of session %s, and not all are there: see varve meta check", n, r[0], r[1], id)
		}
	}
	w.trim = w.from(w.committed)
	if low > 0 {
		w.trim = min(w.trim, low)
	}
	w.trim = min(w.trim, w.committed+1)
}

func (b *rebuild) countTopics() {
	v := int64(0)
	for _, id := range slices.SortedFunc(maps.Keys(b.topics), compareIDs) {
		t := b.topics[id]
		v++
		t.V = v
		b.topics[id] = t
		b.done.Topics++
		for i := range t.Slots {
			if b.logs[part{id, int32(i)}] == nil {
				b.done.Empty++
			}
		}
		b.done.Parts += len(t.Slots)
	}
}

// writeSnapshot writes the snapshot of the slots that were taken from openings.
func (b *rebuild) writeSnapshot(ctx context.Context) error {
	for id, w := range b.writers {
		if b.merged == nil || !b.isFresh(id) {
			continue
		}
		f := b.merged.footer()
		if err := f.Check(bundle.SNAP, bundle.HeaderLen); err != nil {
			return fmt.Errorf("merge snapshots: %w", err)
		}
		out := bundle.AppendHeader(nil, bundle.Header{Kind: bundle.SNAP, Cluster: b.config.Cluster, Session: id, Seq: uint64(w.snap)})
		return b.put(ctx, b.Tool.cfg.Keys.Snapshot(id, uint64(w.snap), w.snapID), bundle.AppendFooter(out, bundle.SNAP, f))
	}
	return nil
}

// isFresh reports whether a session is the one that the rebuild made up.
func (b *rebuild) isFresh(id uuid.UUID) bool {
	for n, c := range b.won {
		if !c.inLog {
			return b.slots[n].Leader == id
		}
	}
	return false
}

// writeExtents makes the extents of every partition that has segments or whose tail does not begin at its start.
func (b *rebuild) writeExtents(ctx context.Context) error {
	var all []part
	for id, t := range b.topics {
		for i := range t.Slots {
			all = append(all, part{id, int32(i)})
		}
	}
	if err := b.findGone(ctx); err != nil {
		return err
	}
	b.say("reads the segments of %d partitions", len(all))
	return b.each(ctx, len(all), func(ctx context.Context, i int) error {
		m := &mending{look: b.look, p: all[i]}
		if err := m.find(ctx); err != nil {
			return err
		}
		start, end := m.span(b.logs[all[i]])
		some, _ := cover(m.there, nil, start, end, end)
		if err := m.fill(ctx, start, end, some); err != nil || len(m.extent) == 0 {
			return err
		}
		b.logs[all[i]].tiered = end
		if m.lost > 0 {
			b.note("%d offsets of %s are lost, and filled with nothing", m.lost, b.partName(all[i]))
		}
		b.mu.Lock()
		b.done.Extents += int64(len(m.extent))
		b.mu.Unlock()
		_, err := m.write(ctx, start, end)
		return err
	})
}

// findGone finds the logs whose tails have runs in packs that are not there any more.
func (b *rebuild) findGone(ctx context.Context) error {
	number := map[uuid.UUID]int{}
	for _, l := range b.logs {
		for _, run := range l.packs {
			number[run.pack] = 0
		}
	}
	ids := slices.SortedFunc(maps.Keys(number), compareIDs)
	gone := make([]bool, len(ids))
	err := b.each(ctx, len(ids), func(ctx context.Context, i int) error {
		there, err := b.there(ctx, b.Tool.cfg.Keys.Pack(ids[i]))
		gone[i] = !there
		return err
	})
	for i, id := range ids {
		number[id] = i
	}
	for _, l := range b.logs {
		l.gone = slices.ContainsFunc(l.packs, func(run packed) bool { return gone[number[run.pack]] })
	}
	return err
}

// span returns from where to where extents reach: from the log's start, or the base of a segment that it lies within, to where the tail begins.
// If packs of the tail are gone, or more would be lost, they go on as far as segments do without a hole, up to the log's end: what the snapshot names
// in the tail was linked since; an idle session writes no newer snapshot. Else the tail counts: there may be segments of an earlier table.
func (m *mending) span(l *logState) (start, end int64) {
	if l == nil {
		return 0, 0 // nothing says that the segments are part of the log
	}
	to := max(l.start, l.base)
	start, some, lost := m.cheapest(l.start, to, to)
	if l.gone || lost > 0 {
		if from, others, less := m.cheapest(l.start, to, l.end); l.gone || less < lost {
			start, some = from, others
		}
	}
	if n := len(some); n > 0 {
		to = max(to, some[n-1].Next)
	}
	return start, to
}

// cheapest is cover from a log start on, or from the base of a segment that it lies within, wherever less is lost.
func (m *mending) cheapest(logStart, to, limit int64) (start int64, some []records.Extent, lost int64) {
	start = logStart
	some, lost = cover(m.there, m.named, start, to, limit)
	for _, e := range m.there {
		if e.Base >= logStart || e.Next <= logStart {
			continue
		}
		if others, less := cover(m.there, m.named, e.Base, to, limit); less < lost {
			start, some, lost = e.Base, others, less
		}
	}
	return start, some, lost
}
