package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
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
	return refuse(codeOf(err, codeUnknown), "%v", err)
}

// maxMessage is the longest message, in bytes: what it quotes is the client's, which has the names.
const maxMessage = 1000

// refuse is a code and a message made up here.
func refuse(code int16, format string, args ...any) (int16, *string) {
	text := fmt.Sprintf(format, args...)
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "..."
	}
	return code, &text
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
func (s *Server) brokerEntries(id int32, k *known) []topic.Entry {
	node := strconv.Itoa(int(id))
	facts := map[string]string{
		"broker.id": node, "node.id": node, "log.dirs": logDir, "process.roles": "broker,controller",
	}
	k.facts(id, facts)
	if n, ok := s.deps.Cluster.View().Node(id); ok {
		at := "PLAINTEXT://" + net.JoinHostPort(n.Host, strconv.Itoa(int(n.Port)))
		facts["listeners"], facts["advertised.listeners"], facts["broker.rack"] = at, at, n.Zone
	}
	entries := s.deps.Topics.Settings().Broker(facts)
	for i := range entries {
		entries[i].ReadOnly = !operatorConfig(entries[i].Name)
	}
	return entries
}

// resourceKey is what a resource is told apart by.
type resourceKey struct {
	kind kmsg.ConfigResourceType
	name string
}

// alterEach is what AlterConfigs and IncrementalAlterConfigs have in common: each resource is told about once, and one that
// the request names twice is not changed at all.
func alterEach[T any](list []T, key func(*T) resourceKey, alter func(*T) (int16, *string), tell func(resourceKey, int16, *string)) {
	twice, told := repeated(list, key), map[resourceKey]bool{}
	for i := range list {
		k := key(&list[i])
		if told[k] {
			continue
		}
		told[k] = true
		var code int16
		var msg *string
		if twice[k] {
			code, msg = refuse(codeInvalidRequest, "resource: %v", errDuplicate)
		} else {
			code, msg = alter(&list[i])
		}
		tell(k, code, msg)
	}
}

// alter changes configs of a resource. Topics and groups have configs that can be changed, and agents a few, see alterBroker.
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
		return s.alterBroker(ctx, r.name, changes, validateOnly)
	case kmsg.ConfigResourceTypeGroupConfig:
		return s.alterGroup(ctx, r.name, changes, validateOnly)
	case kmsg.ConfigResourceTypeBrokerLogger:
		return refuse(codeInvalidRequest, "the log level of an agent is given when it starts: --log-level LEVEL")
	default:
		return refuse(codeInvalidRequest, noSuchResource, r.kind)
	}
}

// errValidated ends a change that was to be looked at only.
var errValidated = errors.New("the change is possible")

// alterGroup changes configs of a group, which need not be there.
func (s *Server) alterGroup(ctx context.Context, name string, changes []topic.Change, validateOnly bool) (int16, *string) {
	err := s.deps.Groups.AlterConfigs(ctx, name, func(own map[string]string) (map[string]string, error) {
		next, err := s.deps.Topics.Settings().AlterGroup(own, changes)
		if err == nil && validateOnly {
			err = errValidated
		}
		return next, err
	})
	if errors.Is(err, errValidated) {
		err = nil
	}
	return failure(err)
}

// noSuchResource is said of kinds of resources without configs, and of numbers that are no kind.
const noSuchResource = "resource type %d has no configs here; topics (2), brokers (4), loggers (8) and groups (32) do"

// loggerEntries are the loggers of an agent: one, with the level of this agent, since all are started alike.
func (s *Server) loggerEntries(ctx context.Context) []topic.Entry {
	level := slog.LevelError
	for _, l := range []slog.Level{slog.LevelWarn, slog.LevelInfo, slog.LevelDebug} {
		if s.log.Enabled(ctx, l) {
			level = l
		}
	}
	return []topic.Entry{{
		Name: "root", Value: level.String(), Type: topic.TypeString, Source: topic.SourceLogger, ReadOnly: true,
		Doc: "Level of all that the agent logs, see --log-level.",
	}}
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
