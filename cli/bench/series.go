// Pure.

package bench

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Series is what an agent's /metrics says at one moment, by name and labels as they stand there.
type Series map[string]float64

// maxSeriesLine bounds a line of /metrics, in bytes.
const maxSeriesLine = 64 << 10

// ParseSeries reads the text format of Prometheus 0.0.4: "name{label="value"} number", and comments.
func ParseSeries(r io.Reader) (Series, error) {
	s := Series{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxSeriesLine)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, err := cutSeries(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		s[name] = value
	}
	return s, lines.Err()
}

// cutSeries parts a line into the series and its number. Label values may hold spaces and braces.
func cutSeries(line string) (name string, value float64, err error) {
	end := strings.LastIndexByte(line, '}') + 1
	if end == 0 {
		end = max(0, strings.IndexByte(line, ' '))
	}
	fields := strings.Fields(line[end:])
	if end == 0 || len(fields) == 0 { // a second field would be a time stamp
		return "", 0, fmt.Errorf("%.80q is not a series with a number", line)
	}
	value, err = strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return "", 0, fmt.Errorf("%.80q: %w", line, err)
	}
	return line[:end], value, nil
}

// Sum adds up the series of a name whose labels include all of those given, each written name="value". ok is false if there
// is none.
func (s Series) Sum(name string, labels ...string) (sum float64, ok bool) {
next:
	for series, v := range s {
		base, rest, _ := strings.Cut(series, "{")
		if base != name {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue next
			}
		}
		sum += v
		ok = true
	}
	return sum, ok
}

// Since returns what was added after an earlier moment. What was not there then began at 0.
func (s Series) Since(earlier Series) Series {
	d := make(Series, len(s))
	for k, v := range s {
		d[k] = v - earlier[k]
	}
	return d
}

// without returns s without the series whose names begin with one of some prefixes.
func (s Series) without(prefixes ...string) Series {
	d := Series{}
	for k, v := range s {
		if !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(k, p) }) {
			d[k] = v
		}
	}
	return d
}

// largestItem is a series of which the largest is wanted, not the sum.
const largestItem = "varve_session_item_bytes"

// plus adds up what several agents say.
func (s Series) plus(other Series) Series {
	d := make(Series, len(s))
	for k, v := range s {
		d[k] = v
	}
	for k, v := range other {
		if k == largestItem {
			d[k] = max(d[k], v)
			continue
		}
		d[k] += v
	}
	return d
}
