package meta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// ErrNoCluster: the table has no config item for the cluster. Look at --cluster and --meta, or rebuild it.
var ErrNoCluster = errors.New("the table knows no cluster of this name")

// look is what one look at a cluster has learned so far.
type look struct {
	*Tool
	findings
	deep bool
	now  int64 // ms since 1970

	config records.Config
	starts int64
	live   bool // an agent may be running
	blind  bool // something that names objects could not be read: then nobody can say what is not named

	sessions map[uuid.UUID]*session
	slots    map[uint16]records.Slot
	topics   map[uuid.UUID]records.Topic
	parts    map[part]*reach
	lines    map[part]line       // as the snapshots have them
	packs    map[uuid.UUID]int64 // runs that the snapshots name and that are not in segments

	tails     map[uuid.UUID]*tail   // of the sessions that are not drained
	opens     map[uint16]origin     // from where each slot would be opened
	snapshots map[string]struct{}   // keys of those that somebody may open from
	halfRead  map[uuid.UUID]bool    // sessions whose state could not be read whole
	needed    map[uint16]needs      // in whose WAL data of a slot lies
	bundles   map[objectID]struct{} // WAL bundles that are needed though their session does not say so

	queued      map[string]struct{} // keys in the garbage queue
	queuedParts map[uuid.UUID][]records.Garbage
	leaving     map[uuid.UUID]bool // deleted topics that are queued with all that they have in segments

	mu   sync.Mutex // guards what several readers write
	jobs []deepJob
}

// part names a partition.
type part struct {
	topic uuid.UUID
	index int32
}

func (p part) String() string { return fmt.Sprintf("%s/%d", p.topic, p.index) }

// reach is how far a partition's log lies where.
type reach struct {
	start, tiered int64 // of the extents
	known         bool  // there is an item
	base          int64 // where its tail begins; -1: unknown
}

// session is a session's item and what was learned of its WAL. A nil item: the table does not have it.
type session struct {
	id    uuid.UUID
	item  *records.Session
	named string // who named it first, for people
}

func (s *session) ended() bool {
	return s.item != nil && (s.item.State == records.Sealed || s.item.State == records.Closed || s.item.State == records.Drained)
}

// needs reports whether bundle seq is one that the session's item says is needed.
func (s *session) needs(seq int64) bool {
	return s.item != nil && s.item.State != records.Drained && seq >= max(1, s.item.Trim) && seq <= s.item.Committed
}

func (t *Tool) look(deep bool) *look {
	return &look{
		Tool: t, deep: deep, now: time.Now().UnixMilli(),
		sessions: map[uuid.UUID]*session{}, slots: map[uint16]records.Slot{}, topics: map[uuid.UUID]records.Topic{},
		tails: map[uuid.UUID]*tail{}, opens: map[uint16]origin{}, snapshots: map[string]struct{}{}, halfRead: map[uuid.UUID]bool{},
		needed: map[uint16]needs{}, bundles: map[objectID]struct{}{},
		parts: map[part]*reach{}, lines: map[part]line{}, packs: map[uuid.UUID]int64{}, queued: map[string]struct{}{}, queuedParts: map[uuid.UUID][]records.Garbage{},
		leaving: map[uuid.UUID]bool{},
	}
}

// undecodable notes an item that is not as it should be. What it names is unknown, so nothing is called unnamed after it, unless
// it is of a kind that names nothing.
func (l *look) undecodable(key metastore.Key, err error) {
	where := key.PK + "," + key.SK
	if deletable(l.cfg.Cluster, key) {
		l.repair(Undecodable, where, "%v", err)
		return
	}
	l.blind = true
	l.hint(Undecodable, where, "restore the table to a moment before, or rebuild it: varve meta rebuild", "%v", err)
}

// deletable reports whether items of that key mean nothing by their absence.
func deletable(c records.Cluster, key metastore.Key) bool {
	return slices.Contains([]string{c.LivePK(), c.TopicLogPK(), c.GroupConfigsPK()}, key.PK) || strings.HasPrefix(key.PK, c.DroppedPK(uuid.Nil)[:len(string(c))+3])
}

// read reads what is small: everything but partitions, extents and packs.
func (l *look) read(ctx context.Context) error {
	l.say("reads the table")
	it, err := l.item(ctx, l.cfg.Cluster.ConfigKey())
	if err != nil {
		return err
	}
	if it == nil {
		return fmt.Errorf("%q: %w", string(l.cfg.Cluster), ErrNoCluster)
	}
	if l.config, err = records.DecodeConfig(it); err != nil {
		return fmt.Errorf("read the cluster's config: %w; restore the table, or rebuild it", err)
	}
	if l.config.Format != records.Format {
		return fmt.Errorf("the table has format %d, this program knows %d: use the program that fits", l.config.Format, records.Format)
	}
	for _, read := range []func(context.Context) error{l.readIDs, l.readSlots, l.readAgents, l.readLive, l.readTopics, l.readLog, l.readGarbage, l.readGroups, l.readMarks} {
		if err := read(ctx); err != nil {
			return err
		}
	}
	return l.readSessions(ctx)
}

