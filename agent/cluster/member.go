package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Config of a member.
type Config struct {
	Cluster   records.Cluster
	Name      string // of the agent
	Zone      string
	Host      string // that clients are told
	Port      int32
	HTTP      string // empty: none
	Peer      string // empty: none
	Slots     int    // counts only if the cluster is new
	Heartbeat time.Duration
	TTL       time.Duration
	Poll      time.Duration
	Grace     time.Duration // objects stay so long after nothing names them any more
	// Exclusive: no other process can reach the stores, so all other sessions are dead.
	Exclusive bool
	// Dead is a session of the name whose process was seen to be gone, by Probe; Nil: none.
	Dead uuid.UUID
	// Lived is the session of this process that was fenced before; Nil: none.
	Lived uuid.UUID
}

// Member is one session of an agent.
type Member struct {
	cfg     Config
	facts   metastore.Store
	logger  *slog.Logger
	cluster records.Config
	session uuid.UUID
	node    int32
	start   int64
	begun   time.Time
	view    atomic.Pointer[View]
	shell   *shell
}

// Cluster returns what was decided when the cluster was made.
func (m *Member) Cluster() records.Config { return m.cluster }

// Session returns the session's id.
func (m *Member) Session() uuid.UUID { return m.session }

// NodeID returns the agent's node id, stable over its sessions.
func (m *Member) NodeID() int32 { return m.node }

// StartNumber returns the session's number among all starts of the cluster, from 1.
func (m *Member) StartNumber() int64 { return m.start }

// View returns the cluster as it was seen last; before the map was read it is empty.
func (m *Member) View() *View { return m.view.Load() }

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

// ReadSession reads the item of any session, consistently.
func (m *Member) ReadSession(ctx context.Context, id uuid.UUID) (records.Session, error) {
	return m.readSession(metastore.WithPurpose(ctx, metastore.PurposeSlot), id)
}

// Leave closes the session. Its WAL must be at rest: committed is the last of its log. Run must have returned.
func (m *Member) Leave(ctx context.Context, committed uint64) error {
	ctx = metastore.WithPurpose(ctx, metastore.PurposeSlot)
	if err := m.close(ctx, committed); err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	if err := m.removeLive(ctx, m.session); err != nil {
		return fmt.Errorf("take session off the list: %w", err)
	}
	item, err := m.write(ctx, raiseOps(m.cfg.Cluster)[0])
	if err != nil {
		return fmt.Errorf("raise the map version: %w", err)
	}
	if v, err := records.DecodeVersion(item); err == nil && m.shell != nil {
		m.shell.bye(v.Map)
	}
	return nil
}

// close writes CLOSED, or finds it written by an earlier try. The pins are part of the condition: a slot that its leader takes out of
// them between their read and this write would stand in pending, where nobody looks for it again.
func (m *Member) close(ctx context.Context, committed uint64) error {
	for {
		a := m.readEnd(ctx, ReadEnd{ID: m.session, Slots: true})
		s := a.Session
		switch {
		case a.Err != nil:
			return a.Err
		case (s.State == records.Closed || s.State == records.Drained) && s.Committed == int64(committed):
			return nil // DRAINED may also be what became of one that was fenced
		case s.State != records.Active || s.Committed != int64(committed):
			return fmt.Errorf("%w: its state is %s, its log ends at %d", records.ErrFenced, s.State, s.Committed)
		}
		owed := pending(m.session, a.Slots, a.Pins.Slots)
		ops := endOps(m.cfg.Cluster, m.session, s, records.Closed, owed, time.Now().Add(m.cfg.Grace).UnixMilli())
		err := m.writeAll(ctx, append(ops, pinsAre(m.cfg.Cluster, m.session, a.Pins.V)))
		if _, changed := old(err); !changed {
			return err
		}
	}
}

// writeAll repeats a write or a transaction while its outcome is unknown.
func (m *Member) writeAll(ctx context.Context, ops []metastore.Op) error {
	if len(ops) == 1 {
		_, err := m.write(ctx, ops[0])
		return err
	}
	return retry(ctx, m.logger, func() error { return m.facts.Transact(ctx, ops) })
}

// readEnd reads a session, then its pins and, if asked for, the slot map.
func (m *Member) readEnd(ctx context.Context, e ReadEnd) (a Answer) {
	a.Err = retry(ctx, m.logger, func() error {
		a = readEnd(ctx, m.facts, m.cfg.Cluster, e)
		return a.Err
	})
	return a
}
