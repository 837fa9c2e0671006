package agent

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/group"
	"github.com/varvelog/varve/agent/topic"
)

// maxGroupBytes bounds what the members of a group say of themselves, and what their leader assigns.
const maxGroupBytes = 32 << 20

// groupConfig is what the broker configs say of groups.
func (s *session) groupConfig() group.Config {
	policy := strings.ToLower(s.settings.Text("group.consumer.migration.policy"))
	return group.Config{
		Cluster: s.cluster, Slots: s.member.Cluster().Slots,
		Bounds: group.Bounds{
			InitialDelay: s.settings.Millis("group.initial.rebalance.delay.ms"),
			MinSession:   s.settings.Millis("group.min.session.timeout.ms"), MaxSession: s.settings.Millis("group.max.session.timeout.ms"),
			MaxMembers: int(s.settings.Int("group.max.size")), MaxBytes: maxGroupBytes,
		},
		Consumer: s.adjust(nil, group.ConsumerBounds{MaxMembers: int(s.settings.Int("group.consumer.max.size")), MaxBytes: maxGroupBytes}),
		Adjust:   s.adjust,
		Migration: group.Migration{
			Upgrade:   policy == "bidirectional" || policy == "upgrade",
			Downgrade: policy == "bidirectional" || policy == "downgrade",
		},
		Topics:    (&catalogue{topics: s.topics}).get,
		Retention: time.Duration(min(s.settings.Int("offsets.retention.minutes"), 100*365*24*60)) * time.Minute, // a century is for ever
		Check:     s.settings.Millis("offsets.retention.check.interval.ms"),
	}
}

// adjust is b with what is set of a group; without, with the agent's settings.
func (s *session) adjust(own map[string]string, b group.ConsumerBounds) group.ConsumerBounds {
	b.Session = s.settings.GroupMillis(own, "consumer.session.timeout.ms")
	b.Heartbeat = s.settings.GroupMillis(own, "consumer.heartbeat.interval.ms")
	b.AssignInterval = s.settings.GroupMillis(own, "consumer.assignment.interval.ms")
	return b
}

// catalogue keeps the topics in the form that groups need, and makes it anew when they have changed.
type catalogue struct {
	topics *topic.Catalog
	made   atomic.Pointer[madeCatalogue]
	mu     sync.Mutex // of whoever makes one
}

// madeCatalogue is a catalogue of the topics as they were at changes.
type madeCatalogue struct {
	*group.Catalogue
	changes int64
	topics  []*topic.Topic
	at      time.Time     // when it was made
	took    time.Duration // to make
}

// makeShare is in what share of the time catalogues are made at most: that of many topics takes a while, and they may change all the time.
const makeShare = 10

// get returns the topics as they are now, or a moment ago.
func (c *catalogue) get(now bool) *group.Catalogue {
	m := c.made.Load()
	if m != nil && (m.changes == c.topics.Changes() || !now && time.Since(m.at) < makeShare*m.took) {
		return m.Catalogue
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m, n := c.made.Load(), c.topics.Changes()
	if m != nil && m.changes == n {
		return m.Catalogue
	}
	begun := time.Now()
	next := &madeCatalogue{changes: n, topics: c.topics.List()}
	switch put, gone := news(m, next.topics); {
	case m == nil:
		next.Catalogue = group.NewCatalogue(n, put)
	case len(put)+len(gone) == 0:
		next.Catalogue = m.Catalogue // only configs have changed
	default:
		next.Catalogue = m.With(n, put, gone)
	}
	next.at = time.Now()
	next.took = next.at.Sub(begun)
	c.made.Store(next)
	return next.Catalogue
}

// news compares two lists that are sorted by name.
func news(m *madeCatalogue, now []*topic.Topic) (put []group.TopicInfo, gone []string) {
	var was []*topic.Topic
	if m != nil {
		was = m.topics
	}
	for _, t := range now {
		for len(was) > 0 && was[0].Name < t.Name {
			gone, was = append(gone, was[0].Name), was[1:]
		}
		if len(was) > 0 && was[0].Name == t.Name {
			old := was[0]
			if was = was[1:]; old.ID == t.ID && old.Partitions() == t.Partitions() {
				continue
			}
		}
		put = append(put, group.TopicInfo{Name: t.Name, ID: t.ID, Partitions: t.Partitions()})
	}
	for _, t := range was {
		gone = append(gone, t.Name)
	}
	return put, gone
}

// dropTopic forgets a deleted topic: its partitions, and what groups committed for them.
func (s *session) dropTopic(id uuid.UUID) {
	s.parts.Drop(id)
	s.groups.DropTopic(id)
}
