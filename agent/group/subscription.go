// Pure.

package group

import (
	"encoding/binary"

	"github.com/google/uuid"
)

// subscriptions returns the topics that members read, which is known of groups of type "consumer" alone. ErrNotEmpty: the group has
// members of another type, or that say something else.
func (g *Classic) subscriptions() (map[string]bool, error) {
	read := map[string]bool{}
	for _, id := range g.order {
		m := g.members[id]
		if g.kind != "consumer" || len(m.protocols) == 0 {
			return nil, ErrNotEmpty
		}
		for _, p := range m.protocols {
			topics, ok := parseSubscription(p.Metadata)
			if !ok {
				return nil, ErrNotEmpty
			}
			for _, t := range topics {
				read[t] = true
			}
		}
	}
	return read, nil
}

// unread is of groups of type "consumer" alone, and not while they rebalance: members may be about to say that they read more. As in
// Kafka (KIP-211).
func (g *Classic) unread(topics *Catalogue) func(uuid.UUID) bool {
	if g.state != Stable {
		return nil
	}
	read, err := g.subscriptions()
	if err != nil {
		return nil
	}
	return func(id uuid.UUID) bool {
		t, known := topics.ids[id]
		return known && !read[t.Name]
	}
}

// parseSubscription reads the beginning of what a consumer says of itself (ConsumerProtocolSubscription): version int16, then an array
// of strings, each with an int16 of its length.
func parseSubscription(b []byte) (topics []string, ok bool) {
	if len(b) < 6 || int16(binary.BigEndian.Uint16(b)) < 0 {
		return nil, false
	}
	n := int32(binary.BigEndian.Uint32(b[2:]))
	b = b[6:]
	if n < 0 || int(n) > len(b)/2 {
		return nil, false
	}
	for range n {
		if len(b) < 2 {
			return nil, false
		}
		size := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; size > len(b) {
			return nil, false
		}
		topics = append(topics, string(b[:size]))
		b = b[size:]
	}
	return topics, true
}
