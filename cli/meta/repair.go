package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// ErrSound: what was to be mended is not wrong, or not any more. Nothing was written.
var ErrSound = errors.New("nothing to mend")

// ErrBeyondRepair: no command mends it. The message says what is left to do.
var ErrBeyondRepair = errors.New("cannot be mended")

// grace is how long objects stay after nothing names them any more: readers that looked before may need so long.
const grace = 15 * time.Minute

// Repair mends what Check calls class at where: it looks at the cluster once more, and writes only if it is still so. Every write
// has what was read as its condition, so an agent that is faster wins. It returns what it did. Errors besides those of the stores:
// ErrSound, ErrBeyondRepair.
func (t *Tool) Repair(ctx context.Context, class Class, where string) (string, error) {
	l, err := t.once(ctx, false)
	if err != nil {
		return "", err
	}
	found := slices.ContainsFunc(l.sorted(), func(f Finding) bool { return f.Class == class && f.Where == where })
	if !found && class == Damaged { // what is damaged inside shows only when it is read
		sound, err := l.soundObject(ctx, where)
		if err != nil {
			return "", err
		}
		found = !sound
	}
	if !found {
		return "", fmt.Errorf("%w: %s %s", ErrSound, class, where)
	}
	switch class {
	case SessionNeedless, SessionOpenEnd, MissingSnapshot:
		id, err := uuid.Parse(where)
		if err != nil {
			return "", fmt.Errorf("%q is no session: %w", where, err)
		}
		return l.repairSession(ctx, class, l.sessions[id])
	case SlotLeader, FromNeedless:
		n, err := strconv.ParseUint(where, 10, 16)
		if err != nil {
			return "", fmt.Errorf("%q is no slot: %w", where, err)
		}
		return l.repairSlot(ctx, class, uint16(n))
	case SlotOutside:
		return l.repairOutside(ctx, where)
	case ExtentGap, ExtentOverlap, ExtentBounds:
		p, err := parsePart(where)
		if err != nil {
			return "", err
		}
		if err := l.forgetTopic(ctx, p); err != nil {
			return "", err
		}
		return l.repairPartition(ctx, p, "")
	case PackCounter:
		id, err := uuid.Parse(where)
		if err != nil {
			return "", fmt.Errorf("%q is no pack: %w", where, err)
		}
		return l.repairPack(ctx, id)
	case MissingWAL, MissingPack, MissingSegment, Damaged:
		return l.repairObject(ctx, where)
	case Undecodable:
		return l.repairItem(ctx, where)
	}
	return "", fmt.Errorf("%w: class %s: see what varve meta check says", ErrBeyondRepair, class)
}

// forgetTopic is called for a partition that somebody wants mended: if its topic is gone, whoever calls knows that it was deleted, and all else that
// the table does not say counts.
func (l *look) forgetTopic(ctx context.Context, p part) error {
	if _, alive := l.topics[p.topic]; alive {
		return nil
	}
	table := l.Tool.look(false)
	err := table.read(ctx)
	l.blind = table.blind
	return err
}

func parsePart(s string) (part, error) {
	topic, index, _ := strings.Cut(s, "/")
	id, err := uuid.Parse(topic)
	n, err2 := strconv.ParseInt(index, 10, 32)
	if err := errors.Join(err, err2); err != nil {
		return part{}, fmt.Errorf("%q is no TOPIC-ID/PARTITION: %w", s, err)
	}
	return part{id, int32(n)}, nil
}

// eq is the condition that an attribute is as it was read.
func eq(attr string, v metastore.Value) metastore.Cond {
	return metastore.Cond{Attr: attr, Cmp: metastore.Eq, Value: v}
}

func absent() []metastore.Cond { return []metastore.Cond{{Cmp: metastore.ItemAbsent}} }

// commit writes ops, and says what became of it.
func (l *look) commit(ctx context.Context, did string, ops ...metastore.Op) (string, error) {
	if err := l.transact(ctx, ops...); err != nil {
		return "", fmt.Errorf("write: %w", err)
	}
	return did, nil
}

func (l *look) queue(g records.Garbage) metastore.Op {
	g.NotBefore = time.Now().Add(grace).UnixMilli()
	return metastore.Op{Kind: metastore.OpPut, Key: l.cfg.Cluster.GarbageKey(g), Set: g.Item()}
}

