package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/topic"
)

// The broker configs through which operators see slots and agents, and move slots. They need no API of their own: every
// Kafka client can read and alter configs.
const (
	configSlots  = "varve.slots"  // read-only: a JSON array of slotJSON
	configAgents = "varve.agents" // read-only: a JSON array of agentJSON
	configDrain  = "varve.drain"  // of the agent that the resource names: true or false
	configMove   = "varve.move"   // <slot>:<agent name>; of any agent, or of all

	// A topic that the agent shall cut into segments now; it tells as a JSON array of compactJSON how far that is.
	configCompact = "varve.compact"
)

// slotJSON is a slot in varve.slots. state, state_ms and unneeded are there if the agent that answers leads the slot; what is
// null or absent is not known.
type slotJSON struct {
	Slot        int       `json:"slot"`
	Leader      int32     `json:"leader"` // node id, -1: nobody who lives
	Agent       string    `json:"agent"`
	Epoch       int32     `json:"epoch"`
	Session     uuid.UUID `json:"session"`
	Want        string    `json:"want"`
	From        int       `json:"from"`
	Partitions  *int      `json:"partitions"`
	BytesPerSec *int64    `json:"bytes_per_sec"`
	State       string    `json:"state,omitempty"`
	StateMS     int64     `json:"state_ms,omitempty"`
	Unneeded    int       `json:"unneeded,omitempty"`
}

// agentJSON is an agent in varve.agents.
type agentJSON struct {
	ID         int32     `json:"id"`
	Agent      string    `json:"agent"`
	Zone       string    `json:"zone"`
	Host       string    `json:"host"`
	Port       int32     `json:"port"`
	Peer       string    `json:"peer"`
	HTTP       string    `json:"http"`
	Slots      int       `json:"slots"`
	State      string    `json:"state"`
	Session    uuid.UUID `json:"session"`
	Since      time.Time `json:"since"`
	QuietMS    *int64    `json:"quiet_ms"` // its heartbeat stands still for so long; null: the agent that answers does not watch it
	Controller bool      `json:"controller"`
}

// compactJSON is a topic in varve.compact: its partitions that the agent which answers serves, how many of them have records left, and some
// of those by number; what was cut since.
type compactJSON struct {
	Topic      string    `json:"topic"`
	ID         uuid.UUID `json:"id"`
	AskedMS    int64     `json:"asked_ms"` // since 1970
	Partitions int       `json:"partitions"`
	Left       int       `json:"left"`
	Some       []int32   `json:"left_partitions"`
	Segments   int       `json:"segments"`
	Bytes      int64     `json:"bytes"`
}

// reportTime bounds how long the cluster room may take to say what it knows.
const reportTime = 2 * time.Second

// known is what one request is told of the cluster. The cluster room is asked once, if at all.
type known struct {
	s      *Server
	ctx    context.Context
	asked  bool
	report cluster.Report // empty: this agent is about to stop
	told   bool           // the long values were told
}

// facts adds the values of the configs above, as this agent sees things. The long ones are told of this agent alone, and once: a
// request that names a thousand agents gets one of each, not a thousand.
func (k *known) facts(id int32, facts map[string]string) {
	if !k.asked {
		ctx, cancel := context.WithTimeout(k.ctx, reportTime)
		defer cancel()
		k.report, _ = k.s.deps.Cluster.Report(ctx)
		k.asked = true
	}
	for _, a := range k.report.Agents {
		if a.ID == id {
			facts[configDrain] = strconv.FormatBool(a.Draining)
		}
	}
	if id == k.s.deps.Cluster.NodeID() && !k.told && len(k.report.Slots) > 0 {
		k.told = true
		facts[configSlots], facts[configAgents], facts[configCompact] = slotsJSON(k.report), agentsJSON(k.report), k.s.compactJSON()
	}
}

// compactJSON tells of the topics that this agent was asked to cut. A slot that comes or goes meanwhile does not count as served.
func (s *Server) compactJSON() string {
	all := []compactJSON{}
	if s.deps.Rewriter == nil {
		return encodeJSON(all)
	}
	epochs, open := s.deps.Partitions.Slots()
	rewritings := s.deps.Rewriter.Rewritings()
	epochsNow, openNow := s.deps.Partitions.Slots()
	for _, r := range rewritings {
		t := s.deps.Topics.LookupID(r.Topic)
		if t == nil {
			continue
		}
		c := compactJSON{Topic: t.Name, ID: t.ID, AskedMS: r.Asked.UnixMilli(), Left: r.Left, Some: r.Some, Segments: r.Segments, Bytes: r.Bytes}
		for _, slot := range t.Slots {
			if open[slot] && openNow[slot] && epochs[slot] == epochsNow[slot] {
				c.Partitions++
			}
		}
		all = append(all, c)
	}
	return encodeJSON(all)
}

