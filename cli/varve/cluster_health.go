package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/varvelog/varve/client"
)

// What takes longer than this is a trouble.
const (
	openingLong = 5 * time.Second
	movingLong  = 10 * time.Second
	keptLong    = 10 * time.Minute // sessions that hold nothing of a slot are let go of every minute
)

// trouble is something that somebody should look at.
type trouble struct{ about, text string }

func clusterHealthCommand() *command {
	var conn connection
	var format string
	return &command{
		name:  "health",
		short: "say whether the cluster is well: exit 0, or 1 and a line for each trouble",
		long: `Every agent is asked. A trouble is: an agent that does not answer, or whose heartbeat stands still; a slot that nobody leads, that
is being opened or moved for long, or that keeps the logs of sessions that hold nothing of it.`,
		options:  []*option{conn.option(), outputOption(&format)},
		examples: []string{"varve cluster health", "varve cluster health --output json"},
		run: func(ctx context.Context, w *world, _ []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				all, err := survey(ctx, c)
				if err != nil {
					return err
				}
				found := diagnose(all)
				l := listing{name: "troubles", columns: []column{{"ABOUT", "about"}, {"TROUBLE", "trouble"}}}
				for _, t := range found {
					l.rows = append(l.rows, []any{t.about, t.text})
				}
				err = document{fields: []docField{
					{"well", len(found) == 0}, {"agents", len(all[0].agents)}, {"slots", len(all[0].slots)},
				}, listings: []listing{l}}.print(w.out, format)
				if err == nil && len(found) > 0 {
					err = fmt.Errorf("the cluster is not well: %d troubles", len(found))
				}
				return err
			})
		},
	}
}

// diagnose finds what is wrong in what the agents say.
func diagnose(all []sight) (found []trouble) {
	for _, s := range all {
		if s.err != nil {
			why := s.err.Error()
			if errors.Is(s.err, context.DeadlineExceeded) {
				why = "within " + askTime.String()
			}
			found = append(found, trouble{agentAt(all, s.of), "does not answer: " + why})
		}
	}
	silent := map[int32]bool{}
	for _, s := range all {
		for _, a := range s.agents {
			if a.State == "silent" && !silent[a.ID] {
				silent[a.ID] = true
				quiet := time.Duration(0)
				if a.QuietMS != nil {
					quiet = time.Duration(*a.QuietMS) * time.Millisecond
				}
				found = append(found, trouble{"agent " + a.Agent, fmt.Sprintf("its heartbeat stands still for %v", quiet.Round(time.Second))})
			}
		}
	}
	var vacant []int
	for _, r := range merged(all) {
		about, in := "slot "+strconv.Itoa(r.Slot), time.Duration(r.StateMS)*time.Millisecond
		switch {
		case r.Leader < 0:
			vacant = append(vacant, r.Slot)
		case r.State == "opening" && in > openingLong:
			found = append(found, trouble{about, fmt.Sprintf("agent %s opens it for %v; see its log", r.Agent, in.Round(time.Second))})
		case r.State == "moving" && in > movingLong:
			found = append(found, trouble{about, fmt.Sprintf("agent %s hands it over to %s for %v; see its log", r.Agent, r.Want, in.Round(time.Second))})
		case r.Unneeded > 0 && in > keptLong:
			found = append(found, trouble{about, fmt.Sprintf("%d sessions are kept for it and hold nothing of it; see the log of agent %s", r.Unneeded, r.Agent)})
		}
	}
	if len(vacant) > 0 {
		found = append(found, trouble{"slots " + ranges(vacant), "nobody who lives leads them"})
	}
	return found
}

// agentAt names an agent, as far as somebody knows its name.
func agentAt(all []sight, of client.Agent) string {
	for _, a := range all[0].agents {
		if a.ID == of.ID {
			return "agent " + a.Agent
		}
	}
	return fmt.Sprintf("agent %d at %s:%d", of.ID, of.Host, of.Port)
}

// ranges writes ascending numbers shortly: 1,3-5.
func ranges(n []int) string {
	var parts []string
	for i := 0; i < len(n); {
		j := i
		for j+1 < len(n) && n[j+1] == n[j]+1 {
			j++
		}
		part := strconv.Itoa(n[i])
		if j > i {
			part += "-" + strconv.Itoa(n[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}
