package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Join registers a new session under the agent's name, after the last one of that name was ended: *NameInUseError if it
// lives. Errors besides: those of the metastore and of ctx.
func Join(ctx context.Context, facts metastore.Store, cfg Config, logger *slog.Logger) (*Member, error) {
	ctx = metastore.WithPurpose(ctx, metastore.PurposeSlot)
	m := &Member{cfg: cfg, facts: facts, logger: logger, session: uuid.New(), begun: time.Now()}
	m.view.Store(&View{Controller: -1})
	var err error
	if m.cluster, err = m.config(ctx); err != nil {
		return nil, fmt.Errorf("read the cluster's config: %w", err)
	}
	if cfg.Slots != m.cluster.Slots {
		logger.Info("the number of slots was fixed by the cluster's first agent", "slots", m.cluster.Slots, "asked", cfg.Slots)
	}
	before, err := m.predecessor(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.checkAddress(ctx); err != nil {
		return nil, err
	}
	if m.start, err = m.count(ctx, records.AttrStart); err != nil {
		return nil, fmt.Errorf("take a start number: %w", err)
	}
	if err := m.register(ctx, before); err != nil {
		if ctx.Err() != nil {
			m.unregister()
		}
		return nil, fmt.Errorf("register session: %w", err)
	}
	m.shell = newShell(m)
	return m, nil
}

// Dial connects with an address. An error that is syscall.ECONNREFUSED says that nobody listens there.
type Dial func(ctx context.Context, address string) (net.Conn, error)

// Probe looks whether the last session of an agent's name can still have a process: it dials the address that the name is
// registered with, and returns the session if nobody listens there. Call it before listening, or the answer may be one's own.
func Probe(ctx context.Context, facts metastore.Store, c records.Cluster, name string, dial Dial, logger *slog.Logger) (dead uuid.UUID, err error) {
	ctx = metastore.WithPurpose(ctx, metastore.PurposeSlot)
	var item metastore.Item
	err = retry(ctx, logger, func() error {
		item, err = facts.Get(ctx, c.AgentKey(name), metastore.Consistent)
		return err
	})
	if errors.Is(err, metastore.ErrNotFound) {
		return uuid.Nil, nil
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("look for an agent of this name: %w", err)
	}
	a, err := records.DecodeAgent(item)
	if err != nil {
		return uuid.Nil, err
	}
	dctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := dial(dctx, net.JoinHostPort(a.Host, fmt.Sprint(a.Port)))
	if err == nil {
		return uuid.Nil, conn.Close()
	}
	if connectionRefused(err) {
		return a.Session, nil
	}
	return uuid.Nil, nil
}

// config reads the cluster's config, or makes the cluster.
func (m *Member) config(ctx context.Context) (records.Config, error) {
	key := m.cfg.Cluster.ConfigKey()
	item, err := m.get(ctx, key)
	if errors.Is(err, metastore.ErrNotFound) {
		mine := records.Config{Format: records.Format, Cluster: uuid.New(), Slots: m.cfg.Slots, Created: m.begun.UnixMilli()}
		item, err = m.write(ctx, metastore.Op{Kind: metastore.OpPut, Key: key, Set: mine.Item(), If: []metastore.Cond{{Cmp: metastore.ItemAbsent}}})
		if was, failed := old(err); failed && was != nil {
			item, err = was, nil // another agent made it, or an earlier try of ours
		}
	}
	if err != nil {
		return records.Config{}, err
	}
	c, err := records.DecodeConfig(item)
	if err == nil && c.Format != records.Format {
		err = fmt.Errorf("the table has format %d, this program knows %d: use the program that fits", c.Format, records.Format)
	}
	return c, err
}

// predecessor returns the agent item that an earlier session of this name left, whose session has ended when it returns;
// nil if there was none.
func (m *Member) predecessor(ctx context.Context) (*records.Agent, error) {
	item, err := m.get(ctx, m.cfg.Cluster.AgentKey(m.cfg.Name))
	if errors.Is(err, metastore.ErrNotFound) {
		n, err := m.count(ctx, records.AttrNode)
		m.node = int32(n)
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	a, err := records.DecodeAgent(item)
	if err != nil {
		return nil, err
	}
	m.node = a.NodeID
	s, err := m.readSession(ctx, a.Session)
	if err != nil {
		return nil, fmt.Errorf("read the session of the last %s: %w", a.Name, err)
	}
	if s.State == records.Active && !m.cfg.Exclusive && a.Session != m.cfg.Dead {
		if s, err = m.watch(ctx, a, s); err != nil {
			return nil, err
		}
	}
	err = m.finish(ctx, a.Session, s)
	if errors.Is(err, errAlive) { // it stood still for the TTL and moved at the last moment
		err = &NameInUseError{a.Name, net.JoinHostPort(a.Host, fmt.Sprint(a.Port)), time.UnixMilli(a.Started)}
	}
	return &a, err
}

// watch waits until the heartbeat of a session stood still for the TTL, on this clock.
func (m *Member) watch(ctx context.Context, a records.Agent, s records.Session) (records.Session, error) {
	m.logger.Info("the last session of this name may be alive: waiting whether its heartbeat moves",
		"agent", a.Name, "address", net.JoinHostPort(a.Host, fmt.Sprint(a.Port)), "for", m.cfg.TTL)
	deadline := time.Now().Add(m.cfg.TTL)
	for time.Now().Before(deadline) {
		if !sleep(ctx, m.cfg.TTL/9) {
			return s, ctx.Err()
		}
		now, err := m.readSession(ctx, a.Session)
		if err != nil {
			return s, err
		}
		if now.State != records.Active {
			return now, nil
		}
		if now.HB != s.HB {
			return s, &NameInUseError{a.Name, net.JoinHostPort(a.Host, fmt.Sprint(a.Port)), time.UnixMilli(a.Started)}
		}
	}
	return s, nil
}

// register writes session, live pointer and agent item in one transaction, which fails if another start under this name
// came first.
func (m *Member) register(ctx context.Context, before *records.Agent) error {
	c := m.cfg
	cond := metastore.Cond{Cmp: metastore.ItemAbsent}
	if before != nil {
		cond = metastore.Cond{Attr: records.AttrSession, Cmp: metastore.Eq, Value: records.IDValue(before.Session)}
	}
	a := records.Agent{
		Name: c.Name, NodeID: m.node, Zone: c.Zone, Host: c.Host, Port: c.Port, HTTP: c.HTTP, Peer: c.Peer,
		Session: m.session, Started: m.begun.UnixMilli(), Lived: c.Lived,
	}
	if before != nil && before.Drain == before.Session && c.Lived == before.Session {
		a.Drain = m.session // it was not started anew: who drained it still means it
	}
	s := records.Session{Agent: c.Name, NodeID: m.node, State: records.Active, HB: 1}
	err := retry(ctx, m.logger, func() error {
		return m.facts.Transact(ctx, []metastore.Op{
			{Kind: metastore.OpPut, Key: c.Cluster.SessionKey(m.session), Set: s.Item(), If: []metastore.Cond{{Cmp: metastore.ItemAbsent}}},
			{Kind: metastore.OpPut, Key: c.Cluster.LiveKey(m.session), Set: records.Live{Agent: c.Name}.Item()},
			{Kind: metastore.OpPut, Key: c.Cluster.AgentKey(c.Name), Set: a.Item(), If: []metastore.Cond{cond}},
		})
	})
	if _, failed := old(err); !failed {
		return err
	}
	item, err := m.get(ctx, c.Cluster.AgentKey(c.Name))
	if err != nil {
		return err
	}
	now, err := records.DecodeAgent(item)
	if err != nil || now.Session == m.session {
		return err // an earlier try of ours had been applied
	}
	return &NameInUseError{now.Name, net.JoinHostPort(now.Host, fmt.Sprint(now.Port)), time.UnixMilli(now.Started)}
}

// unregister closes a session of which it is unknown whether it was registered before the start was called off.
func (m *Member) unregister() {
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()
	if err := m.Leave(ctx, 0); err != nil && !errors.Is(err, metastore.ErrNotFound) {
		m.logger.Warn("a start was called off; its session may stay behind until the next start ends it", "session", m.session, "err", err)
	}
}

// count takes the next number of a counter of the ID item. One whose outcome is unknown is burnt.
func (m *Member) count(ctx context.Context, attr string) (int64, error) {
	item, err := m.write(ctx, metastore.Op{Kind: metastore.OpUpdate, Key: m.cfg.Cluster.IDsKey(), Add: map[string]int64{attr: 1}})
	if err != nil {
		return 0, err
	}
	n, ok := item[attr].Num()
	if !ok || n < 1 || n > 1<<30 {
		return 0, fmt.Errorf("counter %s: %w", attr, records.ErrBadItem)
	}
	return n, nil
}

// Starts returns the highest start number that was given out.
func (m *Member) Starts(ctx context.Context) (int64, error) {
	item, err := m.get(ctx, m.cfg.Cluster.IDsKey())
	if err != nil {
		return 0, err
	}
	ids, err := records.DecodeIDs(item)
	return ids.Start, err
}

func (m *Member) get(ctx context.Context, key metastore.Key) (item metastore.Item, err error) {
	err = retry(ctx, m.logger, func() error {
		item, err = m.facts.Get(ctx, key, metastore.Consistent)
		return err
	})
	return item, err
}

// write repeats op while its outcome is unknown; its conditions must make that harmless.
func (m *Member) write(ctx context.Context, op metastore.Op) (item metastore.Item, err error) {
	err = retry(ctx, m.logger, func() error {
		item, err = m.facts.Write(ctx, op)
		return err
	})
	return item, err
}

func (m *Member) readSession(ctx context.Context, id uuid.UUID) (s records.Session, err error) {
	err = retry(ctx, m.logger, func() error {
		s, err = getSession(ctx, m.facts, m.cfg.Cluster, id, metastore.Consistent)
		return err
	})
	return s, err
}

// retry repeats what may go through later, until ctx ends. It says so when it takes long: a start waits in silence else.
func retry(ctx context.Context, logger *slog.Logger, do func() error) error {
	pause := 20 * time.Millisecond
	for try := 1; ; try++ {
		err := do()
		if err == nil || !transient(err) {
			return err
		}
		if try == 5 || try%20 == 0 {
			logger.Warn("the metastore does not do what it is asked; it is asked again", "try", try, "err", err)
		}
		if !sleep(ctx, pause/2+time.Duration(rand.Int64N(int64(pause)))) {
			return errors.Join(err, ctx.Err())
		}
		pause = min(2*pause, 2*time.Second)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