func (l *look) repairSession(ctx context.Context, class Class, s *session) (string, error) {
	if s == nil || s.item == nil {
		return "", fmt.Errorf("%w: there is no such session", ErrSound)
	}
	switch class {
	case SessionNeedless:
		return l.drain(ctx, s)
	case SessionOpenEnd:
		return l.seal(ctx, s)
	}
	return l.olderSnapshot(ctx, s)
}

// drain makes a session that has ended DRAINED, and queues what it wrote.
func (l *look) drain(ctx context.Context, s *session) (string, error) {
	garbage := records.Garbage{Session: s.id, From: max(1, s.item.Trim), End: s.item.End, Snapshots: true}
	return l.commit(ctx, "drained the session and queued its objects for deletion", metastore.Op{
		Kind: metastore.OpUpdate, Key: l.cfg.Cluster.SessionKey(s.id),
		Set: metastore.Item{records.AttrState: records.Drained.Value(), records.AttrPending: records.PendingValue(nil)},
		If:  []metastore.Cond{eq(records.AttrState, s.item.State.Value()), eq(records.AttrPending, records.PendingValue(s.item.Pending))},
	}, l.queue(garbage))
}

// seal writes the end of a fenced session. Slots and pins are read after the fence, when they cannot grow any more.
func (l *look) seal(ctx context.Context, s *session) (string, error) {
	owed := map[uint16]int32{}
	it, err := l.item(ctx, l.cfg.Cluster.PinsKey(s.id))
	if err != nil {
		return "", err
	}
	if it != nil {
		pins, err := records.DecodePins(it)
		if err != nil {
			return "", err
		}
		for n, p := range pins.Slots {
			owed[n] = p.Epoch
		}
	}
	for n, slot := range l.slots {
		if slot.Leader == s.id {
			owed[n] = max(owed[n], slot.Epoch)
		}
	}
	ops := []metastore.Op{{
		Kind: metastore.OpUpdate, Key: l.cfg.Cluster.SessionKey(s.id),
		Set: metastore.Item{
			records.AttrState: records.Sealed.Value(), records.AttrEnd: metastore.N(s.item.Committed + 1), records.AttrPending: records.PendingValue(owed),
		},
		If: []metastore.Cond{eq(records.AttrState, records.Fenced.Value()), eq(records.AttrCommitted, metastore.N(s.item.Committed))},
	}, {Kind: metastore.OpDelete, Key: l.cfg.Cluster.LiveKey(s.id)}}
	if len(owed) == 0 {
		ops[0].Set[records.AttrState] = records.Drained.Value()
		ops = append(ops, l.queue(records.Garbage{Session: s.id, From: max(1, s.item.Trim), End: s.item.Committed + 1, Snapshots: true}))
	}
	return l.commit(ctx, fmt.Sprintf("sealed the session at %d; it owes %d slots", s.item.Committed+1, len(owed)), ops...)
}

