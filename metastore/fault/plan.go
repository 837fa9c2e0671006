package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/varvelog/varve/metastore"
)

// Op is a method of metastore.Store.
type Op uint8

// The methods.
const (
	Get Op = iota
	Query
	Write
	Transact
	numOps
)

// String is the name of op, as in ParsePlan.
func (op Op) String() string {
	if op >= numOps {
		return fmt.Sprint("op ", uint8(op))
	}
	return [...]string{"get", "query", "write", "transact"}[op]
}

// Call is what the hook is told of a call. It must not change it.
type Call struct {
	Op          Op
	Key         metastore.Key         // Get; the first key of Write and Transact; PK alone for Query
	Ops         []metastore.Op        // Write (one), Transact
	Query       metastore.Query       // Query
	Consistency metastore.Consistency // Get, Query
	Purpose     metastore.Purpose
}

// What an Action does with a call. "Writes" are Write and Transact.
type What uint8

// The things that can happen. Where an operation is not named, all of them take it; one that does not suit does nothing.
const (
	Draw       What = iota // the zero value: let the rates decide
	Pass                   // no fault, whatever the rates say
	Fail                   // return Err without effect
	Lose                   // have the effect, then return ErrUnknown whatever came of it
	Retry                  // writes: the reply is lost and a client below the caller repeats the call: return the second answer
	Late                   // writes: return ErrUnknown now, have the effect After later, also if the context ended
	Twice                  // writes: have the effect now and once more After later
	Stale                  // eventual Get and Query: return an old version, if one was seen
	Short                  // Query: at most one row
	CrashFirst             // Crash(true) without effect
	CrashAfter             // have the effect, then Crash(true)
)

// Action is what happens to one call.
type Action struct {
	Do    What
	Delay time.Duration // before anything else; with Draw beside the delay that the rates say
	Err   error         // Fail; nil means ErrUnknown
	After time.Duration // Late, Twice
}

// Plan says which faults happen. The zero Plan has none.
type Plan struct {
	Seed uint64
	// Rates are by Op.
	Rates [numOps]Rates
	// Burst is for how long every call is throttled after one was by chance; 0 throttles that one alone.
	Burst time.Duration
	// Hook is asked before each call, from the calling goroutine, without a lock held. Nil asks nobody.
	Hook func(Call) Action
}

// Rates are the faults of one operation. Probabilities are in [0, 1]; those that do not suit an operation do nothing.
type Rates struct {
	Delay, Jitter time.Duration // each call sleeps Delay and up to Jitter more
	Stall         float64       // probability that a call sleeps StallFor as well
	StallFor      time.Duration
	Throttle      float64 // ErrThrottled
	Conflict      float64 // writes: ErrConflict
	Refuse        float64 // ErrRefused
	Error         float64 // ErrUnknown, without effect
	Lost          float64 // Lose
	Retry         float64 // Retry
	Late          float64 // Late, up to LateFor
	Twice         float64 // Twice, up to LateFor
	LateFor       time.Duration
	Stale         float64 // Stale
	Short         float64 // Short
}

// All returns rates that are the same for every operation.
func All(r Rates) [numOps]Rates { return [numOps]Rates{r, r, r, r} }

// act decides about one call.
func (s *Store) act(c Call) Action {
	s.mu.Lock()
	hook := s.mu.plan.Hook
	s.mu.Unlock()
	var act Action
	if hook != nil {
		act = hook(c)
	}
	if act.Do == Draw {
		s.mu.Lock()
		drawn := draw(s.mu.rng, s.mu.plan.Rates[c.Op], c.Op == Write || c.Op == Transact)
		s.mu.Unlock()
		drawn.Delay += act.Delay
		act = s.throttle(drawn)
	}
	if act.Do == Fail && act.Err == nil {
		act.Err = fmt.Errorf("%w: injected: %s %s failed", metastore.ErrUnknown, c.Op, c.Key)
	}
	return act
}

// throttle starts a burst if act does, and applies one that runs.
func (s *Store) throttle(act Action) Action {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if errors.Is(act.Err, metastore.ErrThrottled) && s.mu.plan.Burst > 0 && now.After(s.mu.burst) {
		s.mu.burst = now.Add(s.mu.plan.Burst)
	}
	if now.Before(s.mu.burst) {
		act.Do, act.Err = Fail, errThrottled
	}
	return act
}

