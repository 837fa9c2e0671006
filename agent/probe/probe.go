// Package probe finds out whether the two stores of an agent keep their contracts, before the agent joins. Stores that call
// themselves compatible take conditions, ranges and the like, and some ignore them.
//
// A probe shows what a store ignores; it cannot prove that a store is atomic. What the contract of objstore does not have is
// not probed: PUT under a condition, DELETE under a condition, checksums sent along, versions, expiry rules. Nothing in Varve
// rests on them.
//
// Objects lie under the key of objstore.Keys.Probe, items under records.ProbeKey, each with a UUID of its own; they are
// removed afterwards as far as the stores let them be.
//
// Goroutines: one for each check, and within a check one for each of the requests that race; Run waits for all.
package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore"
)

// ErrLies is matched by what contradicts a contract: do not use that store. It is no error of the moment.
var ErrLies = errors.New("breaks its contract")

// Config of a probe.
type Config struct {
	Cluster  records.Cluster
	Keys     objstore.Keys
	Patience time.Duration // bounds the probe, repetitions while a store throttles or does not answer included; 0: 15 s
}

const (
	defaultPatience = 15 * time.Second
	tidyTimeout     = 5 * time.Second // for the removal of what one try wrote
	firstPause      = 20 * time.Millisecond
	longestPause    = time.Second
	refusals        = 4 // in a row, until one is believed
)

// Finding is the result of one check.
type Finding struct {
	Check string // a word for metrics
	Fatal bool   // an agent must not run on a store that fails it
	Err   error  // nil: passed
}

// Undecided reports whether the store did not answer well enough to tell: it throttled, or requests timed out.
func (f Finding) Undecided() bool { return retryable(f.Err) }

// String is the finding for people.
func (f Finding) String() string {
	switch {
	case f.Err == nil:
		return f.Check + ": ok"
	case f.Undecided():
		return fmt.Sprintf("%s: could not be checked: %v", f.Check, f.Err)
	}
	return fmt.Sprintf("%s: %v", f.Check, f.Err)
}

// Report is the result of all checks, in a fixed order.
type Report struct {
	Findings []Finding
	Took     time.Duration
}

// Err returns why an agent must not start on these stores, in one line, or nil. What was undecided is no reason: a store
// that is slow or down is waited for by those who need it.
func (r Report) Err() error {
	var bad []error
	for _, f := range r.Findings {
		if f.Fatal && f.Err != nil && !f.Undecided() {
			bad = append(bad, fmt.Errorf("%s: %w", f.Check, f.Err))
		}
	}
	if bad == nil {
		return nil
	}
	return &refusal{bad}
}

// refusal joins findings in one line.
type refusal struct{ bad []error }

func (r *refusal) Error() string {
	words := make([]string, len(r.bad))
	for i, err := range r.bad {
		words[i] = err.Error()
	}
	advice := "give access to all that the contract needs (read, write, list, delete)"
	if errors.Is(r, ErrLies) {
		advice = "acked records would be lost on it: upgrade it, or use another store"
	}
	return "start refused by the probe of the stores: " + strings.Join(words, "; ") + "; " + advice
}

func (r *refusal) Unwrap() []error { return r.bad }

// checks are all checks. Each writes under a UUID of its own.
var checks = []struct {
	name  string
	fatal bool
	run   func(*try) error
}{
	{"metastore-create", true, oneCreatorWins},
	{"metastore-update", true, conditionsHold},
	{"metastore-transact", true, allOrNothing},
	{"store-bytes", true, bytesComeBack},
	{"store-list", false, listingSees},
}

// Run probes both stores, all checks at once. Its error is that ctx ended before.
func Run(ctx context.Context, cfg Config, objects objstore.Store, facts metastore.Store) (Report, error) {
	begun := time.Now()
	if cfg.Patience <= 0 {
		cfg.Patience = defaultPatience
	}
	bounded, cancel := context.WithTimeout(ctx, cfg.Patience)
	defer cancel()
	report := Report{Findings: make([]Finding, len(checks))}
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			err := patiently(bounded, func() error {
				t := &try{ctx: bounded, cfg: cfg, objects: objects, facts: facts, id: uuid.New()}
				defer t.tidy()
				return c.run(t)
			})
			report.Findings[i] = Finding{Check: c.name, Fatal: c.fatal, Err: err}
		})
	}
	wg.Wait()
	report.Took = time.Since(begun)
	return report, ctx.Err()
}

// patiently repeats a check with new keys while the store does not answer well enough to tell.
func patiently(ctx context.Context, do func() error) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := do()
		if !retryable(err) && (!refused(err) || try == refusals) {
			return err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return err
		}
		pause = min(2*pause, longestPause)
	}
}

// refused reports whether err is a refusal, which is believed when it came often enough: versitygw 1.8.0 refuses one of two
// PUTs that make the same folder at once.
func refused(err error) bool {
	return errors.Is(err, objstore.ErrRefused) || errors.Is(err, metastore.ErrRefused)
}

// retryable reports whether err says nothing about the store's honesty.
func retryable(err error) bool {
	again := objstore.Transient(err) || errors.Is(err, objstore.ErrCorrupt) || metastore.Transient(err)
	return again && !errors.Is(err, ErrLies)
}

// try is one run of one check.
type try struct {
	ctx     context.Context
	cfg     Config
	objects objstore.Store
	facts   metastore.Store
	id      uuid.UUID
	items   []metastore.Key
	wrote   bool // the object
}

// item returns the key of an item of this try, which tidy removes.
func (t *try) item(name string) metastore.Key {
	key := t.cfg.Cluster.ProbeKey(t.id, name)
	t.items = append(t.items, key)
	return key
}

// object returns the key of this try's object, which tidy removes.
func (t *try) object() string {
	t.wrote = true
	return t.cfg.Keys.Probe(t.id)
}

// tidy removes what was written, also after the context ended. What cannot be removed means nothing to anybody.
func (t *try) tidy() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), tidyTimeout)
	defer cancel()
	for _, key := range t.items {
		_, _ = t.facts.Write(ctx, metastore.Op{Kind: metastore.OpDelete, Key: key})
	}
	if t.wrote {
		_ = t.objects.Delete(ctx, t.cfg.Keys.Probe(t.id))
	}
}

// lies is an error that contradicts the contract. err is what the store said instead, or nil.
func lies(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if err == nil {
		return fmt.Errorf("%w: %s", ErrLies, what)
	}
	return fmt.Errorf("%w: %s (it says: %w)", ErrLies, what, err)
}
