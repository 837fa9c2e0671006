package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/varvelog/varve/client"
)

// slotsConfig is the broker config that tells who leads which slot: a JSON array with an object for each slot.
const slotsConfig = "varve.slots"

func clusterSlotsCommand() *command {
	var conn connection
	var format string
	return &command{
		name:     "slots",
		short:    "list the slots (units of leadership) and who leads them",
		options:  []*option{conn.option(), outputOption(&format)},
		examples: []string{"varve cluster slots", "varve cluster slots --output json"},
		run: func(ctx context.Context, w *world, _ []string) error {
			return conn.with(ctx, func(c *client.Client) error {
				id, err := new(agentChoice).any().pick(ctx, c)
				if err != nil {
					return err
				}
				settings, err := c.AgentSettings(ctx, id)
				if err != nil {
					return err
				}
				i := slices.IndexFunc(settings, func(s client.Setting) bool { return s.Name == slotsConfig })
				if i < 0 {
					return fmt.Errorf("this server has no config %s: is it Varve?", slotsConfig)
				}
				l, err := slotsListing(settings[i].Value)
				if err != nil {
					return err
				}
				return document{listings: []listing{l}}.print(w.out, format)
			})
		},
	}
}

// any makes pick choose.
func (a *agentChoice) any() *agentChoice {
	a.id = -1
	return a
}

// slotsListing turns the config's value into rows. Fields that this program does not know become columns too: an agent may
// be newer.
func slotsListing(value string) (listing, error) {
	var slots []map[string]any
	d := json.NewDecoder(strings.NewReader(value))
	d.UseNumber()
	if err := d.Decode(&slots); err != nil {
		return listing{}, fmt.Errorf("read config %s: %w", slotsConfig, err)
	}
	fields := map[string]bool{}
	for _, s := range slots {
		for f := range s {
			fields[f] = true
		}
	}
	names := slices.Sorted(maps.Keys(fields))
	if i := slices.Index(names, "slot"); i > 0 {
		names = slices.Concat([]string{"slot"}, names[:i], names[i+1:])
	}
	l := listing{name: "slots"}
	for _, n := range names {
		l.columns = append(l.columns, column{strings.ToUpper(n), n})
	}
	for _, s := range slots {
		row := make([]any, len(names))
		for i, n := range names {
			row[i] = s[n]
		}
		l.rows = append(l.rows, row)
	}
	return l, nil
}
