package agent

import (
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/agent/group"
)

// maxGroupBytes bounds what the members of a group say of themselves, and what their leader assigns.
const maxGroupBytes = 32 << 20

// groupConfig is what the broker configs say of groups.
func (s *session) groupConfig() group.Config {
	return group.Config{
		Cluster: s.cluster, Slots: s.member.Cluster().Slots,
		Bounds: group.Bounds{
			InitialDelay: s.settings.Millis("group.initial.rebalance.delay.ms"),
			MinSession:   s.settings.Millis("group.min.session.timeout.ms"), MaxSession: s.settings.Millis("group.max.session.timeout.ms"),
			MaxMembers: int(s.settings.Int("group.max.size")), MaxBytes: maxGroupBytes,
		},
		Retention: time.Duration(min(s.settings.Int("offsets.retention.minutes"), 100*365*24*60)) * time.Minute, // a century is for ever
		Check:     s.settings.Millis("offsets.retention.check.interval.ms"),
	}
}

// dropTopic forgets a deleted topic: its partitions, and what groups committed for them.
func (s *session) dropTopic(id uuid.UUID) {
	s.parts.Drop(id)
	s.groups.DropTopic(id)
}
