// Pure.

package topic

import (
	"maps"
	"slices"
	"strconv"
)

// Source says where a config's value comes from, numbered as in Kafka's DescribeConfigs answers.
type Source int8

// The sources of values.
const (
	SourceTopic   Source = 1 // set on the topic
	SourceBroker  Source = 4 // set at the start of the agent
	SourceDefault Source = 5
	SourceLogger  Source = 6 // the level of a logger
	SourceGroup   Source = 8 // set on the group
)

// Entry is a config as it is shown.
type Entry struct {
	Name     string
	Value    string
	Null     bool // there is no value
	Secret   bool // the value is never shown
	Type     Type
	Source   Source
	ReadOnly bool
	Doc      string
	Synonyms []Synonym // what Value was chosen from, the winner first
}

// Synonym is a value that a config has, or would have if the ones before it were not set.
type Synonym struct {
	Name   string
	Value  string
	Source Source
}

// Topic lists all configs of a topic with the given overrides, sorted by name.
func (s *Settings) Topic(overrides map[string]string) []Entry {
	out := make([]Entry, 0, len(topicDefs))
	for i := range topicDefs {
		d := &topicDefs[i]
		if d.effect == internal {
			continue
		}
		e := Entry{Name: d.name, Type: d.typ, Doc: d.text(), Synonyms: s.chain(d, overrides)}
		e.Value, e.Source = e.Synonyms[0].Value, e.Synonyms[0].Source
		out = append(out, e)
	}
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if find(topicDefs, name) == nil { // written by a newer agent
			out = append(out, Entry{
				Name: name, Value: overrides[name], Type: TypeString, Source: SourceTopic,
				Doc: "This agent is older than the config.", Synonyms: []Synonym{{name, overrides[name], SourceTopic}},
			})
		}
	}
	return out
}

// chain lists the values of a topic config that are set, the one in force first, and last the default.
func (s *Settings) chain(d *def, overrides map[string]string) []Synonym {
	var out []Synonym
	if v, ok := overrides[d.name]; ok {
		out = append(out, Synonym{d.name, v, SourceTopic})
	}
	for _, syn := range d.from {
		if v, ok := s.set[syn.name]; ok {
			out = append(out, Synonym{syn.name, syn.convert(v), SourceBroker})
		}
	}
	if n := len(d.from); n > 0 {
		return append(out, Synonym{d.from[n-1].name, d.def, SourceDefault})
	}
	return append(out, Synonym{d.name, d.def, SourceDefault})
}

// convert turns the broker's value into the topic config's unit; -1 stays, and what would overflow is for ever.
func (y synonym) convert(v string) string {
	if y.unit == 0 {
		return v
	}
	n := integer(v)
	if n < 0 {
		return "-1"
	}
	return strconv.FormatInt(n*y.unit, 10) // the broker's is an int32: no overflow
}

// Broker lists all broker configs, sorted by name. What follows from what the agent is has the value that facts gives it, by
// name; without one it is null.
func (s *Settings) Broker(facts map[string]string) []Entry {
	out := make([]Entry, 0, len(brokerDefs))
	for i := range brokerDefs {
		switch d := &brokerDefs[i]; d.effect {
		case internal:
		case fact:
			out = append(out, d.factEntry(facts[d.name]))
		default:
			out = append(out, s.brokerEntry(d))
		}
	}
	return out
}

func (d *def) factEntry(v string) Entry {
	e := Entry{Name: d.name, Value: v, Null: v == "", Type: d.typ, Source: SourceBroker, ReadOnly: true, Doc: d.doc}
	if !e.Null {
		e.Synonyms = []Synonym{{d.name, v, SourceBroker}}
	}
	return e
}

func (s *Settings) brokerEntry(d *def) Entry {
	v, source, ok := s.value(d)
	e := Entry{
		Name: d.name, Value: v, Null: !ok, Secret: d.typ == TypePassword, Type: d.typ, Source: source, ReadOnly: true,
		Doc: d.text(),
	}
	names := family(d.name)
	for _, name := range names {
		if v, ok := s.set[name]; ok {
			e.Synonyms = append(e.Synonyms, Synonym{name, v, SourceBroker})
		}
	}
	for _, name := range names {
		if d := find(brokerDefs, name); !d.unset {
			e.Synonyms = append(e.Synonyms, Synonym{name, d.def, SourceDefault})
		}
	}
	if len(e.Synonyms) > 0 && e.Synonyms[0].Name != d.name { // as Kafka: what stands in for it is told with a value only
		e.Synonyms = nil
	}
	return e
}

// effective is what overrides come to.
func (s *Settings) effective(overrides map[string]string) Config {
	get := func(name string) string {
		d := find(topicDefs, name)
		if v, ok := overrides[name]; ok {
			if v, err := d.normal(v); err == nil { // a newer agent may allow more: then the default holds here
				return v
			}
		}
		return s.chain(d, nil)[0].Value
	}
	num := func(name string) int64 { return integer(get(name)) }
	policy := split(get("cleanup.policy"))
	dirty, _ := strconv.ParseFloat(get("min.cleanable.dirty.ratio"), 64)
	return Config{
		MaxMessageBytes:   int32(num("max.message.bytes")),
		LogAppendTime:     get("message.timestamp.type") == "LogAppendTime",
		TimestampBefore:   num("message.timestamp.before.max.ms"),
		TimestampAfter:    num("message.timestamp.after.max.ms"),
		AcksOneAtCommit:   get("varve.acks.one") == "commit",
		Compacted:         slices.Contains(policy, "compact"),
		Deleted:           slices.Contains(policy, "delete"),
		RetentionMS:       num("retention.ms"),
		RetentionBytes:    num("retention.bytes"),
		SegmentMS:         num("segment.ms"),
		SegmentBytes:      num("segment.bytes"),
		DeleteRetentionMS: num("delete.retention.ms"),
		MinCompactionLag:  num("min.compaction.lag.ms"),
		MaxCompactionLag:  num("max.compaction.lag.ms"),
		DirtyRatio:        dirty,
	}
}
