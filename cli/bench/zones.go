package bench

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Zones of a run are emulated: agents and clients are told where they are, and what goes from one zone to another takes longer (Far).
// Producers and readers are spread over the zones of the agents in turns.

// zones are those of the agents, in their order; none if they are not told apart.
func (t Target) zones() (all []string) {
	for _, a := range t.Agents {
		if a.Zone != "" && !slices.Contains(all, a.Zone) {
			all = append(all, a.Zone)
		}
	}
	return all
}

// zoneOf is the zone of the nth client of its kind; empty if zones are not told apart.
func (t Target) zoneOf(n int) string {
	all := t.zones()
	if len(all) == 0 {
		return ""
	}
	return all[n%len(all)]
}

// wire returns how a client in a zone reaches an agent.
func (t Target) wire(zone string) func(ctx context.Context, network, at string) (net.Conn, error) {
	return func(ctx context.Context, network, at string) (net.Conn, error) {
		d := net.Dialer{Timeout: leaderTime}
		conn, err := d.DialContext(ctx, network, at)
		if err != nil {
			return nil, err
		}
		for i, a := range t.Agents {
			if a.Kafka == at && a.Zone != zone {
				return Far(conn, uint64(i)), nil
			}
		}
		return conn, nil
	}
}

// balanceTime bounds the wait until agents that have just started lead their share.
const balanceTime = 90 * time.Second

// Balance returns once each agent leads as many slots as the others, or one more.
func (t Target) Balance(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, balanceTime)
	defer cancel()
	for {
		least, most := 1e9, 0.0
		for _, a := range t.Agents {
			s, err := scrape(ctx, a)
			if err != nil {
				return err
			}
			led, _ := s.Sum("varve_slots_led")
			least, most = min(least, led), max(most, led)
		}
		if most-least <= 1 && most > 0 {
			return nil
		}
		if !sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) {
			return fmt.Errorf("wait until each agent leads its share: one leads %v slots, one %v: %w", least, most, context.Cause(ctx))
		}
	}
}

// reportZones adds how long records took from each zone to each, and by how much readers were later than acknowledgements.
func (s *stage) reportZones(r *Report, t *tails) {
	zones := s.zones()
	if len(zones) < 2 {
		return
	}
	var within, across Histogram
	acked := make([]Histogram, len(zones)) // by the zone of the producer
	for _, p := range s.producers {
		acked[int(p.id)%len(zones)].Merge(&p.answers.ackIntended)
	}
	for to := range zones[:min(len(zones), len(t.all))] {
		for from := range zones {
			var one Histogram
			for i := to; i < len(t.all); i += len(zones) {
				one.Merge(&t.all[i].crossed[from])
			}
			if to == from {
				within.Merge(&one)
			} else {
				across.Merge(&one)
			}
			pair := zones[from] + "_to_" + zones[to]
			r.latency("consumed_"+pair, &one)
			s.later(r, "_"+pair, &one, &acked[from])
		}
	}
	r.latency("consumed_same_zone", &within)
	r.latency("consumed_other_zone", &across)
}

// crossings are the bytes that were counted between zones, by "from_to".
func crossings(d Series) (bytes map[string]float64, pairs []string) {
	bytes = map[string]float64{}
	for series, n := range d {
		if name, rest, _ := strings.Cut(series, "{"); name == "varve_xzone_bytes_total" {
			bytes[label(rest, "src")+"_to_"+label(rest, "dst")] += n
		}
	}
	for pair, n := range bytes {
		if n > 0 { // agents show a 0 to say that they know of zones
			pairs = append(pairs, pair)
		}
	}
	slices.Sort(pairs)
	return bytes, pairs
}

// label is the value of a label in what follows a series' name; empty if there is none.
func label(labels, name string) string {
	_, rest, _ := strings.Cut(labels, name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}
