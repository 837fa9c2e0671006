package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// ErrRefused: an operator asked for something that can't be; the words around it say why. It helps to ask for something else.
var ErrRefused = errors.New("refused")

// tries bounds how often a change is tried anew because another one came between.
const tries = 8

// Report tells what this agent knows of the cluster. Errors: that of ctx; ErrRefused if the session is about to end.
func (m *Member) Report(ctx context.Context) (Report, error) {
	answer := make(chan Report, 1)
	select {
	case m.shell.questions <- answer:
		return <-answer, nil
	case <-m.shell.ended:
		return Report{}, fmt.Errorf("%w: this agent is about to stop; ask another one", ErrRefused)
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
}

// Move has an agent lead a slot: it says so in the slot's item, and the slot's leader hands it over. It returns once that is
// written, or need not be; View and Report tell when it has happened. Errors: ErrRefused; those of the metastore.
func (m *Member) Move(ctx context.Context, slot int, agent string) error {
	ctx = metastore.WithPurpose(ctx, metastore.PurposeSlot)
	if slot < 0 || slot >= m.cluster.Slots {
		return fmt.Errorf("%w: there is no slot %d; they are 0 to %d", ErrRefused, slot, m.cluster.Slots-1)
	}
	live, err := m.listed(ctx)
	if err != nil {
		return err
	}
	to, err := m.agent(ctx, agent, live)
	if err != nil {
		return err
	}
	if to.Drain == to.Session {
		return fmt.Errorf("%w: agent %s is being drained: no slot goes there until that is taken back, or it is started anew", ErrRefused, agent)
	}
	for range tries {
		item, err := m.get(ctx, m.cfg.Cluster.SlotKey(uint16(slot)))
		if errors.Is(err, metastore.ErrNotFound) {
			return fmt.Errorf("%w: slot %d never had a leader that could hand it over; the controller is about to give it one", ErrRefused, slot)
		}
		if err != nil {
			return fmt.Errorf("read slot %d: %w", slot, err)
		}
		s, err := records.DecodeSlot(item)
		if err != nil {
			return fmt.Errorf("slot %d: %w", slot, err)
		}
		want := agent
		if s.Leader == to.Session {
			want = "" // it is there, and shall stay
		} else if _, lives := live[s.Leader]; !lives {
			return fmt.Errorf("%w: the leader of slot %d, agent %s, is gone; the controller is about to give it another", ErrRefused, slot, s.Agent)
		}
		if s.Want == want {
			return nil
		}
		if s, err = m.wish(ctx, s, want); err == nil {
			m.shell.post(Learned{Slots: []records.Slot{s}}, false)
			return nil
		}
		if _, failed := old(err); !failed {
			return fmt.Errorf("write slot %d: %w", slot, err)
		}
	}
	return fmt.Errorf("%w: slot %d changes all the time; ask again", ErrRefused, slot)
}

// wish writes who shall lead a slot, and returns the item as it is then. A *metastore.ConditionError: it is another one by now.
func (m *Member) wish(ctx context.Context, s records.Slot, want string) (records.Slot, error) {
	nonce := uuid.New()
	item, err := m.write(ctx, wantOp(m.cfg.Cluster, s, want, nonce))
	if was, failed := old(err); failed {
		if now, derr := records.DecodeSlot(was); derr == nil && now.Nonce == nonce {
			return now, nil // an earlier try of ours
		}
		return s, err
	}
	if err != nil {
		return s, err
	}
	return records.DecodeSlot(item)
}

// Drain marks an agent, or takes the mark back: it shall lead nothing. The controller gives its slots to others, and none to it,
// until it is started anew. Errors: ErrRefused; those of the metastore.
func (m *Member) Drain(ctx context.Context, node int32, drain bool) error {
	ctx = metastore.WithPurpose(ctx, metastore.PurposeSlot)
	live, err := m.listed(ctx)
	if err != nil {
		return err
	}
	agents, err := m.agents(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(agents, func(a records.Agent) bool { return a.NodeID == node })
	if i < 0 {
		return fmt.Errorf("%w: there is no agent with node id %d", ErrRefused, node)
	}
	a := agents[i]
	if _, lives := live[a.Session]; !lives {
		return fmt.Errorf("%w: agent %s does not run: it leads nothing", ErrRefused, a.Name)
	}
	if drain == (a.Drain == a.Session) {
		return nil
	}
	others := slices.ContainsFunc(agents, func(o records.Agent) bool {
		_, lives := live[o.Session]
		return lives && o.Name != a.Name && o.Drain != o.Session
	})
	if drain && !others {
		return fmt.Errorf("%w: no other agent is there to lead the slots of %s; start one first", ErrRefused, a.Name)
	}
	if a.Drain = uuid.Nil; drain {
		a.Drain = a.Session
	}
	_, err = m.write(ctx, metastore.Op{
		Kind: metastore.OpUpdate, Key: m.cfg.Cluster.AgentKey(a.Name), Set: metastore.Item{records.AttrDrain: records.IDValue(a.Drain)},
		If: []metastore.Cond{{Attr: records.AttrSession, Cmp: metastore.Eq, Value: records.IDValue(a.Session)}},
	})
	if _, failed := old(err); failed {
		return fmt.Errorf("%w: agent %s was started anew just now; ask again", ErrRefused, a.Name)
	}
	if err != nil {
		return fmt.Errorf("mark agent %s: %w", a.Name, err)
	}
	m.shell.post(Learned{Agents: []records.Agent{a}}, false)
	return nil
}

// listed reads the list of live sessions, this one included.
func (m *Member) listed(ctx context.Context) (map[uuid.UUID]string, error) {
	live, err := m.others(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the list of sessions: %w", err)
	}
	live[m.session] = m.cfg.Name
	return live, nil
}

// agent reads the item of an agent that runs: ErrRefused if there is none of that name.
func (m *Member) agent(ctx context.Context, name string, live map[uuid.UUID]string) (records.Agent, error) {
	if err := records.CheckName(name); err != nil {
		return records.Agent{}, fmt.Errorf("%w: agent name: %w", ErrRefused, err)
	}
	item, err := m.get(ctx, m.cfg.Cluster.AgentKey(name))
	if errors.Is(err, metastore.ErrNotFound) {
		var names []string
		for _, n := range m.View().Nodes {
			names = append(names, n.Name)
		}
		return records.Agent{}, fmt.Errorf("%w: there is no agent %s; there are %s", ErrRefused, name, strings.Join(names, ", "))
	}
	if err != nil {
		return records.Agent{}, fmt.Errorf("read agent %s: %w", name, err)
	}
	a, err := records.DecodeAgent(item)
	if _, lives := live[a.Session]; err == nil && !lives {
		err = fmt.Errorf("%w: agent %s does not run", ErrRefused, name)
	}
	return a, err
}

func (m *Member) agents(ctx context.Context) (all []records.Agent, err error) {
	err = retry(ctx, m.logger, func() error {
		all = nil
		return query(ctx, m.facts, m.cfg.Cluster.AgentsPK(), func(row metastore.Row) error {
			a, err := records.DecodeAgent(row.Item)
			all = append(all, a)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the agents: %w", err)
	}
	return all, nil
}
