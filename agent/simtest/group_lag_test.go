package simtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// TestGroupLagIsToldByItsCoordinator: how far a group is behind is told by the leader of its slot, and when that changes by the next one
// alone, though partitions have other leaders.
func TestGroupLagIsToldByItsCoordinator(t *testing.T) {
	script(t, func(s *clusterSim) {
		s.createTopic(zombieTopic, 70)
		z := &zombieGroup{s: s, adm: kadm.NewClient(s.client("q"))}
		z.settle()
		s.writeTo(zombieTopic, "lag", true) // ten to each of four partitions
		z.commit(0, 4)
		z.commit(1, 10)
		z.commit(69, 0)
		tells := func(want map[string]string) {
			t.Helper()
			time.Sleep(45 * time.Second) // it is measured every 30 s
			for name, p := range s.agents {
				if got := toldOf(t, p, z.name); got != want[name] {
					t.Errorf("agent %s tells %q, want %q", name, got, want[name])
				}
			}
		}
		tells(map[string]string{"a": "committed lately, lag_records wide 6, members 0"})
		s.move(z.slot, "b")
		z.commit(2, 9)
		tells(map[string]string{"b": "committed lately, lag_records wide 7, members 0"})
	})
}

// toldOf is what an agent's metrics tell of a group.
func toldOf(t *testing.T, p *process, group string) string {
	t.Helper()
	families, err := p.agent.Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range families {
		name, ours := strings.CutPrefix(f.GetName(), "varve_group_")
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			v := m.GetGauge().GetValue()
			switch {
			case !ours || labels["group"] != group:
			case name == "commit_age_seconds" && v >= 15 && v < 60:
				all = append(all, "committed lately")
			default:
				all = append(all, strings.Join(strings.Fields(fmt.Sprint(name, " ", labels["topic"], " ", v)), " "))
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
