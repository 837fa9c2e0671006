package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/client"
)

// compactConfig is the broker config through which an agent is asked for segments of a topic, and tells of them.
const compactConfig = "varve.compact"

// segmentCompact is the flags of "varve segment compact".
type segmentCompact struct {
	conn    connection
	now     bool
	timeout time.Duration
	format  string
}

func segmentCompactCommand() *command {
	s := &segmentCompact{timeout: 5 * time.Minute}
	return &command{
		name: "compact", args: "TOPIC", min: 1, max: 1,
		short: "have a topic's records cut into segments now, and wait for it",
		long: `Asks every agent to cut what its partitions of TOPIC hold into segments, up to the last stable offset, whatever the roll time says, and
waits until all that was there is in segments. It only moves records: no record is dropped. This is not what Kafka calls compaction, the
cleanup.policy of a topic. Agents do the same by themselves, see --segment-roll of "varve agent" and the topic's segment.ms; small segments
make reading slower. After a time-out agents go on, and to ask again only waits.`,
		options: []*option{
			s.conn.option(),
			optSwitch(&s.now, "now", "do it now, not when it is time; needed, for there is no other way to call it yet"),
			opt(&s.timeout, parseDuration, "timeout", "DURATION", "how long to wait"),
			outputOption(&s.format),
		},
		examples: []string{"varve segment compact orders --now", "varve segment compact orders --now --timeout 1h -o json"},
		run:      s.run,
	}
}

func (s *segmentCompact) run(ctx context.Context, w *world, args []string) error {
	if !s.now {
		return usagef("records go into segments when it is time for them; to have it done at once add --now")
	}
	return s.conn.with(ctx, func(c *client.Client) error {
		t, err := c.Topic(ctx, args[0])
		if err != nil {
			return err
		}
		begun := time.Now()
		run := compactRun{c: c, topic: t, began: map[int32]int64{}}
		stop := showProgress(w, false, run.String)
		ends, err := run.wait(ctx, s.timeout)
		stop()
		if err != nil {
			return err
		}
		return compactDocument(t, ends, time.Since(begun)).print(w.out, s.format)
	})
}

func compactDocument(t client.Topic, ends []compacted, took time.Duration) document {
	l := listing{name: "agents", columns: []column{{"AGENT", "agent"}, {"PARTITIONS", "partitions"}, {"SEGMENTS", "segments"}, {"BYTES", "bytes"}}}
	segments, bytes := 0, int64(0)
	for _, e := range ends {
		segments, bytes = segments+e.Segments, bytes+e.Bytes
		l.rows = append(l.rows, []any{e.agent, e.Partitions, e.Segments, e.Bytes})
	}
	return document{
		fields: []docField{
			{"topic", t.Name}, {"partitions", len(t.Partitions)}, {"segments", segments}, {"bytes", bytes}, {"seconds", took.Round(time.Millisecond).Seconds()},
		},
		listings: []listing{l},
	}
}

// compacted is what is used here of an element of varve.compact.
type compacted struct {
	ID         string  `json:"id"`
	AskedMS    int64   `json:"asked_ms"`
	Partitions int     `json:"partitions"`
	Left       int     `json:"left"`
	Some       []int32 `json:"left_partitions"`
	Segments   int     `json:"segments"`
	Bytes      int64   `json:"bytes"`
	agent      int32
	err        error // it did not answer, or refused
}

// compactRun is one wait for segments of a topic.
type compactRun struct {
	c     *client.Client
	topic client.Topic
	began map[int32]int64 // when each agent took note of the wish, by its clock
	state atomic.Pointer[string]
}

// String says how far it is.
func (r *compactRun) String() string {
	if s := r.state.Load(); s != nil {
		return *s
	}
	return "asking the agents"
}

