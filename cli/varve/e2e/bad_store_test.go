//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// badStore is a pair of stores that fail on purpose, as the parameters of their URLs say. The rates are per request; an
// agent makes some 50 a second of each kind here.
type badStore struct {
	name           string
	objects, facts string
}

func badStores() []badStore {
	return []badStore{
		{"objects stall", "put.stall=0.05&put.stallfor=2s&get.stall=0.05&get.stallfor=1s", ""},
		{"objects answer 503 in bursts", "throttle=0.05&burst=700ms", ""},
		{"objects lose replies", "lost=0.3", ""},
		{"objects fail", "error=0.3&put.refuse=0.02", ""},
		{"objects come late and twice", "put.late=0.2&put.twice=0.2&latefor=400ms", ""},
		{"objects are slow", "delay=80ms&jitter=120ms&rate=1MiB", ""},
		{"facts lose replies", "", "lost=0.3"},
		{"facts lose replies, and something below repeats", "", "retry=0.5"},
		{"facts throttle in bursts", "", "throttle=0.05&burst=700ms"},
		{"facts conflict", "", "conflict=0.3"},
		{"facts come late and twice", "", "late=0.1&twice=0.2&latefor=300ms"},
		{"facts stall", "", "stall=0.03&stallfor=1500ms"},
		{"all at once", "error=0.05&lost=0.05&throttle=0.02&burst=200ms&put.twice=0.1&put.late=0.05&latefor=300ms&jitter=20ms",
			"error=0.05&lost=0.05&retry=0.05&conflict=0.05&throttle=0.02&burst=200ms&late=0.03&twice=0.05&latefor=300ms&jitter=5ms"},
	}
}

// TestBadStores: through whatever the stores do, an idempotent producer gets all its acknowledgements, and everything is
// there once and in order: while the agent runs, after kill -9 and a start on stores that still fail, and after a graceful
// stop on stores that work.
func TestBadStores(t *testing.T) {
	for _, b := range badStores() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			const partitions, enough = 3, 1500
			dir := t.TempDir()
			fast := []string{"--flush", "10ms", "--slots", "8"}
			a := onDisk(t, dir, b.objects, b.facts, fast...)
			a.start(t)
			if log := a.readLog(t); !strings.Contains(log, "fails on purpose") {
				t.Fatal("the log does not say that a store fails on purpose")
			}
			createTopic(t, a.addr, "t", partitions)
			l := startLoad(t, a.addr, "t", partitions)
			await(t, "acknowledgements", func() bool { return l.count() > enough })
			a.kill(t)
			a.start(t)
			before := l.count()
			await(t, "acknowledgements after kill -9", func() bool { return l.count() > before+enough })
			l.finish(t)
			l.check(t, a.addr, "t")
			a.kill(t)
			well := onDisk(t, dir, "", "", fast...)
			well.start(t)
			l.check(t, well.addr, "t")
			well.stop(t)
			well.start(t)
			l.check(t, well.addr, "t")
			a.checkCalm(t)
			t.Logf("%d records", l.count())
		})
	}
}
