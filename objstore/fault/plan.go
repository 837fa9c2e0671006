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

	"github.com/dustin/go-humanize"

	"github.com/varvelog/varve/objstore"
)

// Op is a method of objstore.Store.
type Op uint8

// The methods.
const (
	Put Op = iota
	Get
	List
	Delete
	numOps
)

func (op Op) String() string {
	if op >= numOps {
		return fmt.Sprint("op ", uint8(op))
	}
	return [...]string{"put", "get", "list", "delete"}[op]
}

// What an Action does with a call.
type What uint8

// The things that can happen. Where an operation is not named, all of them take it.
const (
	Draw    What = iota // the zero value: let the rates decide
	Pass                // no fault, whatever the rates say
	Fail                // return Err without effect
	Lose                // have the effect, then return ErrUnknown
	Late                // Put, Delete: return ErrUnknown now, have the effect After later, also if the context ended
	Twice               // Put, Delete: have the effect now and once more After later
	Flip                // Get: flip one bit of the body
	Partial             // Delete: remove Keys keys (0: some), return a *DeleteError for the others
)

// Action is what happens to one call.
type Action struct {
	Do    What
	Delay time.Duration // before anything else; with Draw beside the delay that the rates say
	Err   error         // Fail; nil means ErrUnknown
	After time.Duration // Late, Twice
	Keys  int           // Partial
}

// Plan says which faults happen. The zero Plan has none.
type Plan struct {
	Seed uint64
	// Rates are by Op.
	Rates [numOps]Rates
	// Bandwidth is how many bytes a second all Puts together get; 0 is no limit.
	Bandwidth int64
	// Burst is for how long every call is throttled after one was by chance; 0 throttles that one alone.
	Burst time.Duration
	// Hook is asked before each call, from the calling goroutine, without a lock held. A Delete and a List are asked about
	// their first key and their prefix. Nil asks nobody.
	Hook func(op Op, key string) Action
}

// Rates are the faults of one operation. Probabilities are in [0, 1]; those that do not suit an operation do nothing.
type Rates struct {
	Delay, Jitter time.Duration // each call sleeps Delay and up to Jitter more
	Stall         float64       // probability that a call sleeps StallFor as well
	StallFor      time.Duration
	Throttle      float64 // ErrThrottled
	Refuse        float64 // ErrRefused
	Error         float64 // ErrUnknown, without effect
	Lost          float64 // Lose
	Late          float64 // Late, up to LateFor
	Twice         float64 // Twice, up to LateFor
	LateFor       time.Duration
	Flip          float64 // Flip
	Partial       float64 // Partial
}

// All returns rates that are the same for every operation.
func All(r Rates) [numOps]Rates { return [numOps]Rates{r, r, r, r} }

// act decides about one call.
func (s *Store) act(op Op, key string) Action {
	s.mu.Lock()
	hook := s.mu.plan.Hook
	s.mu.Unlock()
	var act Action
	if hook != nil {
		act = hook(op, key)
	}
	if act.Do == Draw {
		s.mu.Lock()
		drawn := draw(s.mu.rng, s.mu.plan.Rates[op])
		s.mu.Unlock()
		drawn.Delay += act.Delay
		act = s.throttle(drawn)
	}
	if act.Do == Fail && act.Err == nil {
		act.Err = fmt.Errorf("%w: injected: %s %q failed", objstore.ErrUnknown, op, key)
	}
	return act
}

// throttle starts a burst if act does, and applies one that runs.
func (s *Store) throttle(act Action) Action {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if errors.Is(act.Err, objstore.ErrThrottled) && s.mu.plan.Burst > 0 && now.After(s.mu.burst) {
		s.mu.burst = now.Add(s.mu.plan.Burst)
	}
	if now.Before(s.mu.burst) {
		act.Do, act.Err = Fail, errThrottled
	}
	return act
}

var (
	errThrottled = fmt.Errorf("%w: injected", objstore.ErrThrottled)
	errRefused   = fmt.Errorf("%w: injected", objstore.ErrRefused)
)

// draw throws dice once for each fault, always as many, so that one rate does not shift what another one draws.
func draw(rng *rand.Rand, r Rates) (act Action) {
	hit := func(p float64) bool { return rng.Float64() < p }
	upTo := func(d time.Duration) time.Duration { return time.Duration(rng.Float64() * float64(d)) }
	act.Delay = r.Delay + upTo(r.Jitter)
	after := upTo(r.LateFor)
	if hit(r.Stall) {
		act.Delay += r.StallFor
	}
	// The first hit wins.
	for _, f := range []struct {
		p   float64
		act Action
	}{
		{r.Throttle, Action{Do: Fail, Err: errThrottled}},
		{r.Refuse, Action{Do: Fail, Err: errRefused}},
		{r.Error, Action{Do: Fail}},
		{r.Lost, Action{Do: Lose}},
		{r.Late, Action{Do: Late, After: after}},
		{r.Twice, Action{Do: Twice, After: after}},
		{r.Flip, Action{Do: Flip}},
		{r.Partial, Action{Do: Partial}},
	} {
		if hit(f.p) && act.Do == Draw {
			delay := act.Delay
			act = f.act
			act.Delay = delay
		}
	}
	return act
}

// ParsePlan reads a plan from the parameters of a URL, as in
// fault+file:///dir?delay=250ms&jitter=50ms&rate=50MiB&throttle=0.05&burst=10s&seed=7.
//
//	seed=N            of the random source (default 1)
//	rate=SIZE         bandwidth of all puts, bytes a second
//	burst=DURATION    how long throttling lasts once it starts
//	delay, jitter     durations
//	stall, throttle, refuse, error, lost, late, twice, flip, partial    probabilities in [0, 1]
//	stallfor, latefor durations (default 10s)
//
// A parameter with "put.", "get.", "list." or "delete." in front counts for that operation alone and wins over the plain
// one. A parameter that is not in this list is an error.
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
	case "rate":
		n, err := humanize.ParseBytes(value)
		if err == nil && (n == 0 || n > 1<<50) {
			err = errors.New("not a rate")
		}
		p.Bandwidth = int64(n)
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
		"stall": &r.Stall, "throttle": &r.Throttle, "refuse": &r.Refuse, "error": &r.Error, "lost": &r.Lost,
		"late": &r.Late, "twice": &r.Twice, "flip": &r.Flip, "partial": &r.Partial,
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
