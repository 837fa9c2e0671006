package kafka

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Bytes that cross zones cost more than everything else a record costs, so they are counted: Produce requests in, Fetch answers out.
// A client tells its zone as client.rack in Fetch (KIP-392), or in its client id, where producers have no other place for it. Nothing is
// known of the others, and nothing is counted. Zones of agents are told apart; labels are never what a client chose.

// elsewhere is the zone of a client where no agent is.
const elsewhere = "other"

// zoneLink counts what crosses between this agent and the clients of one other zone.
type zoneLink struct{ produced, fetched prometheus.Counter }

// maxClientID is the longest client id that a zone is looked for in, and the longest zone that is kept for a connection, in bytes.
const maxClientID = 512

// heard notes the client id of a request, and the zone that it names. In the reader.
func (c *conn) heard(client []byte) {
	if len(client) > maxClientID || string(client) == c.named {
		return
	}
	c.named = string(client)
	c.inZone(zoneIn(c.named))
}

// inZone notes the zone that a client is in; empty: it did not say. In the reader.
func (c *conn) inZone(zone string) {
	if zone == "" || zone == c.zone || len(zone) > maxClientID {
		return
	}
	c.zone = strings.Clone(zone)
	v, mine := c.s.deps.Cluster.View(), ""
	if n, ok := v.Node(c.s.deps.Cluster.NodeID()); ok {
		mine = n.Zone
	}
	if mine == "" {
		return
	}
	theirs := elsewhere
	for i := range v.Nodes {
		if v.Nodes[i].Zone == zone {
			theirs = v.Nodes[i].Zone
		}
	}
	across := c.s.metrics.across
	if theirs == mine {
		across.WithLabelValues(elsewhere, mine, "produce") // 0: it is known, and none
		c.link.Store(nil)
		return
	}
	c.link.Store(&zoneLink{produced: across.WithLabelValues(theirs, mine, "produce"), fetched: across.WithLabelValues(mine, theirs, "fetch")})
}

// produced counts a Produce request of so many bytes.
func (c *conn) produced(bytes int64) {
	if l := c.link.Load(); l != nil {
		l.produced.Add(float64(bytes))
	}
}

// fetched counts the answer to a Fetch.
func (c *conn) fetched(bytes int64) {
	if l := c.link.Load(); l != nil {
		l.fetched.Add(float64(bytes))
	}
}

// zoneIn finds the zone that a client id names: KEY=ZONE among parts that commas, semicolons or spaces separate, with the keys that
// are in use with other logs on object storage: warpstream_az and ws_az, diskless_az and inkless_az, automq_az, or just zone or rack.
func zoneIn(client string) string {
	for part := range strings.FieldsFuncSeq(client, func(r rune) bool { return r == ',' || r == ';' || r == '&' || r == ' ' }) {
		key, zone, ok := strings.Cut(part, "=")
		if !ok || zone == "" {
			continue
		}
		switch {
		case strings.HasSuffix(key, "_az"), key == "az", key == "zone", key == "rack", key == "client.rack":
			return zone
		}
	}
	return ""
}
