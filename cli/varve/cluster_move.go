package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/varvelog/varve/client"
)

// How long a command waits for slots to move, and how often it looks.
const (
	moveTime  = 45 * time.Second // a leader that can't hand a slot over says so after 10 s, the controller after 30
	lookEvery = 100 * time.Millisecond
	askEvery  = 5 * time.Second
)

func clusterMoveCommand() *command {
	var conn connection
	return &command{
		name: "move", args: "SLOT AGENT", min: 2, max: 2,
		short: "have an agent lead a slot, and wait until it does",
		long: `AGENT is a name or a node id. The slot's leader hands it over; clients notice a short wait. The controller goes on to even out what
agents lead, once a minute: what makes one agent lead much more than others may not stay.`,
		options:  []*option{conn.option()},
		examples: []string{"varve cluster move 3 dev", "varve cluster move 0 a2 --bootstrap 10.0.0.1:9092"},
		run: func(ctx context.Context, w *world, args []string) error {
			slot, err := strconv.Atoi(args[0])
			if err != nil || slot < 0 {
				return usagef("SLOT is %q, want a number from 0 on", args[0])
			}
			return conn.with(ctx, func(c *client.Client) error { return move(ctx, w, c, slot, args[1]) })
		},
	}
}

func move(ctx context.Context, w *world, c *client.Client, slot int, agent string) error {
	all, err := survey(ctx, c)
	if err != nil {
		return err
	}
	to, err := agentNamed(all[0], agent)
	if err != nil {
		return err
	}
	if slot >= len(all[0].slots) {
		return fmt.Errorf("there is no slot %d; they are 0 to %d", slot, len(all[0].slots)-1)
	}
	from := merged(all)[slot].Agent
	begun, asked := time.Now(), time.Time{}
	for {
		if time.Since(asked) > askEvery { // it is taken back if the controller has not heard of the agent yet
			if err := c.SetAgentConfig(ctx, all[0].of.ID, -1, moveConfig, fmt.Sprintf("%d:%s", slot, to.Agent)); err != nil {
				return err
			}
			asked = time.Now()
		}
		s := look(ctx, c, client.Agent{ID: to.ID})
		if s.err == nil && slot < len(s.slots) && s.slots[slot].Leader == to.ID && s.slots[slot].State == "open" {
			return said(w, nil, false, "agent %q leads slot %d; it may not stay, if that is far from even", to.Agent, slot)
		}
		if time.Since(begun) > moveTime {
			return fmt.Errorf("agent %s does not lead slot %d after %v: see the logs of %s and %s", to.Agent, slot, moveTime, from, to.Agent)
		}
		if err := pause(ctx, lookEvery); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
