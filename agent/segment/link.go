package segment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// step is one move of a partition's tiered, from where the table has it to next.
type step struct {
	Name
	topic  string
	slot   uint16          // is led under
	epoch  int32           // this epoch, and nobody else may link what belongs to it
	log    Log             // told when it is done; nil: nobody needs to know
	from   int64           // as the table has it
	absent bool            // or rather: the table has no item, and the first extent begins at from
	next   int64           // where tiered shall be
	extent *records.Extent // what is linked; nil: nothing, the log start has passed what lies between
	key    string          // of the extent's object
	packs  map[uuid.UUID]int64
}

// errStray: the table says what cannot be. An alarm.
var errStray = errors.New("the table has extents that do not fit")

// linkAll does steps in transactions, as few as they fit into. A step that somebody else was faster with, or whose topic is gone, is
// given up: its segment becomes garbage.
func (r *Room) linkAll(ctx context.Context, steps []step, now time.Time) error {
	var errs []error
	for len(steps) > 0 && ctx.Err() == nil {
		n := min(len(steps), maxLinked)
		for n > 1 && itemsOf(steps[:n]) > metastore.MaxTransact {
			n--
		}
		if err := r.link(ctx, steps[:n:n], now); err != nil {
			errs = append(errs, err)
		}
		steps = steps[n:]
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// itemsOf is how many items a transaction of steps has at most: a pack may need one for its item and one for its key.
func itemsOf(steps []step) int {
	n, topics, slots, packs := 0, map[string]bool{}, map[uint16]bool{}, map[uuid.UUID]bool{}
	for i := range steps {
		s := &steps[i]
		topics[s.topic], slots[s.slot] = true, true
		for id := range s.packs {
			packs[id] = true
		}
		if n++; s.extent != nil {
			n++
		}
	}
	return n + len(topics) + len(slots) + len(packs) + 1
}

// linkTries bounds how often a transaction is built anew: each time one of its steps is given up, or a pack was counted down by another.
const linkTries = 32

// link does steps in one transaction.
func (r *Room) link(ctx context.Context, steps []step, now time.Time) error {
	var gaveUp []step
	nonce := uuid.New()
	for range linkTries {
		if len(steps) == 0 {
			break
		}
		ops, err := r.linkOps(ctx, steps, nonce, now)
		if err != nil {
			return err
		}
		if err = r.commitLink(ctx, ops, steps, nonce); err == nil {
			gaveUp = append(gaveUp, r.ledger.disproved(steps)...)
			r.linked(steps, now)
			steps = nil
			break
		}
		out, rerr := r.refused(ctx, err, steps, nonce)
		if rerr != nil {
			r.ledger.suspect(steps) // they may be linked yet
			return fmt.Errorf("link: %w", rerr)
		}
		gaveUp = append(gaveUp, out...)
		steps = slices.DeleteFunc(slices.Clone(steps), func(s step) bool {
			return slices.ContainsFunc(out, func(o step) bool { return o.Name == s.Name })
		})
	}
	if len(steps) > 0 {
		return fmt.Errorf("link: %d segments wait: their packs are counted down by others all the time", len(steps))
	}
	return r.orphaned(ctx, gaveUp, now)
}

// commitLink sends the transaction until its outcome is known: nil if it was applied.
func (r *Room) commitLink(ctx context.Context, ops []metastore.Op, steps []step, nonce uuid.UUID) error {
	return patiently(ctx, func(ctx context.Context) error {
		err := r.d.Facts.Transact(ctx, ops)
		if !errors.Is(err, metastore.ErrUnknown) && !errors.Is(err, metastore.ErrCondition) {
			return err
		}
		done, rerr := r.own(ctx, &steps[0], nonce)
		switch {
		case done:
			return nil
		case rerr != nil && !errors.Is(err, metastore.ErrUnknown):
			return fmt.Errorf("%w: %w", metastore.ErrUnknown, rerr) // the condition may have failed by our own success
		}
		return err
	})
}

// own reports whether a transaction with this nonce, which s is a step of, was applied.
func (r *Room) own(ctx context.Context, s *step, nonce uuid.UUID) (bool, error) {
	p, ok, err := r.readPartition(ctx, s.Name)
	if err != nil || !ok || p.Nonce == nonce {
		return ok && p.Nonce == nonce, err
	}
	if s.extent == nil || p.Tiered < s.next {
		return false, nil
	}
	// Somebody went on from there: from our extent?
	it, err := metastore.Find(ctx, r.d.Facts, r.d.Cluster.ExtentKey(s.Topic, s.Index, s.extent.Base))
	if err != nil || it == nil {
		return false, err
	}
	e, err := records.DecodeExtent(it)
	return err == nil && e.Segment == s.extent.Segment, err
}

// readPartition reads a partition's item; false if there is none.
func (r *Room) readPartition(ctx context.Context, n Name) (records.Partition, bool, error) {
	it, err := metastore.Find(ctx, r.d.Facts, r.d.Cluster.PartitionKey(n.Topic, n.Index))
	if err != nil || it == nil {
		return records.Partition{}, false, err
	}
	p, err := records.DecodePartition(it)
	return p, err == nil, err
}

// linkOps builds the transaction. Checks of topics and slots come first, then partitions, then the rest: the first condition that fails
// tells why.
func (r *Room) linkOps(ctx context.Context, steps []step, nonce uuid.UUID, now time.Time) ([]metastore.Op, error) {
	var ops []metastore.Op
	topics, slots, packs := map[uuid.UUID]string{}, map[uint16]int32{}, map[uuid.UUID]int64{}
	for i := range steps {
		topics[steps[i].Topic], slots[steps[i].slot] = steps[i].topic, steps[i].epoch
		for id, n := range steps[i].packs {
			packs[id] += n
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(topics), compareIDs) {
		ops = append(ops, metastore.Op{Kind: metastore.OpCheck, Key: r.d.Cluster.TopicKey(topics[id]), If: []metastore.Cond{
			{Attr: records.AttrID, Cmp: metastore.Eq, Value: records.IDValue(id)},
			{Attr: records.AttrState, Cmp: metastore.Eq, Value: records.TopicActive.Value()},
		}})
	}
	for _, slot := range slices.Sorted(maps.Keys(slots)) {
		ops = append(ops, metastore.Op{Kind: metastore.OpCheck, Key: r.d.Cluster.SlotKey(slot), If: []metastore.Cond{
			{Attr: records.AttrEpoch, Cmp: metastore.Eq, Value: metastore.N(int64(slots[slot]))},
		}})
	}
	for i := range steps {
		ops = append(ops, r.moveOp(&steps[i], nonce))
	}
	for i := range steps {
		if s := &steps[i]; s.extent != nil {
			ops = append(ops, metastore.Op{
				Kind: metastore.OpPut, Key: r.d.Cluster.ExtentKey(s.Topic, s.Index, s.extent.Base), Set: s.extent.Item(),
				If: []metastore.Cond{{Cmp: metastore.ItemAbsent}},
			})
		}
	}
	return r.countDown(ctx, ops, packs, now)
}

// moveOp moves tiered.
func (r *Room) moveOp(s *step, nonce uuid.UUID) metastore.Op {
	op := metastore.Op{Kind: metastore.OpUpdate, Key: r.d.Cluster.PartitionKey(s.Topic, s.Index)}
	p := records.Partition{Topic: s.Topic, Index: s.Index, LogStart: s.from, Tiered: s.next, V: 1, Nonce: nonce}
	if s.extent == nil {
		p.LogStart = s.next
	} else {
		p.Bytes, p.Extents, p.Top = s.extent.Bytes, 1, s.extent.Top
	}
	if s.absent {
		op.Kind, op.Set, op.If = metastore.OpPut, p.Item(), []metastore.Cond{{Cmp: metastore.ItemAbsent}}
		return op
	}
	op.Set = metastore.Item{records.AttrTiered: metastore.N(s.next), records.AttrNonce: records.IDValue(nonce)}
	op.Add = map[string]int64{records.AttrV: 1}
	if s.extent == nil {
		op.Set[records.AttrLogStart] = metastore.N(s.next)
	} else {
		op.Add[records.AttrBytes], op.Add[records.AttrExtents] = p.Bytes, 1
		records.SetTop(op.Set, p.Top)
	}
	op.If = []metastore.Cond{{Attr: records.AttrTiered, Cmp: metastore.Eq, Value: metastore.N(s.from)}}
	return op
}

// linked tells the leader's memory.
func (r *Room) linked(steps []step, now time.Time) {
	for i := range steps {
		s := &steps[i]
		if s.log != nil {
			s.log.Tiered(s.next)
		}
		if e := r.ledger.parts[s.Name]; e != nil {
			top := e.top
			if s.extent != nil {
				top, e.cut = s.extent.Top, now.UnixMilli()
				size, _, _ := r.d.Topics.Rolls(s.Topic)
				e.joins.cutSmall(s.extent.Bytes, r.rules.enough(limits{bytes: size}))
			}
			e.reached(s.next, top)
		}
		if s.extent != nil {
			r.metrics.linked(s.extent)
			r.wishes.cut(s.Topic, int64(s.extent.Size)+int64(s.extent.FooterLen))
		}
	}
}

// refused finds out which steps can't be done, and takes over what the table says of them. It returns them; none if the transaction
// is to be built again. An error: nothing can be said.
func (r *Room) refused(ctx context.Context, err error, steps []step, nonce uuid.UUID) (out []step, _ error) {
	var failed *metastore.ConditionError
	if !errors.As(err, &failed) {
		return nil, err
	}
	for i := range steps {
		s := &steps[i]
		switch failed.Key {
		case r.d.Cluster.TopicKey(s.topic):
			if !activeTopic(failed.Old, s.Topic) {
				r.ledger.stay(s.Name)
				out = append(out, *s)
			}
		case r.d.Cluster.SlotKey(s.slot): // somebody else leads it
			r.ledger.stay(s.Name)
			out = append(out, *s)
		case r.d.Cluster.PartitionKey(s.Topic, s.Index):
			if err := r.adopt(ctx, s); err != nil {
				return nil, err
			}
			out = append(out, *s)
		case r.d.Cluster.ExtentKey(s.Topic, s.Index, s.from):
			return nil, fmt.Errorf("%w: %s", errStray, failed.Key)
		}
	}
	return out, nil
}

func activeTopic(it metastore.Item, id uuid.UUID) bool {
	t, err := records.DecodeTopic(it)
	return err == nil && t.ID == id && t.State == records.TopicActive
}

// adopt takes over how far another leader has linked. Its transactions took the runs off their packs; what lies in packs that only
// this session knows stays counted.
func (r *Room) adopt(ctx context.Context, s *step) error {
	p, ok, err := r.readPartition(ctx, s.Name)
	if err != nil {
		return err
	}
	e := r.ledger.parts[s.Name]
	if e == nil {
		return nil
	}
	if !ok {
		e.known, e.exists = true, false
		return nil
	}
	e.reached(p.Tiered, p.Top)
	if s.log != nil {
		s.log.Tiered(p.Tiered)
	}
	return nil
}

// orphaned queues the segments of steps that were given up.
func (r *Room) orphaned(ctx context.Context, steps []step, now time.Time) error {
	var keys []string
	var bytes int64
	for i := range steps {
		if s := &steps[i]; s.extent != nil {
			keys = append(keys, s.key)
			bytes += int64(s.extent.Size) + int64(s.extent.FooterLen)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	r.d.Log.Info("segments could not be linked: another leader did it, or the topic is gone", "segments", len(keys), "first", keys[0])
	op := r.garbage(keys, bytes, now)
	err := patiently(ctx, func(ctx context.Context) error {
		_, err := r.d.Facts.Write(ctx, op)
		return err
	})
	if err != nil {
		return fmt.Errorf("queue segments for deletion: %w", err)
	}
	return nil
}

// garbage queues keys. Repeating it is harmless. The grace begins now, not when the round did.
func (r *Room) garbage(keys []string, bytes int64, now time.Time) metastore.Op {
	if t := time.Now(); t.After(now) {
		now = t
	}
	g := records.Garbage{ID: uuid.New(), Keys: keys, Bytes: bytes, NotBefore: now.Add(r.cfg.Grace).UnixMilli()}
	return metastore.Op{Kind: metastore.OpPut, Key: r.d.Cluster.GarbageKey(g), Set: g.Item()}
}