// wait asks the agents, looks until all is done, and returns what each has done. An agent that knows of nothing, because it was started
// meanwhile, is asked then.
func (r *compactRun) wait(ctx context.Context, most time.Duration) ([]compacted, error) {
	begun := time.Now()
	for {
		cluster, err := r.c.Cluster(ctx)
		if err != nil {
			return nil, err
		}
		all := make([]compacted, len(cluster.Agents))
		var mu sync.Mutex // of began
		var wg sync.WaitGroup
		for i, a := range cluster.Agents {
			wg.Go(func() { all[i] = r.askAgent(ctx, a.ID, &mu) })
		}
		wg.Wait()
		if done, err := r.judge(ctx, all); done || err != nil {
			return all, err
		}
		if time.Since(begun) > most {
			return nil, fmt.Errorf("not done after %v: %s; the agents go on: ask again to wait longer, or look into their logs", most, r)
		}
		if err := pause(ctx, lookEvery); err != nil {
			return nil, err
		}
	}
}

// askAgent asks an agent, once, and returns how far it is.
func (r *compactRun) askAgent(ctx context.Context, agent int32, mu *sync.Mutex) (s compacted) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	mu.Lock()
	asked, known := r.began[agent]
	mu.Unlock()
	if known {
		if s, err := r.told(ctx, agent); err != nil || s.AskedMS >= asked {
			s.err = err
			return s
		}
	}
	if err := r.c.SetAgentConfig(ctx, agent, agent, compactConfig, r.topic.Name); err != nil {
		return compacted{agent: agent, err: err}
	}
	s, err := r.told(ctx, agent)
	s.err = err
	if err == nil && s.AskedMS > 0 {
		mu.Lock()
		r.began[agent] = s.AskedMS
		mu.Unlock()
	}
	return s
}

// told returns what an agent tells of the topic.
func (r *compactRun) told(ctx context.Context, agent int32) (compacted, error) {
	values, err := r.c.AgentConfigs(ctx, agent, compactConfig)
	if err != nil {
		return compacted{agent: agent}, err
	}
	var all []compacted
	if values[compactConfig] == "" {
		return compacted{agent: agent}, fmt.Errorf("agent %d has no config %s: %w", agent, compactConfig, errNotVarve)
	}
	if err := json.Unmarshal([]byte(values[compactConfig]), &all); err != nil {
		return compacted{agent: agent}, fmt.Errorf("read config %s: %w", compactConfig, err)
	}
	for _, s := range all {
		if s.ID == r.topic.ID {
			s.agent = agent
			return s, nil
		}
	}
	return compacted{agent: agent}, nil
}

// judge reports whether all is in segments. Every partition has to be served, by one agent. Error: there is no use in waiting.
func (r *compactRun) judge(ctx context.Context, all []compacted) (bool, error) {
	served, left, segments := 0, 0, 0
	var waits, some []string
	for _, s := range all {
		if errors.Is(s.err, errNotVarve) {
			return false, s.err
		}
		if s.err != nil {
			waits = append(waits, fmt.Sprintf("agent %d: %v", s.agent, s.err))
		}
		served, left, segments = served+s.Partitions, left+s.Left, segments+s.Segments
		for _, p := range s.Some {
			some = append(some, fmt.Sprint(p))
		}
	}
	total := len(r.topic.Partitions)
	text := fmt.Sprintf("%d of %d partitions left, %d segments cut", left, total, segments)
	if len(some) > 0 {
		text += ", left are " + strings.Join(some[:min(len(some), 10)], ", ")
	}
	if served != total {
		text += fmt.Sprintf("; agents serve %d partitions of %d", served, total)
	}
	if len(waits) > 0 {
		text += "; " + strings.Join(waits, "; ")
	}
	r.state.Store(&text)
	if len(waits) > 0 {
		t, err := r.c.Topic(ctx, r.topic.Name)
		if errors.Is(err, client.ErrUnknownTopic) || err == nil && t.ID != r.topic.ID {
			return false, fmt.Errorf("topic %q was deleted meanwhile", r.topic.Name)
		}
	}
	return served == total && left == 0 && len(waits) == 0, nil
}
