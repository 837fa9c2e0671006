package bench

import (
	"math"
	"os"
	"runtime"
	"slices"
	"time"
)

// SchemaVersion is that of Report as JSON. It rises when a field changes its meaning or goes.
const SchemaVersion = 1

// Report is what one run has shown. As JSON it is what "varve bench ... --output json" prints and "compare" reads.
type Report struct {
	SchemaVersion int       `json:"schema_version"`
	Command       string    `json:"command"`
	Version       string    `json:"version"` // of the program that measured
	At            string    `json:"at"`      // when it ended, RFC 3339
	OS            string    `json:"os"`
	Arch          string    `json:"arch"`
	CPUs          int       `json:"cpus"`
	CPUModel      string    `json:"cpu_model"` // of the first; empty: the system does not tell
	Seconds       float64   `json:"seconds"`   // measured
	Verified      Verified  `json:"verified"`
	Settings      []Setting `json:"settings"`
	Criterion     string    `json:"criterion"` // of Search; empty: nothing was searched
	Trials        []Trial   `json:"trials"`
	Latencies     []Latency `json:"latencies"`
	Measures      []Measure `json:"measures"`
}

// Setting is a flag of the run, also one that was left at its default.
type Setting struct {
	Name  string `json:"setting"`
	Value string `json:"value"`
}

// Latency is a distribution, in milliseconds.
type Latency struct {
	Name  string  `json:"latency"`
	Count uint64  `json:"count"` // 0: the others mean nothing, and are null in JSON
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// Measure is one number. Its name ends with its unit.
type Measure struct {
	Name  string   `json:"measure"`
	Value *float64 `json:"value"` // nil: it could not be seen
}

// measureOthers is how many processors other processes took.
const measureOthers = "other_processes_cores"

// The names of latencies.
const (
	latencyIntended = "intended_to_ack"      // what a user waits: counts from when the record was to be sent
	latencySent     = "sent_to_ack"          // from the call of the client
	latencyService  = "service"              // one Produce request (of consume: Fetch), from its first byte to the last of its answer
	latencyDelay    = "publish_delay"        // from the intended time to the call: the load generator's own lateness
	latencyConsumed = "intended_to_consumed" // until a reader has it
)

// latency adds a distribution. One in which nothing was observed has a Count of 0, and its percentiles mean nothing.
func (r *Report) latency(name string, h *Histogram) {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	r.Latencies = append(r.Latencies, Latency{
		Name: name, Count: h.Count(), Mean: ms(h.Mean()), P50: ms(h.Quantile(0.5)), P90: ms(h.Quantile(0.9)),
		P99: ms(h.Quantile(0.99)), P999: ms(h.Quantile(0.999)), Max: ms(h.Max()),
	})
}

// measure adds a number that is known.
func (r *Report) measure(name string, v float64) {
	r.Measures = append(r.Measures, Measure{name, &v})
}

// maybe adds a number that may not be known.
func (r *Report) maybe(name string, v float64, known bool) {
	if !known || math.IsNaN(v) || math.IsInf(v, 0) {
		r.Measures = append(r.Measures, Measure{Name: name})
		return
	}
	r.measure(name, v)
}

// set is maybe for a measure that is there already, perhaps unknown.
func (r *Report) set(name string, v float64, known bool) {
	r.Measures = slices.DeleteFunc(r.Measures, func(m Measure) bool { return m.Name == name })
	r.maybe(name, v, known)
}

// Get returns a measure by its name.
func (r *Report) Get(name string) (v float64, ok bool) {
	for _, m := range r.Measures {
		if m.Name == name && m.Value != nil {
			return *m.Value, true
		}
	}
	return 0, false
}

// report makes the report of a window in which so many records moved: they are what costs are counted by.
func (s *stage) report(command string, w window, records int64) *Report {
	r := &Report{
		SchemaVersion: SchemaVersion, Command: command, At: time.Now().UTC().Format(time.RFC3339),
		OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), CPUModel: cpuModel(), Seconds: w.took().Seconds(),
		Settings: []Setting{}, Trials: []Trial{}, Latencies: []Latency{}, Measures: []Measure{},
	}
	bytes := float64(records) * float64(s.load.Size)
	r.measure("records_per_s", float64(records)/w.took().Seconds())
	r.measure("mib_per_s", s.rate(w, records))
	c := costs{r, w, Series{}, bytes / (1 << 30), bytes / 1e9, len(s.Agents) > 0 && bytes > 0}
	if c.known {
		c.d = w.to.series.Since(w.from.series)
	}
	c.processes()
	c.requests()
	c.flushes()
	c.machine(s)
	return r
}

// rate is MiB of values a second.
func (s *stage) rate(w window, records int64) float64 {
	return float64(records) * float64(s.load.Size) / (1 << 20) / w.took().Seconds()
}

// reportAnswers adds what producers have seen. Without a rate there is no intended time.
func (s *stage) reportAnswers(r *Report) {
	var intended, sent, delay, service Histogram
	var d drift
	for _, p := range s.producers {
		d.merge(&p.answers.drift)
		intended.Merge(&p.answers.ackIntended)
		sent.Merge(&p.answers.ackSent)
		delay.Merge(&p.answers.delay)
		service.Merge(&p.service.h)
	}
	if s.load.Rate > 0 {
		r.latency(latencyIntended, &intended)
	}
	r.latency(latencySent, &sent)
	r.latency(latencyService, &service)
	if s.load.Rate > 0 {
		r.latency(latencyDelay, &delay)
		growth, known := d.growth()
		r.maybe(measureGrowth, float64(growth)/float64(time.Millisecond), known)
	}
}

// machine adds how busy the machine was with other things: figures of a busy machine are not to be published.
func (c costs) machine(s *stage) {
	a, b := c.w.from, c.w.to
	took := c.w.took().Seconds()
	c.r.maybe("client_cpu_s_per_gib", (b.client-a.client)/c.gib, b.client > 0 && c.gib > 0)
	agents := b.user + b.sys - a.user - a.sys
	others := b.box.busy - a.box.busy - (b.client - a.client) - agents
	c.r.maybe(measureOthers, max(0, others)/took, b.box.ok && a.box.ok && b.client > 0 && (a.split || len(s.Agents) == 0))
	c.r.maybe("steal_cores", (b.box.steal-a.box.steal)/took, b.box.ok && a.box.ok)
	load, ok := loadAverage()
	c.r.maybe("load_average", load, ok)
}

// ownCPU is what this process has used.
func ownCPU() float64 {
	user, sys, _ := cpuOf(os.Getpid())
	return user + sys
}
