package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Refresh reads agents and slots and puts a new View in place.
func (m *Member) Refresh(ctx context.Context) error {
	ctx = metastore.WithPurpose(ctx, metastore.PurposePoll)
	live := map[uuid.UUID]bool{}
	err := m.query(ctx, m.cfg.Cluster.LivePK(), metastore.Consistent, func(row metastore.Row) error {
		id, err := uuid.Parse(row.SK)
		live[id] = true
		return err
	})
	if err != nil {
		return fmt.Errorf("read live sessions: %w", err)
	}
	v := &View{ClusterID: m.cluster.Cluster, Slots: make([]Leader, m.cluster.Slots), Controller: m.node}
	nodes := map[uuid.UUID]int32{}
	err = m.query(ctx, m.cfg.Cluster.AgentsPK(), metastore.Consistent, func(row metastore.Row) error {
		a, err := records.DecodeAgent(row.Item)
		if err == nil && live[a.Session] {
			nodes[a.Session] = a.NodeID
			v.Nodes = append(v.Nodes, Node{a.NodeID, a.Name, a.Zone, a.Host, a.Port, a.HTTP, a.Session, a.Started})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read agents: %w", err)
	}
	slices.SortFunc(v.Nodes, func(a, b Node) int { return cmp.Compare(a.ID, b.ID) })
	slots, err := m.slots(ctx)
	if err != nil {
		return fmt.Errorf("read the slot map: %w", err)
	}
	for i := range v.Slots {
		v.Slots[i] = Leader{Node: -1, Epoch: -1}
	}
	for _, s := range slots {
		if int(s.Slot) >= len(v.Slots) {
			continue
		}
		l := Leader{Node: -1, Epoch: s.Epoch}
		if id, ok := nodes[s.Leader]; ok {
			l.Node = id
		}
		v.Slots[s.Slot] = l
	}
	if len(v.Slots) > 0 && v.Slots[0].Node >= 0 {
		v.Controller = v.Slots[0].Node
	}
	m.view.Store(v)
	return nil
}

// Watch refreshes the View when the map's version rises, until ctx ends. One small read a poll.
func (m *Member) Watch(ctx context.Context) {
	ctx = metastore.WithPurpose(ctx, metastore.PurposePoll)
	seen := int64(-1)
	for sleep(ctx, m.cfg.Poll) {
		item, err := m.facts.Get(ctx, m.cfg.Cluster.VersionKey(), metastore.Eventual)
		if err != nil {
			continue // the next poll asks again
		}
		v, err := records.DecodeVersion(item)
		if err != nil || v.Map == seen {
			continue
		}
		if err := m.Refresh(ctx); err != nil {
			if ctx.Err() == nil {
				m.logger.Warn("the slot map changed and could not be read; the old one stays in use", "err", err)
			}
			continue
		}
		seen = v.Map
	}
}

// Confirm reads consistently whether this session is still in force: nil, or records.ErrFenced; any other error says nothing.
func (m *Member) Confirm(ctx context.Context) error {
	s, err := m.readSession(metastore.WithPurpose(ctx, metastore.PurposeSlot), m.session)
	if err != nil {
		return fmt.Errorf("confirm session: %w", err)
	}
	if s.State != records.Active {
		return records.ErrFenced
	}
	return nil
}

// Leave closes the session. Its WAL must be at rest: committed is the last of its log.
func (m *Member) Leave(ctx context.Context, committed uint64) error {
	ctx = metastore.WithPurpose(ctx, metastore.PurposeSlot)
	slots, err := m.slots(ctx)
	if err != nil {
		return fmt.Errorf("read the slot map: %w", err)
	}
	s, err := m.readSession(ctx, m.session)
	if err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	_, err = m.write(ctx, endOp(m.cfg.Cluster.SessionKey(m.session), records.Active, records.Closed, int64(committed), pending(m.session, slots, s.Pins)))
	if item, failed := old(err); failed {
		if s, err = records.DecodeSession(item); err == nil && s.State != records.Closed {
			err = fmt.Errorf("%w: its state is %s, its log ends at %d", records.ErrFenced, s.State, s.Committed)
		}
	}
	if err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	if err := m.removeLive(ctx, m.session); err != nil {
		return fmt.Errorf("take session off the list: %w", err)
	}
	_, err = m.write(ctx, metastore.Op{Kind: metastore.OpUpdate, Key: m.cfg.Cluster.VersionKey(), Add: map[string]int64{records.AttrMap: 1}})
	return err
}
