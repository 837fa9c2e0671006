// Pure.

package topic

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// groupPrefix before the name of a group config is the broker config that defaults it.
const groupPrefix = "group."

// Group lists the configs of a group of which own is set, sorted by name. own is not changed.
func (s *Settings) Group(own map[string]string) []Entry {
	out := make([]Entry, 0, len(groupDefs))
	for i := range groupDefs {
		d := &groupDefs[i]
		e := Entry{Name: d.name, Value: d.def, Type: d.typ, Source: SourceDefault, ReadOnly: d.effect != act, Doc: d.text()}
		if b := find(brokerDefs, groupPrefix+d.name); b != nil {
			from := s.brokerEntry(b)
			e.Value, e.Source, e.Synonyms = from.Value, from.Source, from.Synonyms
		}
		if v, ok := own[d.name]; ok {
			e.Synonyms = append([]Synonym{{d.name, v, SourceGroup}}, e.Synonyms...)
			e.Value, e.Source = v, SourceGroup
		}
		out = append(out, e)
	}
	return out
}

// AlterGroup returns what changes make of what is set of a group; own may be changed. Errors: ErrConfig, ErrReadOnly.
func (s *Settings) AlterGroup(own map[string]string, changes []Change) (map[string]string, error) {
	out := maps.Clone(own)
	if out == nil {
		out = map[string]string{}
	}
	for _, ch := range changes {
		if err := s.alterGroup(out, ch); err != nil {
			return nil, err
		}
	}
	session, beat := s.GroupMillis(out, "consumer.session.timeout.ms"), s.GroupMillis(out, "consumer.heartbeat.interval.ms")
	if len(changes) > 0 && len(out) > 0 && beat >= session {
		return nil, fmt.Errorf("%w: consumer.heartbeat.interval.ms of %d is not below consumer.session.timeout.ms of %d", ErrConfig, beat.Milliseconds(), session.Milliseconds())
	}
	return out, nil
}

func (s *Settings) alterGroup(out map[string]string, ch Change) error {
	if ch.Op == OpClear {
		clear(out)
		return nil
	}
	d := find(groupDefs, ch.Name)
	switch {
	case d == nil:
		return fmt.Errorf("%w: there is no group config %.100q; %s", ErrConfig, ch.Name, hint(ch.Name, "DescribeConfigs of a group", groupDefs))
	case d.effect != act:
		return fmt.Errorf("%w: %s cannot be set on a group: %s", ErrReadOnly, ch.Name, d.reason)
	case ch.Op == OpDelete || ch.Op == OpSet && ch.Value == nil:
		delete(out, ch.Name)
		return nil
	case ch.Op != OpSet:
		return fmt.Errorf("%w: %s is no list: set it", ErrConfig, ch.Name)
	}
	v, err := d.normal(*ch.Value)
	if err == nil {
		err = s.withinBroker(ch.Name, v)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, ch.Name, err)
	}
	out[ch.Name] = v
	return nil
}

// limits are the broker configs that bound a group config, if there are such.
func limits(name string) (low, high *def) {
	kind, rest, _ := strings.Cut(name, ".")
	return find(brokerDefs, groupPrefix+kind+".min."+rest), find(brokerDefs, groupPrefix+kind+".max."+rest)
}

func (s *Settings) withinBroker(name, v string) error {
	low, high := limits(name)
	n := integer(v)
	if low != nil && n < s.Int(low.name) {
		return fmt.Errorf("%d is below %s, which is %d", n, low.name, s.Int(low.name))
	}
	if high != nil && n > s.Int(high.name) {
		return fmt.Errorf("%d is above %s, which is %d", n, high.name, s.Int(high.name))
	}
	return nil
}

// GroupMillis is a group config in ms as a time: what own has, within the bounds of the agent, which may have changed since it was set; else
// the agent's. A name without a broker config is a fault of the program and panics.
func (s *Settings) GroupMillis(own map[string]string, name string) time.Duration {
	v, ok := own[name]
	d := find(groupDefs, name)
	if !ok || d == nil {
		return s.Millis(groupPrefix + name)
	}
	if v, err := d.normal(v); err != nil || v == "" {
		return s.Millis(groupPrefix + name)
	}
	n := integer(v)
	low, high := limits(name)
	if low != nil {
		n = max(n, s.Int(low.name))
	}
	if high != nil {
		n = min(n, s.Int(high.name))
	}
	return time.Duration(n) * time.Millisecond
}
