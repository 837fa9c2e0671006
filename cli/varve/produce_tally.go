package main

import (
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// tally counts what became of the records of "varve produce". It is called from the client's goroutines.
type tally struct {
	w      *world
	report bool

	mu      sync.Mutex
	written int
	lost    int
	first   error // why the first of the lost was not written
	output  error // of printing the report
}

func newTally(w *world, report bool) *tally { return &tally{w: w, report: report} }

// done is the callback of a write.
func (t *tally) done(r *kgo.Record, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.lost++
		if t.first == nil {
			t.first = err
		}
		return
	}
	t.written++
	if t.report && t.output == nil {
		t.output = printLine(t.w.out, object{{"topic", r.Topic}, {"partition", r.Partition}, {"offset", r.Offset}})
	}
}

func (t *tally) failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost > 0 || t.output != nil
}

// result is nil if every record was written.
func (t *tally) result() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost > 0 {
		return fmt.Errorf("%d records written, %d not: %w", t.written, t.lost, t.first)
	}
	return t.output
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d records written", t.written)
}