// rows decodes all items under a partition key. Those that do not decode are findings.
func rows[T any](ctx context.Context, l *look, pk, prefix string, decode func(metastore.Item) (T, error), each func(sk string, v T)) error {
	return l.query(ctx, pk, prefix, func(row metastore.Row) error {
		v, err := decode(row.Item)
		if err != nil {
			l.undecodable(metastore.Key{PK: pk, SK: row.SK}, err)
			return nil
		}
		each(row.SK, v)
		return nil
	})
}

func (l *look) readIDs(ctx context.Context) error {
	it, err := l.item(ctx, l.cfg.Cluster.IDsKey())
	if err != nil || it == nil {
		return err
	}
	ids, err := records.DecodeIDs(it)
	if err != nil {
		l.undecodable(l.cfg.Cluster.IDsKey(), err)
	}
	l.starts = ids.Start
	return nil
}

func (l *look) readSlots(ctx context.Context) error {
	return rows(ctx, l, l.cfg.Cluster.SlotsPK(), "", records.DecodeSlot, func(_ string, s records.Slot) {
		l.slots[s.Slot] = s
		l.name(s.Leader, "the leader of slot %d", s.Slot)
		for _, f := range s.From {
			l.name(f.Session, "from[] of slot %d", s.Slot)
		}
	})
}

func (l *look) readAgents(ctx context.Context) error {
	return rows(ctx, l, l.cfg.Cluster.AgentsPK(), "", records.DecodeAgent, func(name string, a records.Agent) {
		l.name(a.Session, "agent %s", name)
	})
}

func (l *look) readLive(ctx context.Context) error {
	return rows(ctx, l, l.cfg.Cluster.LivePK(), "", records.DecodeLive, func(sk string, v records.Live) {
		id, err := uuid.Parse(sk)
		if err != nil {
			l.undecodable(metastore.Key{PK: l.cfg.Cluster.LivePK(), SK: sk}, fmt.Errorf("%w: live: the sort key is no session", records.ErrBadItem))
			return
		}
		l.name(id, "the list of live sessions, agent %s", v.Agent)
	})
}

func (l *look) readTopics(ctx context.Context) error {
	return rows(ctx, l, l.cfg.Cluster.TopicsPK(), "", records.DecodeTopic, func(name string, t records.Topic) {
		l.topics[t.ID] = t
		for i, slot := range t.Slots {
			if int(slot) >= l.config.Slots {
				l.repair(SlotOutside, name, "partition %d is in slot %d, the cluster has %d", i, slot, l.config.Slots)
				break
			}
		}
	})
}

func (l *look) readLog(ctx context.Context) error {
	if err := rows(ctx, l, l.cfg.Cluster.TopicLogPK(), "", records.DecodeTopicLog, func(string, records.TopicLog) {}); err != nil {
		return err
	}
	return rows(ctx, l, l.cfg.Cluster.GroupConfigsPK(), "", records.DecodeGroupConfig, func(string, records.GroupConfig) {})
}