// olderSnapshot lets a session name the newest of its snapshots that is sound and after which no bundle is missing; or none, if its
// log is there from the beginning.
func (l *look) olderSnapshot(ctx context.Context, s *session) (string, error) {
	type candidate struct {
		seq int64
		id  uuid.UUID
	}
	all := []candidate{{}}
	err := l.list(ctx, l.cfg.Keys.SnapshotPrefix(s.id), func(o objstore.Info) error {
		k, err := l.cfg.Keys.Parse(o.Key)
		if err == nil && k.Seq > 0 && int64(k.Seq) <= s.item.Committed && k.ID != s.item.SnapID {
			all = append(all, candidate{int64(k.Seq), k.ID})
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	for _, c := range slices.Backward(all) {
		if c.seq > 0 {
			if _, _, _, err := l.readFooter(ctx, l.cfg.Keys.Snapshot(s.id, uint64(c.seq), c.id)); err != nil {
				continue
			}
		}
		whole, err := l.wholeFrom(ctx, s, c.seq+1)
		if err != nil {
			return "", err
		}
		if whole {
			return l.commit(ctx, fmt.Sprintf("the session names the snapshot of bundle %d now (0: none), and what came after it", c.seq), metastore.Op{
				Kind: metastore.OpUpdate, Key: l.cfg.Cluster.SessionKey(s.id),
				Set: metastore.Item{records.AttrSnap: metastore.N(c.seq), records.AttrSnapID: records.IDValue(c.id)},
				If:  []metastore.Cond{eq(records.AttrSnap, metastore.N(s.item.Snap)), eq(records.AttrSnapID, records.IDValue(s.item.SnapID))},
			})
		}
	}
	return "", fmt.Errorf("%w: no older snapshot is there with all bundles after it: restore the object, or rebuild the table from what is left: varve meta rebuild", ErrBeyondRepair)
}

// wholeFrom reports whether the bundles from seq to the last committed one are all there.
func (l *look) wholeFrom(ctx context.Context, s *session, seq int64) (bool, error) {
	for ; seq <= s.item.Committed; seq++ {
		there, err := l.there(ctx, l.cfg.Keys.WAL(s.id, uint64(seq)))
		if err != nil || !there {
			return false, err
		}
	}
	return true, nil
}

// repairPack writes into a pack's item how many runs are needed.
func (l *look) repairPack(ctx context.Context, id uuid.UUID) (string, error) {
	named, key := l.packs[id], l.cfg.Cluster.PackKey(id)
	it, err := l.item(ctx, key)
	if err != nil {
		return "", err
	}
	if it == nil {
		p, err := l.packOf(ctx, id, named)
		if err != nil {
			return "", err
		}
		return l.commit(ctx, "made the pack's item", metastore.Op{Kind: metastore.OpPut, Key: key, Set: p.Item(), If: absent()})
	}
	p, err := records.DecodePack(it)
	if err != nil {
		if p, err = l.packOf(ctx, id, named); err != nil {
			return "", err
		}
		return l.commit(ctx, "made the pack's item anew", metastore.Op{Kind: metastore.OpPut, Key: key, Set: p.Item(), If: []metastore.Cond{{Cmp: metastore.ItemExists}}})
	}
	if named < p.Live && l.blind {
		return "", fmt.Errorf("%w: something else is wrong, so nobody knows how many runs are needed: mend that first", ErrBeyondRepair)
	}
	same := []metastore.Cond{eq(records.AttrLive, metastore.N(p.Live)), eq(records.AttrNonce, records.IDValue(p.Nonce))}
	if named == 0 {
		garbage := records.Garbage{ID: uuid.New(), Keys: []string{l.cfg.Keys.Pack(id)}, Bytes: p.Bytes}
		return l.commit(ctx, "queued the pack for deletion", metastore.Op{Kind: metastore.OpDelete, Key: key, If: same}, l.queue(garbage))
	}
	set := metastore.Item{records.AttrLive: metastore.N(named), records.AttrNonce: records.IDValue(uuid.New())}
	if named > p.Runs {
		set[records.AttrRuns] = metastore.N(named)
	}
	return l.commit(ctx, fmt.Sprintf("the pack counts %d runs now", named), metastore.Op{Kind: metastore.OpUpdate, Key: key, Set: set, If: same})
}

// packOf is the item of a pack that has none, made from the object.
func (l *look) packOf(ctx context.Context, id uuid.UUID, live int64) (records.Pack, error) {
	h, f, size, err := l.readHeadAndFooter(ctx, l.cfg.Keys.Pack(id))
	if err != nil {
		return records.Pack{}, err
	}
	return records.Pack{
		ID: id, Session: h.Session, Live: live, Runs: max(live, int64(len(f.Runs))), Bytes: size, Created: l.now, Nonce: uuid.New(),
	}, nil
}

// repairItem deletes an item that means nothing by its absence, or makes it anew from what it was made of.
func (l *look) repairItem(ctx context.Context, where string) (string, error) {
	pk, sk, _ := strings.Cut(where, ",")
	key := metastore.Key{PK: pk, SK: sk}
	if deletable(l.cfg.Cluster, key) {
		return l.commit(ctx, "deleted the item", metastore.Op{Kind: metastore.OpDelete, Key: key})
	}
	if rest, ok := strings.CutPrefix(pk, string(l.cfg.Cluster)+"/O#"); ok {
		id, err := uuid.Parse(rest)
		if err != nil {
			return "", fmt.Errorf("%w: %s names no pack", ErrBeyondRepair, pk)
		}
		return l.repairPack(ctx, id)
	}
	if rest, ok := strings.CutPrefix(pk, string(l.cfg.Cluster)+"/P#"); ok {
		topic, index, _ := strings.Cut(rest, "#")
		id, err := uuid.Parse(topic)
		n, err2 := strconv.ParseInt(index, 16, 32)
		if err := errors.Join(err, err2); err != nil {
			return "", fmt.Errorf("%w: %s names no partition", ErrBeyondRepair, pk)
		}
		return l.repairPartition(ctx, part{id, int32(n)}, "")
	}
	return "", fmt.Errorf("%w: restore the table to a moment before, or rebuild it: varve meta rebuild", ErrBeyondRepair)
}
