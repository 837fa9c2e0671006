package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Taken is a slot that this session leads from now on, once it has opened it.
type Taken struct {
	Slot  uint16
	Epoch int32
	From  []records.From // sessions that may hold its log, oldest first
}

// finish brings a session that must not go on to its end: fence, then seal. s is its item as read consistently.
func (m *Member) finish(ctx context.Context, id uuid.UUID, s records.Session) error {
	key := m.cfg.Cluster.SessionKey(id)
	for s.State == records.Active {
		item, err := m.write(ctx, fenceOp(key, s.HB))
		if was, failed := old(err); failed {
			item, err = was, nil
		}
		if err != nil {
			return fmt.Errorf("fence session %s: %w", id, err)
		}
		if s, err = records.DecodeSession(item); err != nil {
			return fmt.Errorf("fence session %s: %w", id, err)
		}
		if s.State == records.Active && !m.cfg.Exclusive {
			return fmt.Errorf("fence session %s: its heartbeat moved: an agent of this name is alive", id)
		}
	}
	if s.State == records.Fenced {
		if err := m.seal(ctx, id, s); err != nil {
			return fmt.Errorf("seal session %s: %w", id, err)
		}
		m.logger.Info("ended a session that was left behind", "session", id, "committed", s.Committed)
	}
	return m.removeLive(ctx, id)
}

// seal writes the end of a fenced session. The slots that it led are read after the fence, so that none is missed.
func (m *Member) seal(ctx context.Context, id uuid.UUID, s records.Session) error {
	slots, err := m.slots(ctx)
	if err != nil {
		return err
	}
	_, err = m.write(ctx, endOp(m.cfg.Cluster.SessionKey(id), records.Fenced, records.Sealed, s.Committed, pending(id, slots, s.Pins)))
	if was, failed := old(err); failed {
		if s, err = records.DecodeSession(was); err == nil && !ended(s.State) {
			err = fmt.Errorf("its state is %s", s.State)
		}
	}
	return err
}

func (m *Member) removeLive(ctx context.Context, id uuid.UUID) error {
	_, err := m.write(ctx, metastore.Op{Kind: metastore.OpDelete, Key: m.cfg.Cluster.LiveKey(id)})
	return err
}

// slots reads the whole slot map, consistently.
func (m *Member) slots(ctx context.Context) ([]records.Slot, error) {
	var all []records.Slot
	err := m.query(ctx, m.cfg.Cluster.SlotsPK(), metastore.Consistent, func(row metastore.Row) error {
		s, err := records.DecodeSlot(row.Item)
		all = append(all, s)
		return err
	})
	return all, err
}

// query calls each for the items of a partition key, page by page.
func (m *Member) query(ctx context.Context, pk string, c metastore.Consistency, each func(metastore.Row) error) error {
	q := metastore.Query{PK: pk, Consistency: c}
	for {
		var page metastore.Page
		err := retry(ctx, m.logger, func() (err error) {
			page, err = m.facts.Query(ctx, q)
			return err
		})
		if err != nil {
			return err
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

// acquireParallel bounds the writes at once: one per slot has to be done before the agent serves.
const acquireParallel = 16

// Acquire makes this session the leader of every slot that no live session leads.
func (m *Member) Acquire(ctx context.Context) ([]Taken, error) {
	ctx = metastore.WithPurpose(ctx, metastore.PurposeSlot)
	slots, err := m.slots(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the slot map: %w", err)
	}
	known := map[uint16]*records.Slot{}
	for i := range slots {
		known[slots[i].Slot] = &slots[i]
	}
	ends, err := m.ends(ctx, slots)
	if err != nil {
		return nil, err
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		taken []Taken
		errs  []error
		room  = make(chan struct{}, acquireParallel)
	)
	for n := range m.cluster.Slots {
		was := known[uint16(n)]
		end := int64(0)
		if was != nil {
			var free bool
			if end, free = ends[was.Leader]; !free {
				continue
			}
		}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			t, err := m.take(ctx, uint16(n), was, end)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			} else if t != nil {
				taken = append(taken, *t)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if left := m.cluster.Slots - len(taken); left > 0 {
		m.logger.Warn("other agents lead some slots", "slots", left)
	}
	return taken, m.changed(ctx)
}

// ends returns where the logs of the slots' leaders end, as far as they have ended; it seals those that are fenced.
func (m *Member) ends(ctx context.Context, slots []records.Slot) (map[uuid.UUID]int64, error) {
	ends, seen := map[uuid.UUID]int64{}, map[uuid.UUID]bool{}
	for _, sl := range slots {
		if seen[sl.Leader] {
			continue
		}
		seen[sl.Leader] = true
		s, err := m.readSession(ctx, sl.Leader)
		if err == nil && s.State == records.Fenced {
			if err = m.seal(ctx, sl.Leader, s); err == nil {
				s, err = m.readSession(ctx, sl.Leader)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("read session %s, which leads slot %d: %w", sl.Leader, sl.Slot, err)
		}
		if ended(s.State) {
			ends[sl.Leader] = s.End
		}
	}
	return ends, nil
}

// take takes one slot; nil if another agent was faster.
func (m *Member) take(ctx context.Context, slot uint16, was *records.Slot, end int64) (*Taken, error) {
	nonce := uuid.New()
	op, next := takeOp(m.cfg.Cluster, slot, was, end, m.session, m.cfg.Name, nonce)
	_, err := m.write(ctx, op)
	if item, failed := old(err); failed {
		now, derr := records.DecodeSlot(item)
		if derr != nil {
			return nil, fmt.Errorf("take slot %d: %w", slot, derr)
		}
		if now.Nonce != nonce {
			return nil, nil
		}
		err = nil // an earlier try of ours
	}
	if err != nil {
		return nil, fmt.Errorf("take slot %d: %w", slot, err)
	}
	return &Taken{Slot: slot, Epoch: next.Epoch, From: next.From}, nil
}

// changed tells the others that the map changed, and reads it anew.
func (m *Member) changed(ctx context.Context) error {
	_, err := m.write(ctx, metastore.Op{Kind: metastore.OpUpdate, Key: m.cfg.Cluster.VersionKey(), Add: map[string]int64{records.AttrMap: 1}})
	if err != nil {
		return fmt.Errorf("raise the map version: %w", err)
	}
	return m.Refresh(ctx)
}
