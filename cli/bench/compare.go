// Pure.

package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// maxReports bounds how many runs a file may hold.
const maxReports = 1000

// ErrReport: a file is not what "varve bench ... --output json" or "jsonl" prints.
var ErrReport = errors.New("not a report of varve bench")

// ReadReports reads one report after the other, to the end.
func ReadReports(r io.Reader) (all []Report, err error) {
	d := json.NewDecoder(r)
	for {
		var one Report
		err := d.Decode(&one)
		switch {
		case err == io.EOF && len(all) > 0:
			return all, nil
		case err == io.EOF:
			return nil, fmt.Errorf("%w: it is empty", ErrReport)
		case err != nil:
			return nil, fmt.Errorf("%w: run %d: %w", ErrReport, len(all)+1, err)
		case one.Command == "" || one.SchemaVersion == 0:
			return nil, fmt.Errorf("%w: run %d has no command and schema_version", ErrReport, len(all)+1)
		case one.SchemaVersion > SchemaVersion:
			return nil, fmt.Errorf("run %d has schema_version %d; this program reads up to %d", len(all)+1, one.SchemaVersion, SchemaVersion)
		case len(all) == maxReports:
			return nil, fmt.Errorf("more than %d runs", maxReports)
		}
		all = append(all, one)
	}
}

// Ratio compares one number of two sets of runs. The ratio of 0 to 0 is 1, that of anything else to 0 infinite.
type Ratio struct {
	Name      string
	A, B      float64 // medians
	Ratio     float64 // B to A
	Low, High float64 // of the ratios of pairs of runs
	Direction string  // lower, higher, or empty: it is not judged
	Worse     bool    // by more than the tolerance
}

// ratioOf is b to a.
func ratioOf(a, b float64) float64 {
	switch {
	case a == b:
		return 1
	case a == 0:
		return math.Copysign(math.Inf(1), b)
	}
	return b / a
}

// higher are the measures of which more is better; unjudged those that describe the run and not the server, by prefix.
var (
	higher   = []string{"records_per_s", "mib_per_s", "mib_per_s_per_reader", "cache_hit_percent", "served_from_memory_percent", "drain_mib_per_s", measureStable}
	unjudged = []string{
		"client_", "other_", "steal_", "load_", "rounds", "flush", "wire_", "publish_delay", "session_item", "hedges", "kills",
		"cpu_user", "cpu_system", "agents_", measureGrowth, measureRefuse,
	}
)

// direction says which way a number is better.
func direction(name string) string {
	switch {
	case slices.Contains(higher, name):
		return "higher"
	case slices.ContainsFunc(unjudged, func(p string) bool { return strings.HasPrefix(name, p) }):
		return ""
	}
	return "lower"
}

// Compare sets the runs b against the runs a. A number is worse if the ratio of the medians is off by more than tolerance, a
// share such as 0.1, and every ratio of its range is off that way: else it is noise: of any tolerance, if it was 0 and is not. Numbers that only one side has are left out.
func Compare(a, b []Report, tolerance float64) (ratios []Ratio) {
	as, names := numbers(a)
	bs, _ := numbers(b)
	for _, name := range names {
		x, y := as[name], bs[name]
		if len(y) == 0 {
			continue
		}
		r := Ratio{Name: name, A: median(x), B: median(y), Direction: direction(name)}
		r.Ratio = ratioOf(r.A, r.B)
		r.Low, r.High = spread(x, y)
		switch r.Direction {
		case "lower":
			r.Worse = r.Ratio > 1+tolerance && r.Low > 1
		case "higher":
			r.Worse = r.Ratio < 1-tolerance && r.High < 1
		}
		ratios = append(ratios, r)
	}
	return ratios
}

// BusyCores is how much of a processor other processes may take in a run whose times are to be believed.
const BusyCores = 0.1

// Busy returns in how many runs other processes took more than that.
func Busy(runs []Report) (n int) {
	for _, r := range runs {
		if cores, ok := r.Get(measureOthers); ok && cores > BusyCores {
			n++
		}
	}
	return n
}

// spread is the least and the greatest ratio: of runs that stand at the same place, if there are as many on both sides (they
// were interleaved), else of any two.
func spread(a, b []float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for i, x := range a {
		for j, y := range b {
			if len(a) == len(b) && i != j {
				continue
			}
			low, high = min(low, ratioOf(x, y)), max(high, ratioOf(x, y))
		}
	}
	return low, high
}

// numbers are the values of each measure and percentile over the runs, and the names in their order.
func numbers(runs []Report) (values map[string][]float64, names []string) {
	values = map[string][]float64{}
	add := func(name string, v float64) {
		if values[name] == nil {
			names = append(names, name)
		}
		values[name] = append(values[name], v)
	}
	for _, r := range runs {
		for _, l := range r.Latencies {
			if l.Count == 0 {
				continue
			}
			add(l.Name+"_p50_ms", l.P50)
			add(l.Name+"_p99_ms", l.P99)
			add(l.Name+"_p999_ms", l.P999)
		}
		for _, m := range r.Measures {
			if m.Value != nil {
				add(m.Name, *m.Value)
			}
		}
	}
	return values, names
}

// median returns the middle of values, of an even count the mean of the two in the middle; 0 of none.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// Differences lists the settings in which two sets of runs differ, as "name: a and b": what should differ in a comparison is one
// thing.
func Differences(a, b []Report) (all []string) {
	say := func(name string, x, y string) {
		if x != y {
			all = append(all, fmt.Sprintf("%s: %s and %s", name, x, y))
		}
	}
	x, y := describe(a), describe(b)
	names := slices.Concat(x.names, y.names)
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		say(n, x.of(n), y.of(n))
	}
	return all
}

// description is the settings of a set of runs; a setting that changes among them has all its values.
type description struct {
	names  []string
	values map[string][]string
}

func describe(runs []Report) description {
	d := description{values: map[string][]string{}}
	add := func(name, value string) {
		if d.values[name] == nil {
			d.names = append(d.names, name)
		}
		if !slices.Contains(d.values[name], value) {
			d.values[name] = append(d.values[name], value)
		}
	}
	for _, r := range runs {
		add("command", r.Command)
		add("cpus", fmt.Sprint(r.CPUs))
		for _, s := range r.Settings {
			add(s.Name, s.Value)
		}
	}
	return d
}

func (d description) of(name string) string {
	if len(d.values[name]) == 0 {
		return "none"
	}
	return strings.Join(d.values[name], ", ")
}
