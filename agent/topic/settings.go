// Pure.

package topic

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Settings are the broker configs of an agent, by Kafka's names. They never change while it runs.
type Settings struct {
	set map[string]string // normal values
}

// NewSettings checks values, given by Kafka's names. The error (ErrConfig) names every value that is wrong; for a name
// that nobody knows it names the nearest one.
func NewSettings(values map[string]string) (*Settings, error) {
	s := &Settings{set: make(map[string]string, len(values))}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(values)) {
		d, err := brokerDef(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		v, err := d.normal(values[name])
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: %s: %w", ErrConfig, name, err))
			continue
		}
		s.set[name] = v
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// value returns what d is set to, or its default; ok is false if it has neither.
func (s *Settings) value(d *def) (v string, source Source, ok bool) {
	if v, ok := s.set[d.name]; ok {
		return v, SourceBroker, true
	}
	return d.def, SourceDefault, !d.unset
}

func (s *Settings) must(name string) (*def, string) {
	d := find(brokerDefs, name)
	if d == nil {
		panic("topic: no broker config " + name)
	}
	v, _, _ := s.value(d)
	return d, v
}

// Int returns an INT, SHORT or LONG config, 0 if it has no value. Any other name is a fault of the program and panics.
func (s *Settings) Int(name string) int64 {
	d, v := s.must(name)
	if v == "" && d.unset {
		return 0
	}
	return integer(v)
}

// longTime is what "never" and whatever is longer come to; a timer has room for it.
const longTime = 10 * 365 * 24 * time.Hour

// Millis returns a config in ms as a time; a negative one is never, ten years. Any other name is a fault of the program and
// panics.
func (s *Settings) Millis(name string) time.Duration {
	ms := s.Int(name)
	if ms < 0 || ms > longTime.Milliseconds() {
		return longTime
	}
	return time.Duration(ms) * time.Millisecond
}

// Bool returns a BOOLEAN config. Any other name is a fault of the program and panics.
func (s *Settings) Bool(name string) bool {
	d, v := s.must(name)
	if d.typ != TypeBool {
		panic("topic: not a boolean: " + name)
	}
	return v == "true"
}

// Text returns the value of any config as text, empty if it has none. An unknown name is a fault of the program and panics.
func (s *Settings) Text(name string) string {
	_, v := s.must(name)
	return v
}

// NumPartitions is num.partitions: of a topic created without a number.
func (s *Settings) NumPartitions() int32 { return int32(s.Int("num.partitions")) }

// ReplicationFactor is default.replication.factor.
func (s *Settings) ReplicationFactor() int16 { return int16(s.Int("default.replication.factor")) }

// AutoCreate is auto.create.topics.enable: whether a Metadata request may create topics.
func (s *Settings) AutoCreate() bool { return s.Bool("auto.create.topics.enable") }

// integer parses a normal value of a whole-number config; one that does not parse is a fault of the program.
func integer(v string) int64 {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		panic("topic: not a number: " + v)
	}
	return n
}

// Idle tells of the configs that were set and do not act, sorted by name, each with the reason.
func (s *Settings) Idle() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.set)) {
		switch d := find(brokerDefs, name); d.effect {
		case later:
			out = append(out, name+" has no effect yet: "+d.reason)
		case echo:
			out = append(out, name+" has no effect: "+d.reason)
		}
	}
	return out
}
