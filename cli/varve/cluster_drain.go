package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/client"
)

// drainTime is how long a command waits for an agent to be relieved.
const drainTime = 5 * time.Minute

func clusterDrainCommand() *command {
	var conn connection
	var undo bool
	return &command{
		name: "drain", args: "AGENT", min: 1, max: 1,
		short: "relieve an agent of its slots, and wait until it leads none",
		long: `AGENT is a name or a node id. Its slots go to other agents, and it gets none until it is started anew or --undo takes the mark back.
The mark stands in the table, so it outlives the controller. To stop an agent no drain is needed: SIGTERM gives its slots away too.`,
		options:  []*option{conn.option(), optSwitch(&undo, "undo", "let the agent lead slots again")},
		examples: []string{"varve cluster drain a2", "varve cluster drain dev --undo"},
		run: func(ctx context.Context, w *world, args []string) error {
			return conn.with(ctx, func(c *client.Client) error { return drain(ctx, w, c, args[0], undo) })
		},
	}
}

func drain(ctx context.Context, w *world, c *client.Client, agent string, undo bool) error {
	all, err := survey(ctx, c)
	if err != nil {
		return err
	}
	a, err := agentNamed(all[0], agent)
	if err != nil {
		return err
	}
	ask := all[0].of
	if err := c.SetAgentConfig(ctx, ask.ID, a.ID, drainConfig, strconv.FormatBool(!undo)); err != nil {
		return err
	}
	if undo {
		return said(w, nil, false, "agent %q may lead slots", a.Agent)
	}
	var left atomic.Int64
	left.Store(int64(a.Slots))
	stop := showProgress(w, false, func() string { return fmt.Sprintf("%s leads %d slots of %d", a.Agent, left.Load(), a.Slots) })
	err = emptied(ctx, c, ask, a, &left)
	stop()
	return said(w, err, false, "agent %q leads no slot, and gets none until it is started anew", a.Agent)
}

// emptied waits until an agent leads nothing. left is how many slots it leads.
func emptied(ctx context.Context, c *client.Client, ask client.Agent, a agentRow, left *atomic.Int64) error {
	begun := time.Now()
	for {
		s := look(ctx, c, ask)
		if s.err == nil {
			now, err := agentNamed(s, a.Agent)
			if err != nil {
				return errors.New("the agent went away")
			}
			if left.Store(int64(now.Slots)); now.State == "drained" {
				return nil
			}
		}
		if time.Since(begun) > drainTime {
			return fmt.Errorf("agent %s still leads %d slots after %v; it stays marked: see the log of the controller, or take it back with --undo", a.Agent, left.Load(), drainTime)
		}
		if err := pause(ctx, lookEvery); err != nil {
			return err
		}
	}
}
