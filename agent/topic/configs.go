// Pure.

package topic

import (
	_ "embed" // for the tables of configs
	"fmt"
	"slices"
	"strings"
)

// MaxPartitionsPerTopic bounds one request: partitions that a topic is created with or grows by.
const MaxPartitionsPerTopic = 10_000

// The tables: every config of Kafka 4 and Varve's own, sorted by name. They are never written. Broker configs are given at
// the start of an agent (--set KEY=VALUE) and read-only after.
var (
	//go:embed topic.txt
	topicText string
	//go:embed broker.txt
	brokerText string
	//go:embed group.txt
	groupText string

	topicDefs  = withSynonyms(mustParse("topic.txt", topicText))
	brokerDefs = mustParse("broker.txt", brokerText)
	groupDefs  = mustParse("group.txt", groupText)
)

// Names that Kafka had before 4.0. It refuses them too. Never written.
var (
	goneTopicConfigs = map[string]string{
		"message.format.version":              "batches have format v2",
		"message.downconversion.enable":       "batches have format v2",
		"message.timestamp.difference.max.ms": "use message.timestamp.before.max.ms and message.timestamp.after.max.ms",
	}
	goneBrokerConfigs = map[string]string{
		"broker.id.generation.enable":             "node ids belong to agents' names",
		"control.plane.listener.name":             "an agent has one listener",
		"delegation.token.master.key":             "use delegation.token.secret.key",
		"inter.broker.protocol.version":           "agents of one version work together",
		"log.message.downconversion.enable":       "batches have format v2",
		"log.message.format.version":              "batches have format v2",
		"log.message.timestamp.difference.max.ms": "use log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms",
		"offsets.commit.required.acks":            "commits are always of acks=all",
		"reserved.broker.max.id":                  "node ids belong to agents' names",
	}
	gonePrefixes = []string{"zookeeper.", "password.encoder."}
)

// topicDef returns the definition of a topic config. The error says what is wrong with the name.
func topicDef(name string) (*def, error) {
	d := find(topicDefs, name)
	why, gone := goneTopicConfigs[name]
	switch {
	case d != nil && d.effect == internal:
		return nil, fmt.Errorf("%w: %s: %s", ErrConfig, name, d.reason)
	case d != nil:
		return d, nil
	case gone:
		return nil, fmt.Errorf("%w: %s: Kafka 4.0 took it away; %s", ErrConfig, name, why)
	case defaults(name) != "":
		return nil, fmt.Errorf("%w: %s is a broker config; the topic config is %s", ErrConfig, name, defaults(name))
	case find(brokerDefs, name) != nil:
		return nil, fmt.Errorf("%w: %s is a broker config, there is no such topic config", ErrConfig, name)
	}
	return nil, fmt.Errorf("%w: there is no topic config %.100q; %s", ErrConfig, name, hint(name, "varve topic describe TOPIC --all", topicDefs))
}

// brokerDef returns the definition of a broker config that can be set. The error says what is wrong with the name.
func brokerDef(name string) (*def, error) {
	d := find(brokerDefs, name)
	why, gone := goneBrokerConfigs[name]
	if !gone && slices.ContainsFunc(gonePrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
		why, gone = "there is no ZooKeeper", true
	}
	switch {
	case d != nil && d.effect == internal:
		return nil, fmt.Errorf("%w: %s: %s", ErrConfig, name, d.reason)
	case d != nil && d.effect == fact:
		return nil, fmt.Errorf("%w: %s cannot be set this way: %s", ErrConfig, name, d.reason)
	case d != nil:
		return d, nil
	case gone:
		return nil, fmt.Errorf("%w: %s: Kafka 4.0 took it away; %s", ErrConfig, name, why)
	case strings.HasPrefix(name, "listener.name."):
		return nil, fmt.Errorf("%w: %.100s: an agent has one plain listener, see --listen", ErrConfig, name)
	}
	if t := find(topicDefs, name); t != nil && len(t.from) > 0 {
		return nil, fmt.Errorf("%w: %s is a topic config; its default is set by %s", ErrConfig, name, t.from[0].name)
	}
	return nil, fmt.Errorf("%w: there is no broker config %.100q; %s", ErrConfig, name, hint(name, "varve cluster config", brokerDefs))
}

// CheckBroker says why a broker config cannot be changed while an agent runs (ErrReadOnly), or that there is none of that
// name (ErrConfig).
func CheckBroker(name string) error {
	if d := find(brokerDefs, name); d != nil && d.effect == fact {
		return fmt.Errorf("%w: %s: %s", ErrReadOnly, name, d.reason)
	}
	if _, err := brokerDef(name); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s is read-only; it is given when the agent starts: --set %s=VALUE", ErrReadOnly, name, name)
}

// find looks up a definition in a sorted table.
func find(table []def, name string) *def {
	i, ok := slices.BinarySearchFunc(table, name, func(d def, name string) int { return strings.Compare(d.name, name) })
	if !ok {
		return nil
	}
	return &table[i]
}