func (l *look) readGarbage(ctx context.Context) error {
	for shard := range records.GarbageShards {
		pk := l.cfg.Cluster.GarbagePK(shard)
		err := rows(ctx, l, pk, "", records.DecodeGarbage, func(sk string, g records.Garbage) {
			if late := l.now - g.NotBefore - l.cfg.Overdue.Milliseconds(); late > 0 {
				l.sweep(Overdue, pk+","+sk, "queued for deletion, and %v late", (time.Duration(l.now-g.NotBefore) * time.Millisecond).Round(time.Second))
			}
			if g.ID == uuid.Nil {
				l.queuedParts[g.Session] = append(l.queuedParts[g.Session], g)
				l.name(g.Session, "the garbage queue")
			}
			if g.Partitions > 0 {
				l.leaving[g.ID] = true
			}
			for _, k := range g.Keys {
				l.queued[k] = struct{}{}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readGroups decodes the groups and their offsets, slot by slot.
func (l *look) readGroups(ctx context.Context) error {
	c := l.cfg.Cluster
	return l.each(ctx, l.config.Slots, func(ctx context.Context, i int) error {
		slot := uint16(i)
		return l.query(ctx, c.GroupsPK(slot), "", func(row metastore.Row) error {
			name, err := records.ParseGroupSK(row.SK)
			if err == nil {
				_, err = records.DecodeGroup(row.Item)
			}
			if err != nil {
				l.badGroup(metastore.Key{PK: c.GroupsPK(slot), SK: row.SK}, err)
				return nil
			}
			pk := c.GroupPagesPK(slot, name)
			return l.query(ctx, pk, "", func(row metastore.Row) error {
				if err := checkGroupPage(row); err != nil {
					l.badGroup(metastore.Key{PK: pk, SK: row.SK}, err)
				}
				return nil
			})
		})
	})
}

// badGroup notes a broken item of a group. Groups name no objects.
func (l *look) badGroup(key metastore.Key, err error) {
	l.hint(Undecodable, key.PK+","+key.SK, "delete the group and commit its offsets again: varve group delete, varve group seek", "%v", err)
}

func checkGroupPage(row metastore.Row) error {
	if strings.HasPrefix(row.SK, records.GroupMembersPrefix) {
		_, err := records.DecodeGroupMembersPage(row.Item)
		return err
	}
	_, page, err := records.ParseGroupOffsetsSK(row.SK)
	if err == nil {
		_, err = records.DecodeGroupOffsets(row.Item, page)
	}
	return err
}

// readMarks compares the marks that session starts left in the bucket with the table: each names a session.
func (l *look) readMarks(ctx context.Context) error {
	var keys []string
	prefix := l.cfg.Keys.Root() + objstore.KindStart + "/"
	err := l.list(ctx, prefix, func(o objstore.Info) error {
		p, err := l.cfg.Keys.Parse(o.Key)
		if err != nil {
			l.foreign(o.Key)
			return nil
		}
		if int64(p.Seq) > l.starts {
			l.hint(StartMark, o.Key, lostTable, "a session start that the table has not counted: it knows of %d", l.starts)
		}
		keys = append(keys, o.Key)
		return nil
	})
	if err != nil {
		return err
	}
	return l.each(ctx, len(keys), func(ctx context.Context, i int) error {
		o, err := l.get(ctx, keys[i], objstore.Range{})
		if errors.Is(err, objstore.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		id, err := uuid.ParseBytes(bytes.TrimSpace(o.Body))
		if err != nil {
			l.hint(StartMark, keys[i], lostTable, "it names no session")
			return nil
		}
		l.name(id, "the mark %s", keys[i])
		return nil
	})
}

// lostTable is what to do when the bucket knows more than the table.
const lostTable = "the table is older than the bucket: restore it to a later moment, or rebuild it into an empty one: varve meta rebuild"

func (l *look) foreign(key string) {
	l.hint(Foreign, key, "nothing of this cluster; look at it, and move it elsewhere with the store's own tools", "not a key that an agent makes")
}

// name notes that something names a session.
func (l *look) name(id uuid.UUID, format string, args ...any) *session {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sessions[id]
	if s == nil {
		s = &session{id: id, named: fmt.Sprintf(format, args...)}
		l.sessions[id] = s
	}
	return s
}

// readSessions reads the items of all sessions that are named, again if they were read before.
func (l *look) readSessions(ctx context.Context) error {
	l.say("reads %d sessions", len(l.sessions))
	ids := slices.SortedFunc(maps.Keys(l.sessions), compareIDs)
	err := l.each(ctx, len(ids), func(ctx context.Context, i int) error { return l.readSession(ctx, l.sessions[ids[i]]) })
	for _, s := range l.sessions {
		l.live = l.live || s.item != nil && s.item.State == records.Active
	}
	return err
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

func (l *look) readSession(ctx context.Context, s *session) error {
	key := l.cfg.Cluster.SessionKey(s.id)
	it, err := l.item(ctx, key)
	if err != nil {
		return err
	}
	if it == nil {
		s.item = nil
		l.mu.Lock()
		l.blind = true
		l.mu.Unlock()
		l.hint(SessionUnknown, s.id.String(), lostTable, "%s names it, and the table does not have it", s.named)
		return nil
	}
	v, err := records.DecodeSession(it)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.undecodable(key, err)
		return nil
	}
	s.item = &v
	return nil
}

// sessionOf returns a session that an object names, reading its item if it is new.
func (l *look) sessionOf(ctx context.Context, id uuid.UUID, key string) (*session, error) {
	l.mu.Lock()
	_, known := l.sessions[id]
	l.mu.Unlock()
	s := l.name(id, "the object %s", key)
	if known {
		return s, nil
	}
	return s, l.readSession(ctx, s)
}
