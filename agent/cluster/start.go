package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

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
			return fmt.Errorf("fence session %s: %w", id, errAlive)
		}
	}
	if s.State == records.Fenced {
		if err := m.seal(ctx, id); err != nil {
			return fmt.Errorf("seal session %s: %w", id, err)
		}
		m.logger.Info("ended a session that was left behind", "session", id, "committed", s.Committed)
	}
	return m.removeLive(ctx, id)
}

// seal writes the end of a fenced session. What it led and pinned is read after the fence, so that nothing is missed.
func (m *Member) seal(ctx context.Context, id uuid.UUID) error {
	a := m.readEnd(ctx, ReadEnd{ID: id, Slots: true})
	if a.Err != nil || ended(a.Session.State) {
		return a.Err
	}
	owed := pending(id, a.Slots, a.Pins.Slots)
	err := m.writeAll(ctx, endOps(m.cfg.Cluster, id, a.Session, records.Sealed, owed, time.Now().Add(m.cfg.Grace).UnixMilli()))
	if was, failed := old(err); failed {
		var s records.Session
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

// others reads which other sessions are on the list of live ones.
func (m *Member) others(ctx context.Context) (map[uuid.UUID]string, error) {
	var live map[uuid.UUID]string
	err := retry(ctx, m.logger, func() error {
		live = map[uuid.UUID]string{}
		return query(ctx, m.facts, m.cfg.Cluster.LivePK(), func(row metastore.Row) error {
			id, err := uuid.Parse(row.SK)
			if err != nil {
				return err
			}
			l, err := records.DecodeLive(row.Item)
			if id != m.session {
				live[id] = l.Agent
			}
			return err
		})
	})
	return live, err
}

// checkAddress refuses to advertise an address that another agent advertises whose heartbeat moves: clients would find one of the
// two at random.
func (m *Member) checkAddress(ctx context.Context) error {
	if m.cfg.Exclusive || m.cfg.Port == 0 {
		return nil
	}
	live, err := m.others(ctx)
	if err != nil || len(live) == 0 {
		return err
	}
	var twin *records.Agent
	err = retry(ctx, m.logger, func() error {
		twin = nil
		return query(ctx, m.facts, m.cfg.Cluster.AgentsPK(), func(row metastore.Row) error {
			a, err := records.DecodeAgent(row.Item)
			if _, on := live[a.Session]; on && a.Name != m.cfg.Name && a.Host == m.cfg.Host && a.Port == m.cfg.Port {
				twin = &a
			}
			return err
		})
	})
	if err != nil || twin == nil {
		return err
	}
	s, err := m.readSession(ctx, twin.Session)
	if err != nil || s.State != records.Active {
		return err
	}
	if _, err = m.watch(ctx, *twin, s); err != nil {
		if inUse := (*NameInUseError)(nil); errors.As(err, &inUse) {
			return &AddressInUseError{Address: net.JoinHostPort(m.cfg.Host, strconv.Itoa(int(m.cfg.Port))), Agent: twin.Name}
		}
		return err
	}
	return nil // it stands still: somebody will fence it
}

// Acquire makes this session the leader of every slot that nobody leads, if it is the only live one: a lone start waits for no
// controller. Else it takes nothing; the controller gives it its share. It returns how many slots it took.
func (m *Member) Acquire(ctx context.Context) (int, error) {
	ctx = metastore.WithPurpose(ctx, metastore.PurposeSlot)
	taken := 0
	alone := m.cfg.Exclusive
	if !alone {
		live, err := m.others(ctx)
		if err != nil {
			return 0, fmt.Errorf("read the list of sessions: %w", err)
		}
		alone = len(live) == 0
	}
	if alone {
		var err error
		if taken, err = m.takeAll(ctx); err != nil {
			return 0, err
		}
	}
	_, err := m.write(ctx, raiseOps(m.cfg.Cluster)[0])
	if err != nil {
		return taken, fmt.Errorf("raise the map version: %w", err)
	}
	return taken, nil
}

// takeAll takes every slot whose last leader has ended, or that never had one, at most writesAtOnce at a time.
func (m *Member) takeAll(ctx context.Context) (int, error) {
	var slots []records.Slot
	err := retry(ctx, m.logger, func() (err error) {
		slots, err = getSlots(ctx, m.facts, m.cfg.Cluster)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read the slot map: %w", err)
	}
	known := map[uint16]*records.Slot{}
	for i := range slots {
		known[slots[i].Slot] = &slots[i]
	}
	ends, err := m.ends(ctx, slots)
	if err != nil {
		return 0, err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	taken := 0
	room := make(chan struct{}, writesAtOnce)
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
			ok, err := m.take(ctx, uint16(n), was, end)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			} else if ok {
				taken++
			}
		})
	}
	wg.Wait()
	return taken, errors.Join(errs...)
}

// ends returns where the logs of the slots' leaders end, as far as they have ended; it ends those that are fenced, and those that
// can't be alive.
func (m *Member) ends(ctx context.Context, slots []records.Slot) (map[uuid.UUID]int64, error) {
	ends, seen := map[uuid.UUID]int64{}, map[uuid.UUID]bool{}
	for _, sl := range slots {
		if seen[sl.Leader] {
			continue
		}
		seen[sl.Leader] = true
		s, err := m.readSession(ctx, sl.Leader)
		if err == nil && (s.State == records.Fenced || s.State == records.Active && m.cfg.Exclusive) {
			if err = m.finish(ctx, sl.Leader, s); err == nil {
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

// take takes one slot; false if another agent was faster.
func (m *Member) take(ctx context.Context, slot uint16, was *records.Slot, end int64) (bool, error) {
	nonce := uuid.New()
	me := records.Member{Agent: m.cfg.Name, Session: m.session}
	_, err := m.write(ctx, takeOp(m.cfg.Cluster, slot, was, end, me, nonce))
	if item, failed := old(err); failed {
		now, derr := records.DecodeSlot(item)
		if derr != nil {
			return false, fmt.Errorf("take slot %d: %w", slot, derr)
		}
		return now.Nonce == nonce, nil // an earlier try of ours, or another agent
	}
	if err != nil {
		return false, fmt.Errorf("take slot %d: %w", slot, err)
	}
	return true, nil
}
