package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/varvelog/varve/client"
)

// The broker configs that tell of slots and agents, and through which slots move.
const (
	slotsConfig  = "varve.slots"
	agentsConfig = "varve.agents"
	drainConfig  = "varve.drain"
	moveConfig   = "varve.move"
)

// askTime bounds how long one agent may take to tell what it knows.
const askTime = 2 * time.Second

// errNotVarve: the server does not have the configs that tell of slots and agents.
var errNotVarve = errors.New("is it Varve?")

// slotRow is what is used here of an element of varve.slots; fields has all of it.
type slotRow struct {
	Slot     int    `json:"slot"`
	Leader   int32  `json:"leader"`
	Agent    string `json:"agent"`
	Want     string `json:"want"`
	State    string `json:"state"`
	StateMS  int64  `json:"state_ms"`
	Unneeded int    `json:"unneeded"`
	fields   object
}

// agentRow is what is used here of an element of varve.agents; fields has all of it.
type agentRow struct {
	ID      int32  `json:"id"`
	Agent   string `json:"agent"`
	Slots   int    `json:"slots"`
	State   string `json:"state"`
	QuietMS *int64 `json:"quiet_ms"`
	fields  object
}

// sight is the cluster as one agent sees it.
type sight struct {
	of     client.Agent
	err    error // it did not answer, and why
	slots  []slotRow
	agents []agentRow
}

// look asks one agent. An agent that does not answer in askTime is not waited for.
func look(ctx context.Context, c *client.Client, of client.Agent) sight {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	seen := make(chan sight, 1)
	go func() {
		s := sight{of: of}
		var values map[string]string
		if values, s.err = c.AgentConfigs(ctx, of.ID, slotsConfig, agentsConfig); s.err == nil {
			s.slots, s.agents, s.err = parseSight(values)
		}
		seen <- s
	}()
	select {
	case s := <-seen:
		return s
	case <-ctx.Done(): // not every step of a request heeds it
		return sight{of: of, err: ctx.Err()}
	}
}

func parseSight(values map[string]string) (slots []slotRow, agents []agentRow, err error) {
	if values[slotsConfig] == "" || values[agentsConfig] == "" {
		return nil, nil, fmt.Errorf("this server has no configs %s and %s: %w", slotsConfig, agentsConfig, errNotVarve)
	}
	err = parseRows(slotsConfig, values[slotsConfig], &slots, func(i int, o object) { slots[i].fields = o })
	if err == nil {
		err = parseRows(agentsConfig, values[agentsConfig], &agents, func(i int, o object) { agents[i].fields = o })
	}
	return slots, agents, err
}

// parseRows parses a JSON array of objects, once as rows and once with all fields, in their order.
func parseRows(name, text string, rows any, keep func(int, object)) error {
	var all []json.RawMessage
	err := errors.Join(json.Unmarshal([]byte(text), rows), json.Unmarshal([]byte(text), &all))
	for i := 0; err == nil && i < len(all); i++ {
		var o object
		if o, err = parseObject(all[i]); err == nil {
			keep(i, o)
		}
	}
	if err != nil {
		return fmt.Errorf("read config %s: %w", name, err)
	}
	return nil
}

// parseObject parses a JSON object whose values need not be known: an agent may be newer than this program.
func parseObject(text []byte) (o object, err error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		o = append(o, docField{key.(string), v})
	}
	return o, nil
}

// survey asks every agent at once. The first of the sights that it returns is of an agent that answered; error: none did.
func survey(ctx context.Context, c *client.Client) ([]sight, error) {
	cluster, err := c.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]sight, len(cluster.Agents))
	var wg sync.WaitGroup
	for i, a := range cluster.Agents {
		wg.Go(func() { all[i] = look(ctx, c, a) })
	}
	wg.Wait()
	slices.SortStableFunc(all, func(a, b sight) int { return rankOf(a, cluster.Controller) - rankOf(b, cluster.Controller) })
	if len(all) == 0 {
		return nil, errors.New("the cluster names no agents")
	}
	return all, all[0].err
}

// rankOf sorts the controller first, and those that did not answer last.
func rankOf(s sight, controller int32) int {
	switch {
	case s.err != nil:
		return 2
	case s.of.ID != controller:
		return 1
	}
	return 0
}

// merged are the slots as the first sight has them, each as its leader tells of it, if it did.
func merged(all []sight) []slotRow {
	slots := slices.Clone(all[0].slots)
	for _, s := range all {
		for i := range s.slots {
			if r := &s.slots[i]; r.State != "" && r.Leader == s.of.ID && r.Slot < len(slots) {
				slots[r.Slot] = *r
			}
		}
	}
	return slots
}

// agentNamed finds an agent by its name, or else by its node id.
func agentNamed(s sight, name string) (agentRow, error) {
	var names []string
	for _, a := range s.agents {
		if a.Agent == name {
			return a, nil
		}
		names = append(names, a.Agent)
	}
	for _, a := range s.agents {
		if strconv.Itoa(int(a.ID)) == name {
			return a, nil
		}
	}
	return agentRow{}, fmt.Errorf("there is no agent %q; there are %s", name, strings.Join(names, ", "))
}

// listingOf makes rows of objects. Columns come first as the first object has them, then what others have besides.
func listingOf(name string, rows []object) listing {
	l := listing{name: name}
	at := map[string]int{}
	for _, o := range rows {
		for _, f := range o {
			if _, known := at[f.name]; !known {
				at[f.name] = len(l.columns)
				l.columns = append(l.columns, column{strings.ToUpper(strings.ReplaceAll(f.name, "_", "-")), f.name})
			}
		}
	}
	for _, o := range rows {
		row := make([]any, len(l.columns))
		for _, f := range o {
			row[at[f.name]] = f.value
		}
		l.rows = append(l.rows, row)
	}
	return l
}
