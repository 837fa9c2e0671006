package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Do does an effect that is a read of the metastore or a write to it, once, and returns the answer; false if e is none of these.
// It is how a Member runs its Core, and how a simulation may.
func Do(ctx context.Context, facts metastore.Store, c records.Cluster, e Effect) (Answer, bool) {
	ctx = metastore.WithPurpose(ctx, metastore.PurposeSlot)
	switch e := e.(type) {
	case ReadVersion:
		return readVersion(metastore.WithPurpose(ctx, metastore.PurposePoll), facts, c, e), true
	case ReadMap:
		return readMap(ctx, facts, c, e), true
	case ReadSession:
		if e.Consistency == metastore.Eventual {
			ctx = metastore.WithPurpose(ctx, metastore.PurposePoll)
		}
		a := Answer{Job: e.Job}
		a.Session, a.Err = getSession(ctx, facts, c, e.ID, e.Consistency)
		return a, true
	case ReadEnd:
		return readEnd(ctx, facts, c, e), true
	case ReadPins:
		a := Answer{Job: e.Job}
		a.Pins, a.Err = getPins(ctx, facts, c, e.ID)
		return a, true
	case Write:
		a := Answer{Job: e.Job}
		if len(e.Ops) == 1 {
			a.Item, a.Err = facts.Write(ctx, e.Ops[0])
		} else {
			a.Err = facts.Transact(ctx, e.Ops)
		}
		return a, true
	}
	return Answer{}, false
}

func readVersion(ctx context.Context, facts metastore.Store, c records.Cluster, e ReadVersion) Answer {
	a := Answer{Job: e.Job}
	a.Version, a.Err = getVersion(ctx, facts, c, e.Consistency)
	return a
}

func getVersion(ctx context.Context, facts metastore.Store, c records.Cluster, how metastore.Consistency) (records.Version, error) {
	item, err := facts.Get(ctx, c.VersionKey(), how)
	if errors.Is(err, metastore.ErrNotFound) {
		return records.Version{}, nil
	}
	if err != nil {
		return records.Version{}, err
	}
	return records.DecodeVersion(item)
}

// readMap reads the version first: whatever changes after it is looked for again.
func readMap(ctx context.Context, facts metastore.Store, c records.Cluster, e ReadMap) Answer {
	a := Answer{Job: e.Job}
	m := &Map{Live: map[uuid.UUID]string{}, Past: map[uuid.UUID]records.Session{}}
	if a.Version, a.Err = getVersion(ctx, facts, c, metastore.Consistent); a.Err != nil {
		return a
	}
	a.Err = query(ctx, facts, c.LivePK(), func(row metastore.Row) error {
		id, err := uuid.Parse(row.SK)
		if err != nil {
			return err
		}
		l, err := records.DecodeLive(row.Item)
		m.Live[id] = l.Agent
		return err
	})
	if a.Err == nil {
		a.Err = query(ctx, facts, c.AgentsPK(), func(row metastore.Row) error {
			item, err := records.DecodeAgent(row.Item)
			m.Agents = append(m.Agents, item)
			return err
		})
	}
	if a.Err == nil {
		m.Slots, a.Err = getSlots(ctx, facts, c)
	}
	for _, s := range m.Slots {
		if _, live := m.Live[s.Leader]; live || e.Known[s.Leader] || a.Err != nil {
			continue
		}
		if _, there := m.Past[s.Leader]; !there {
			m.Past[s.Leader], a.Err = getSession(ctx, facts, c, s.Leader, metastore.Consistent)
		}
	}
	a.Map = m
	return a
}

// readEnd reads the session item first, then its pins: what is absent then was absent when the item was as it says, or later.
func readEnd(ctx context.Context, facts metastore.Store, c records.Cluster, e ReadEnd) Answer {
	a := Answer{Job: e.Job}
	if a.Session, a.Err = getSession(ctx, facts, c, e.ID, metastore.Consistent); a.Err != nil {
		return a
	}
	if a.Pins, a.Err = getPins(ctx, facts, c, e.ID); a.Err != nil || !e.Slots {
		return a
	}
	a.Slots, a.Err = getSlots(ctx, facts, c)
	return a
}

func getSession(ctx context.Context, facts metastore.Store, c records.Cluster, id uuid.UUID, how metastore.Consistency) (records.Session, error) {
	item, err := facts.Get(ctx, c.SessionKey(id), how)
	if err != nil {
		return records.Session{}, fmt.Errorf("read session %s: %w", id, err)
	}
	return records.DecodeSession(item)
}

// getPins reads the pins of a session; no item is no pins.
func getPins(ctx context.Context, facts metastore.Store, c records.Cluster, id uuid.UUID) (records.Pins, error) {
	item, err := facts.Get(ctx, c.PinsKey(id), metastore.Consistent)
	if errors.Is(err, metastore.ErrNotFound) {
		return records.Pins{Slots: map[uint16]records.Pin{}}, nil
	}
	if err != nil {
		return records.Pins{}, fmt.Errorf("read pins of session %s: %w", id, err)
	}
	return records.DecodePins(item)
}

// getSlots reads the whole slot map, consistently.
func getSlots(ctx context.Context, facts metastore.Store, c records.Cluster) ([]records.Slot, error) {
	var all []records.Slot
	err := query(ctx, facts, c.SlotsPK(), func(row metastore.Row) error {
		s, err := records.DecodeSlot(row.Item)
		all = append(all, s)
		return err
	})
	return all, err
}

// query calls each for the items of a partition key, page by page, read consistently.
func query(ctx context.Context, facts metastore.Store, pk string, each func(metastore.Row) error) error {
	q := metastore.Query{PK: pk, Consistency: metastore.Consistent}
	for {
		page, err := facts.Query(ctx, q)
		if err != nil {
			return fmt.Errorf("read %s: %w", pk, err)
		}
		for _, row := range page.Rows {
			if err := each(row); err != nil {
				return fmt.Errorf("%s / %s: %w", pk, row.SK, err)
			}
		}
		if page.Next == "" {
			return nil
		}
		q.After = page.Next
	}
}
