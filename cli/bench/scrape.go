package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// Bounds of one look at an agent's counters.
const (
	scrapeTime  = 5 * time.Second
	scrapeBytes = 16 << 20
)

// Agent is one agent whose counters can be seen.
type Agent struct {
	HTTP  string // HOST:PORT of its HTTP side
	PID   int    // of its process, if it runs on this machine; 0: not known. Several agents may be one process
	Kafka string // HOST:PORT where clients are, if it has a Zone
	Zone  string // that it was told it is in; empty: zones are not told apart
}

// scrape reads an agent's counters.
func scrape(ctx context.Context, a Agent) (Series, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.HTTP+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read the counters of %s: %w", a.HTTP, err)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read the counters of %s: %w", a.HTTP, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the counters of %s: %s", a.HTTP, answer.Status)
	}
	s, err := ParseSeries(io.LimitReader(answer.Body, scrapeBytes))
	if err != nil {
		return nil, fmt.Errorf("read the counters of %s: %w", a.HTTP, err)
	}
	return s, nil
}

// sight is what was seen of all agents at one moment.
type sight struct {
	at          time.Time
	series      Series  // added up; nil: no agent can be seen
	user, sys   float64 // CPU seconds of the agents' processes
	split       bool    // user and sys are known
	client      float64 // CPU seconds of this process
	box         machineTimes
	acked, read int64 // records by then
}

// again reports whether an agent is of the same process as one before.
func again(before []Agent, a Agent) bool {
	return a.PID != 0 && slices.ContainsFunc(before, func(b Agent) bool { return b.PID == a.PID })
}

// look reads the counters of all agents. Its moment is the end, when those are known: agents that are short of processor time
// take seconds to answer.
func look(ctx context.Context, agents []Agent) (sight, error) {
	s := sight{split: len(agents) > 0}
	for i, a := range agents {
		one, err := scrape(ctx, a)
		if err != nil {
			return s, err
		}
		if again(agents[:i], a) { // what is the process's own was counted with another agent
			s.series = s.series.plus(one.without("process_", "go_"))
			continue
		}
		s.series = s.series.plus(one)
		user, sys, ok := cpuOf(a.PID)
		s.user, s.sys, s.split = s.user+user, s.sys+sys, s.split && ok
	}
	s.at, s.client, s.box = time.Now(), ownCPU(), readMachine()
	return s, nil
}