var (
	errThrottled = fmt.Errorf("%w: injected", metastore.ErrThrottled)
	errConflict  = fmt.Errorf("%w: injected", metastore.ErrConflict)
	errRefused   = fmt.Errorf("%w: injected", metastore.ErrRefused)
)

// draw throws dice once for each fault, always as many, so that one rate does not shift what another one draws.
func draw(rng *rand.Rand, r Rates, write bool) (act Action) {
	upTo := func(d time.Duration) time.Duration { return time.Duration(rng.Float64() * float64(d)) }
	act.Delay = r.Delay + upTo(r.Jitter)
	after := upTo(r.LateFor)
	if rng.Float64() < r.Stall {
		act.Delay += r.StallFor
	}
	if !write {
		r.Conflict = 0
	}
	// The first hit wins.
	for _, f := range []struct {
		p   float64
		act Action
	}{
		{r.Throttle, Action{Do: Fail, Err: errThrottled}},
		{r.Conflict, Action{Do: Fail, Err: errConflict}},
		{r.Refuse, Action{Do: Fail, Err: errRefused}},
		{r.Error, Action{Do: Fail}},
		{r.Lost, Action{Do: Lose}},
		{r.Retry, Action{Do: Retry}},
		{r.Late, Action{Do: Late, After: after}},
		{r.Twice, Action{Do: Twice, After: after}},
		{r.Stale, Action{Do: Stale}},
		{r.Short, Action{Do: Short}},
	} {
		if hit := rng.Float64() < f.p; hit && act.Do == Draw {
			delay := act.Delay
			act = f.act
			act.Delay = delay
		}
	}
	return act
}

// ParsePlan reads a plan from the parameters of a URL, as in fault+bolt:///file?delay=4ms&jitter=6ms&lost=0.01&seed=7.
//
//	seed=N            of the random source (default 1)
//	burst=DURATION    how long throttling lasts once it starts
//	delay, jitter     durations
//	stall, throttle, conflict, refuse, error, lost, retry, late, twice, stale, short    probabilities in [0, 1]
//	stallfor, latefor durations (default 10s)
//
// A parameter with "get.", "query.", "write." or "transact." in front counts for that operation alone and wins over the
// plain one. A parameter that is not in this list is an error.
func ParsePlan(v url.Values) (Plan, error) {
	p := Plan{Seed: 1, Rates: All(Rates{StallFor: 10 * time.Second, LateFor: 10 * time.Second})}
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	// Plain names first, so that those for one operation win; then by name, so that the error is always the same.
	slices.SortFunc(names, func(a, b string) int {
		if d := strings.Count(a, ".") - strings.Count(b, "."); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		if err := p.set(name, v.Get(name)); err != nil {
			return Plan{}, fmt.Errorf("parameter %s=%s: %w", name, v.Get(name), err)
		}
	}
	return p, nil
}

func (p *Plan) set(name, value string) (err error) {
	switch name {
	case "seed":
		p.Seed, err = strconv.ParseUint(value, 10, 64)
		return err
	case "burst":
		return setDuration(&p.Burst, value)
	}
	op, field, one := strings.Cut(name, ".")
	if !one {
		field = name
	}
	known := false
	for i := range p.Rates {
		if one && Op(i).String() != op {
			continue
		}
		known = true
		if err := p.Rates[i].set(field, value); err != nil {
			return err
		}
	}
	if !known {
		return errors.New("no such operation")
	}
	return nil
}

func (r *Rates) set(field, value string) error {
	durations := map[string]*time.Duration{
		"delay": &r.Delay, "jitter": &r.Jitter, "stallfor": &r.StallFor, "latefor": &r.LateFor,
	}
	if d, ok := durations[field]; ok {
		return setDuration(d, value)
	}
	rates := map[string]*float64{
		"stall": &r.Stall, "throttle": &r.Throttle, "conflict": &r.Conflict, "refuse": &r.Refuse, "error": &r.Error,
		"lost": &r.Lost, "retry": &r.Retry, "late": &r.Late, "twice": &r.Twice, "stale": &r.Stale, "short": &r.Short,
	}
	f, ok := rates[field]
	if !ok {
		return errors.New("no such fault")
	}
	n, err := strconv.ParseFloat(value, 64)
	if err == nil && !(n >= 0 && n <= 1) {
		err = errors.New("not a probability from 0 to 1")
	}
	*f = n
	return err
}

func setDuration(d *time.Duration, value string) error {
	n, err := time.ParseDuration(value)
	if err == nil && n < 0 {
		err = errors.New("a negative duration")
	}
	*d = n
	return err
}
