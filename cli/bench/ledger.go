package bench

import "context"

// ledger adds up the counters of agents that end and start again under the same addresses: what they counted before counts on. What one
// counts between the last look and its end is lost.
type ledger struct {
	agents []Agent
	over   []Series // of the runs of each that have ended
	last   []Series // of the run that was seen last
}

// startTime tells the runs of a process apart.
const startTime = "process_start_time_seconds"

func newLedger(agents []Agent) *ledger {
	return &ledger{agents: agents, over: make([]Series, len(agents)), last: make([]Series, len(agents))}
}

// look reads the counters of the agents that answer; the others are seen the next time.
func (l *ledger) look(ctx context.Context) {
	for i, a := range l.agents {
		s, err := scrape(ctx, a)
		if err != nil {
			continue
		}
		if l.last[i] != nil && l.last[i][startTime] != s[startTime] {
			l.over[i] = l.over[i].plus(l.last[i])
		}
		l.last[i] = s
	}
}

// sum is what all have counted; nil if none was seen.
func (l *ledger) sum() (all Series) {
	for i := range l.agents {
		if l.last[i] != nil {
			all = all.plus(l.over[i]).plus(l.last[i])
		}
	}
	return all
}
