package meta

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

func (l *look) repairSlot(ctx context.Context, class Class, n uint16) (string, error) {
	s, ok := l.slots[n]
	if class == FromNeedless {
		keep := slices.DeleteFunc(slices.Clone(s.From), func(f records.From) bool { return l.owesNothing(l.sessions[f.Session], n, s) })
		was := len(s.From)
		s.From = keep
		return l.commit(ctx, fmt.Sprintf("from[] has %d entries now, of %d", len(keep), was), l.putSlot(s))
	}
	if ok {
		return l.lead(ctx, s, l.sessions[s.Leader])
	}
	best, epoch := l.lastLeader(n)
	if best == nil {
		to := l.lightest()
		if to == nil {
			return "", fmt.Errorf("%w: no agent lives; the next one that starts takes the slot", ErrBeyondRepair)
		}
		return l.create(ctx, leads(records.Slot{Slot: n}, to))
	}
	s = records.Slot{Slot: n, Epoch: epoch, From: l.owing(n, best.id)}
	if best.ended() && l.live {
		return l.lead(ctx, leads(s, best), best)
	}
	return l.create(ctx, leads(s, best))
}

// create writes a slot that has no item.
func (l *look) create(ctx context.Context, s records.Slot) (string, error) {
	s.V, s.Nonce = 1, uuid.New()
	return l.commit(ctx, fmt.Sprintf("%s (session %s) leads the slot under epoch %d", s.Agent, s.Leader, s.Epoch),
		metastore.Op{Kind: metastore.OpPut, Key: l.cfg.Cluster.SlotKey(s.Slot), Set: s.Item(), If: absent()}, l.raiseMap())
}

// lead makes the session that leads the fewest slots the leader of s, whose last leader has ended, as a controller does.
func (l *look) lead(ctx context.Context, s records.Slot, last *session) (string, error) {
	to := l.lightest()
	if to == nil || !last.ended() {
		return "", fmt.Errorf("%w: no agent lives to lead the slot, or its leader has not ended", ErrBeyondRepair)
	}
	s.From = append(slices.Clone(s.From), records.From{Session: last.id, End: last.item.End, Epoch: s.Epoch})
	s.Epoch++
	s = leads(s, to)
	if s.V == 0 {
		return l.create(ctx, s)
	}
	return l.commit(ctx, fmt.Sprintf("%s (session %s) leads the slot under epoch %d", s.Agent, s.Leader, s.Epoch), l.putSlot(s), l.raiseMap())
}

func leads(s records.Slot, to *session) records.Slot {
	s.Leader, s.Agent, s.Want = to.id, to.item.Agent, ""
	s.Replicas = []records.Member{{Agent: to.item.Agent, Session: to.id}}
	s.ISR = s.Replicas
	return s
}

// putSlot writes a slot that was read with the version it has.
func (l *look) putSlot(s records.Slot) metastore.Op {
	v := s.V
	s.V, s.Nonce = v+1, uuid.New()
	return metastore.Op{Kind: metastore.OpPut, Key: l.cfg.Cluster.SlotKey(s.Slot), Set: s.Item(), If: []metastore.Cond{eq(records.AttrV, metastore.N(v))}}
}

func (l *look) raiseMap() metastore.Op {
	return metastore.Op{Kind: metastore.OpUpdate, Key: l.cfg.Cluster.VersionKey(), Add: map[string]int64{records.AttrMap: 1}}
}

// lightest returns the ACTIVE session that leads the fewest slots; nil if there is none.
func (l *look) lightest() *session {
	load := map[uuid.UUID]int{}
	for _, s := range l.slots {
		load[s.Leader]++
	}
	var best *session
	for _, id := range slices.SortedFunc(maps.Keys(l.sessions), compareIDs) {
		s := l.sessions[id]
		if s.item != nil && s.item.State == records.Active && (best == nil || load[id] < load[best.id]) {
			best = s
		}
	}
	return best
}

// lastLeader returns the session that served a slot under the highest epoch; nil if none did.
func (l *look) lastLeader(n uint16) (best *session, epoch int32) {
	for id, y := range l.tails {
		own := int32(-1)
		if e, held := y.slots[n]; held {
			own = e
		}
		for _, o := range y.opened {
			if o.slot == n {
				own = max(own, o.epoch)
			}
		}
		if own >= 0 && (best == nil || own > epoch) {
			best, epoch = l.sessions[id], own
		}
	}
	return best, epoch
}

// owing returns the sessions that keep something for a slot, the last leader apart: what its from[] was.
func (l *look) owing(n uint16, last uuid.UUID) (from []records.From) {
	for id, s := range l.sessions {
		if s.item == nil || id == last {
			continue
		}
		if epoch, ok := s.item.Pending[n]; ok {
			from = append(from, records.From{Session: id, End: s.item.End, Epoch: epoch})
		}
	}
	slices.SortFunc(from, func(a, b records.From) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), compareIDs(a.Session, b.Session))
	})
	return from
}

// repairOutside moves a topic's partitions that are in slots which do not exist, and therefore hold nothing; or deletes a slot that
// does not exist.
func (l *look) repairOutside(ctx context.Context, where string) (string, error) {
	for _, t := range l.topics {
		if t.Name == where {
			return l.moveInside(ctx, t)
		}
	}
	n, err := strconv.ParseUint(where, 10, 16)
	s, ok := l.slots[uint16(n)]
	if err != nil || !ok {
		return "", fmt.Errorf("%w: %q is neither a topic nor a slot", ErrSound, where)
	}
	return l.commit(ctx, "deleted the slot's item", metastore.Op{
		Kind: metastore.OpDelete, Key: l.cfg.Cluster.SlotKey(s.Slot), If: []metastore.Cond{eq(records.AttrV, metastore.N(s.V))},
	}, l.raiseMap())
}

// moveInside goes by the rule of new topics: the partitions of a topic follow each other through the slots.
func (l *look) moveInside(ctx context.Context, t records.Topic) (string, error) {
	it, err := l.item(ctx, l.cfg.Cluster.VersionKey())
	if err != nil {
		return "", err
	}
	version, err := records.DecodeVersion(it)
	if err != nil {
		return "", err
	}
	was, moved := t.V, 0
	t.Slots = slices.Clone(t.Slots)
	for i, slot := range t.Slots {
		if int(slot) >= l.config.Slots {
			t.Slots[i] = uint16(int(slot) % l.config.Slots)
			moved++
		}
	}
	t.V, t.Nonce = version.Topic+1, uuid.New()
	entry := records.TopicLog{Version: t.V, Names: []string{t.Name}, TTL: l.now/1000 + records.TopicLogTTL}
	logged := entry.Item()
	logged[records.AttrNonce] = records.IDValue(t.Nonce)
	read := metastore.Cond{Attr: records.AttrTopic, Cmp: metastore.Absent}
	if version.Topic > 0 {
		read = eq(records.AttrTopic, metastore.N(version.Topic))
	}
	return l.commit(ctx, fmt.Sprintf("moved %d partitions to slots that there are", moved),
		metastore.Op{Kind: metastore.OpPut, Key: l.cfg.Cluster.TopicKey(t.Name), Set: t.Item(), If: []metastore.Cond{eq(records.AttrID, records.IDValue(t.ID)), eq(records.AttrV, metastore.N(was))}},
		metastore.Op{Kind: metastore.OpUpdate, Key: l.cfg.Cluster.VersionKey(), Add: map[string]int64{records.AttrTopic: 1}, If: []metastore.Cond{read}},
		metastore.Op{Kind: metastore.OpPut, Key: l.cfg.Cluster.TopicLogKey(t.V), Set: logged})
}