// compact asks for segments of a topic.
func (s *Server) compact(name, value string) (func(context.Context) error, error) {
	if id, err := brokerID(name); name != "" && (err != nil || id != s.deps.Cluster.NodeID()) {
		return nil, fmt.Errorf("%w: %s is of the agent that is asked, which is %d", topic.ErrConfig, configCompact, s.deps.Cluster.NodeID())
	}
	if err := topic.CheckName(value); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		t, err := s.findOrCreate(ctx, value, false)
		if err != nil {
			return err
		}
		if s.deps.Rewriter == nil {
			return fmt.Errorf("%w: this agent cuts no segments", topic.ErrConfig)
		}
		return s.deps.Rewriter.Rewrite(t.ID)
	}, nil
}

func slotsJSON(r cluster.Report) string {
	all := make([]slotJSON, len(r.Slots))
	for i, l := range r.Slots {
		all[i] = slotJSON{
			Slot: l.Slot, Leader: l.Node, Agent: l.Agent, Epoch: l.Epoch, Session: l.Session, Want: l.Want, From: l.From,
			State: l.State, StateMS: l.For.Milliseconds(), Unneeded: l.Unneeded,
		}
		if l.Partitions >= 0 {
			all[i].Partitions, all[i].BytesPerSec = &l.Partitions, &l.Bytes
		}
	}
	return encodeJSON(all)
}

func agentsJSON(r cluster.Report) string {
	controller := int32(-1)
	if len(r.Slots) > 0 {
		controller = r.Slots[0].Node
	}
	all := make([]agentJSON, len(r.Agents))
	for i, a := range r.Agents {
		all[i] = agentJSON{
			ID: a.ID, Agent: a.Name, Zone: a.Zone, Host: a.Host, Port: a.Port, Peer: a.Peer, HTTP: a.HTTP, Slots: a.Slots, State: "active",
			Session: a.Session, Since: time.UnixMilli(a.Started).UTC(), Controller: a.ID == controller,
		}
		if a.Quiet >= 0 {
			ms := a.Quiet.Milliseconds()
			all[i].QuietMS = &ms
		}
		switch {
		case a.Silent:
			all[i].State = "silent"
		case a.Closing:
			all[i].State = "stopping"
		case a.Draining && a.Slots == 0:
			all[i].State = "drained"
		case a.Draining:
			all[i].State = "draining"
		}
	}
	return encodeJSON(all)
}

// encodeJSON encodes what always can be.
func encodeJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "[]"
	}
	return string(b)
}

// operate does what an operator asks for by a change of a broker's configs. Their names are operatorConfigs.
func (s *Server) operate(ctx context.Context, name string, changes []topic.Change, validateOnly bool) (int16, *string) {
	for _, c := range changes {
		do, err := s.operation(name, c)
		if err == nil && !validateOnly {
			err = do(ctx)
		}
		if err != nil {
			return failure(err)
		}
	}
	return codeNone, nil
}

// operatorConfig reports whether a config of an agent is one that an operator changes while it runs.
func operatorConfig(name string) bool {
	return name == configDrain || name == configMove || name == configCompact
}

// operation returns what a change asks for.
func (s *Server) operation(name string, c topic.Change) (func(context.Context) error, error) {
	value := ""
	if c.Value != nil {
		value = *c.Value
	}
	unset := c.Op == topic.OpDelete || c.Op == topic.OpSet && c.Value == nil
	switch {
	case c.Op != topic.OpSet && c.Op != topic.OpDelete:
		return nil, fmt.Errorf("%w: %s is no list: set it", topic.ErrConfig, c.Name)
	case c.Name == configDrain:
		id, err := brokerID(name)
		if err != nil {
			return nil, fmt.Errorf("%w: %s is of one agent: %w", topic.ErrConfig, c.Name, err)
		}
		if !unset && value != "true" && value != "false" {
			return nil, fmt.Errorf("%w: %s is %.100q, want true or false", topic.ErrConfig, c.Name, value)
		}
		return func(ctx context.Context) error { return s.deps.Cluster.Drain(ctx, id, value == "true") }, nil
	case unset:
		return func(context.Context) error { return nil }, nil // moves and wishes are no state, there is nothing to take back
	case c.Name == configCompact:
		return s.compact(name, value)
	}
	number, agent, found := strings.Cut(value, ":")
	slot, err := strconv.Atoi(number)
	if !found || err != nil || agent == "" {
		return nil, fmt.Errorf("%w: %s is %.100q, want SLOT:AGENT, like 3:a1", topic.ErrConfig, c.Name, value)
	}
	return func(ctx context.Context) error { return s.deps.Cluster.Move(ctx, slot, agent) }, nil
}

// alterBroker changes configs of an agent, of all if name is empty: those of operators. The others are given when it starts.
func (s *Server) alterBroker(ctx context.Context, name string, changes []topic.Change, validateOnly bool) (int16, *string) {
	if _, err := brokerID(name); name != "" && err != nil {
		return refuse(codeInvalidRequest, "%v", err)
	}
	var asked []topic.Change
	for _, c := range changes {
		switch {
		case c.Op == topic.OpClear:
		case !operatorConfig(c.Name):
			return failure(topic.CheckBroker(c.Name))
		default:
			asked = append(asked, c)
		}
	}
	return s.operate(ctx, name, asked, validateOnly)
}
