package kafka

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

// What the APIs that change or describe topics and configs have in common.

const codeTopicDeletionDisabled int16 = 73

// adminTime is the longest that a change of topics may take, whatever the client asks for.
const adminTime = time.Minute

// withTimeout bounds ctx by the time-out of a request. A time-out that is not above 0 means the longest: Kafka would
// answer such a request before it has done it.
func withTimeout(ctx context.Context, millis int32) (context.Context, context.CancelFunc) {
	d := time.Duration(millis) * time.Millisecond
	if d <= 0 || d > adminTime {
		d = adminTime
	}
	return context.WithTimeout(ctx, d)
}

// failure is the code and the message of an error of the topic room.
func failure(err error) (int16, *string) {
	if err == nil {
		return codeNone, nil
	}
	return codeOf(err, codeUnknown), kmsg.StringPtr(err.Error())
}

// refuse is a code and a message made up here.
func refuse(code int16, format string, args ...any) (int16, *string) {
	return code, kmsg.StringPtr(fmt.Sprintf(format, args...))
}

// repeated returns those names that occur more than once.
func repeated[T any, K comparable](list []T, name func(*T) K) map[K]bool {
	times := make(map[K]int, len(list))
	for i := range list {
		times[name(&list[i])]++
	}
	twice := map[K]bool{}
	for n, k := range times {
		if k > 1 {
			twice[n] = true
		}
	}
	return twice
}

// brokerEntries are the configs of the agent with the given node id, sorted by name: what it was started with, as far as
// this agent knows, and what follows from what it is.
func (s *Server) brokerEntries(id int32) []topic.Entry {
	all := s.deps.Topics.Settings().Broker()
	fact := func(name string, typ topic.Type, value, doc string) {
		e := topic.Entry{Name: name, Value: value, Null: value == "", Type: typ, Source: topic.SourceBroker, ReadOnly: true, Doc: doc}
		if !e.Null {
			e.Synonyms = []topic.Synonym{{Name: name, Value: value, Source: topic.SourceBroker}}
		}
		all = append(all, e)
	}
	node := strconv.Itoa(int(id))
	fact("broker.id", topic.TypeInt, node, "Node id. It belongs to the agent's name.")
	fact("node.id", topic.TypeInt, node, "Node id. It belongs to the agent's name.")
	fact("log.dirs", topic.TypeString, logDir, "Agents have no directories.")
	fact("process.roles", topic.TypeList, "broker,controller", "Every agent does everything.")
	view := s.deps.Cluster.View()
	if n, ok := view.Node(id); ok {
		at := "PLAINTEXT://" + net.JoinHostPort(n.Host, strconv.Itoa(int(n.Port)))
		fact("listeners", topic.TypeString, at, "Where clients are told to connect.")
		fact("advertised.listeners", topic.TypeString, at, "Where clients are told to connect.")
		fact("broker.rack", topic.TypeString, n.Zone, "Availability zone.")
	}
	fact("varve.slots", topic.TypeString, s.slots(), "Who leads which slot, as this agent sees it: slot, node id or -1, epoch or -1.")
	slices.SortFunc(all, func(a, b topic.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// slots is the value of varve.slots.
func (s *Server) slots() string {
	type leader struct {
		Slot   int   `json:"slot"`
		Leader int32 `json:"leader"`
		Epoch  int32 `json:"epoch"`
	}
	view := s.deps.Cluster.View()
	list := make([]leader, len(view.Slots))
	for i, l := range view.Slots {
		list[i] = leader{i, l.Node, l.Epoch}
	}
	b, err := json.Marshal(list)
	if err != nil { // of numbers: cannot be
		return "[]"
	}
	return string(b)
}

// groupEntries are the configs of a group: nothing can be set on one yet, so they are the agent's defaults.
func (s *Server) groupEntries() []topic.Entry {
	var out []topic.Entry
	for _, name := range []string{"consumer.heartbeat.interval.ms", "consumer.session.timeout.ms"} {
		from := "group." + name
		for _, e := range s.deps.Topics.Settings().Broker() {
			if e.Name == from {
				e.Name = name
				out = append(out, e)
			}
		}
	}
	return out
}

// resourceKey is what a resource is told apart by.
type resourceKey struct {
	kind kmsg.ConfigResourceType
	name string
}

// alter changes configs of a resource; broker resources refuse every change, since their configs are given at a start.
func (s *Server) alter(ctx context.Context, r resourceKey, changes []topic.Change, validateOnly bool) (int16, *string) {
	seen := map[string]bool{}
	for _, c := range changes {
		if c.Op != topic.OpClear && seen[c.Name] {
			return refuse(codeInvalidRequest, "config %q is named twice", c.Name)
		}
		seen[c.Name] = seen[c.Name] || c.Op != topic.OpClear
	}
	switch r.kind {
	case kmsg.ConfigResourceTypeTopic:
		if err := topic.CheckName(r.name); err != nil {
			return failure(err)
		}
		_, err := s.deps.Topics.Alter(ctx, r.name, changes, validateOnly)
		return failure(err)
	case kmsg.ConfigResourceTypeBroker:
		if _, err := brokerID(r.name); r.name != "" && err != nil {
			return refuse(codeInvalidRequest, "%v", err)
		}
		for _, c := range changes {
			if c.Op != topic.OpClear {
				return refuse(codeInvalidRequest, "%v", topic.CheckBroker(c.Name))
			}
		}
		return codeNone, nil
	case kmsg.ConfigResourceTypeGroupConfig:
		return refuse(codeInvalidRequest, "configs of groups cannot be changed yet; start agents with --set group.consumer...=VALUE")
	}
	return refuse(codeInvalidRequest, "resource type %d has no configs here; topics (2), brokers (4) and groups (32) do", r.kind)
}

// brokerID parses the name of a broker resource.
func brokerID(name string) (int32, error) {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("broker resource %.100q is not a node id", name)
	}
	return int32(id), nil
}

// errDuplicate is said of names that a request has more than once.
var errDuplicate = errors.New("the request names it more than once")
