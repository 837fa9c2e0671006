package topic

import (
	"os"
	"strings"
	"testing"
	"time"
)

// kafkaConfigs reads a list of Kafka's configs in testdata: kind, name, type, default.
func kafkaConfigs(t *testing.T, file string) [][]string {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSuffix(line, "\n"); line[0] != '#' {
			out = append(out, strings.Split(line, "\t"))
		}
	}
	return out
}

// Every config of Kafka 4 is known, with Kafka's type and default. The lists were dumped from the ConfigDefs of Kafka's own
// classes, of the versions in their names; the second holds only what the first has not.
func TestEveryConfigOfKafka4(t *testing.T) {
	tables := map[string][]def{"topic": topicDefs, "broker": brokerDefs, "group": groupDefs}
	of := map[string]int{}
	for _, file := range []string{"kafka-4.1.1.tsv", "kafka-4.3.0.tsv"} {
		for _, k := range kafkaConfigs(t, file) {
			kind, name, typ, want := k[0], k[1], k[2], k[3]
			of[kind]++
			d := find(tables[kind], name)
			if d == nil {
				t.Errorf("the %s config %s is not known", kind, name)
				continue
			}
			if d.typ.String() != typ {
				t.Errorf("%s is %s, in Kafka %s", name, d.typ, typ)
			}
			if d.effect == fact {
				continue
			}
			if unset := want == "<null>" || want == "<none>"; unset != d.unset || !unset && d.def != want {
				t.Errorf("%s is %q (none: %v) by default, in Kafka %q", name, d.def, d.unset, want)
			}
		}
	}
	if of["topic"] != 34 || of["broker"] != 336+26 || of["group"] != 10+7 {
		t.Errorf("the lists have %v configs", of)
	}
	for kind, table := range tables {
		own := 0
		for i := range table {
			if strings.HasPrefix(table[i].name, "varve.") {
				own++
			}
		}
		if len(table) != of[kind]+own {
			t.Errorf("%d %s configs, of them %d Varve's own; Kafka has %d", len(table), kind, own, of[kind])
		}
	}
}

// What does not act says so first in its documentation.
func TestDocumentationTellsTheEffect(t *testing.T) {
	s := settings(t, nil)
	entries := append(s.Topic(nil), append(s.Broker(nil), s.Group(nil)...)...)
	doc := map[string]string{}
	for _, e := range entries {
		doc[e.Name] = e.Doc
		if !strings.HasSuffix(e.Doc, ".") || len(e.Doc) > 300 {
			t.Errorf("%s: %q", e.Name, e.Doc)
		}
	}
	for name, want := range map[string]string{
		"delete.retention.ms": "Not yet: agents of this", "flush.ms": "No effect: flushes are the agent's", "ssl.client.auth": "Fixed: this version has no TLS",
		"num.partitions": "Partitions of", "varve.slots": "Who leads", "consumer.session.timeout.ms": "Session", "share.session.timeout.ms": "Not yet: share groups",
		"cleanup.policy": "delete: old records go, see retention.ms. compact: every record needs a key; nothing is removed, since logs are not compacted yet.",
	} {
		if !strings.HasPrefix(doc[name], want) {
			t.Errorf("%s: %q, want %q", name, doc[name], want)
		}
	}
	for _, name := range []string{"internal.segment.bytes", "unstable.api.versions.enable"} {
		if doc[name] != "" {
			t.Errorf("%s is shown", name)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ text, err string }{
		{"a INT 1 - A.", "line 1: a config before the first mode"},
		{"@acts\na INT 1 - A.", "line 1: @acts is not a mode"},
		{"@act because\n", "@act is not a mode with its reason"},
		{"@echo\n", "@echo is not a mode with its reason"},
		{"@echo it does nothing.\n", "@echo"},
		{"# x\n\n@act\na INTEGER 1 - A.", `line 4: a: "INTEGER" is not a type`},
		{"@act\na INT 1 - A", "full stop"},
		{"@act\na INT 1 -", "full stop"},
		{"@act\na INT x - A.", "default \"x\""},
		{"@act\na INT 01 - A.", `becomes "1"`},
		{"@act\na INT 1 2.. A.", "1 is less than 2"},
		{"@act\na INT 1 x.. A.", "lowest value"},
		{"@act\na INT 1 1..y A.", "highest value"},
		{"@act\na DOUBLE 1 x..1 A.", "lowest value"},
		{"@act\na DOUBLE 1 0.. A.", "highest value"},
		{"@act\na STRING b b A.", "not a form"},
		{"@act\na STRING b c|d A.", "not one of c, d"},
		{"@act\na INT 1 - A.\n@echo x\na INT 2 - B.", "a is there twice"},
	} {
		if _, err := parse(c.text); err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: %v, want %q", c.text, err, c.err)
		}
	}
	defs, err := parse("@act\nb LIST \"\" replicas B.\n@only x y\na INT null - A.\n")
	if err != nil || len(defs) != 2 || defs[0].name != "a" || !defs[0].unset || defs[0].reason != "x y" || defs[1].def != "" || defs[1].unset {
		t.Errorf("%+v, %v", defs, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a table that is wrong does not panic")
		}
	}()
	mustParse("x", "x")
}

// A value that would look as if it acted is refused with the reason; one that a Kafka user might carry over is not.
func TestBrokerValues(t *testing.T) {
	for _, c := range []struct{ name, value, err string }{
		{"ssl.client.auth", "required", `"required" is refused, use "none": this version has no TLS`},
		{"ssl.client.auth", "none", ""},
		{"ssl.keystore.password", "hunter2", "a value is refused: this version has no TLS"},
		{"sasl.enabled.mechanisms", "PLAIN", "no authentication"},
		{"authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "no authorization"},
		{"remote.log.storage.system.enable", "true", "already"},
		{"create.topic.policy.class.name", "x.Y", "do not load classes"},
		{"unstable.api.versions.enable", "true", "for tests of Kafka itself"},
		{"zookeeper.connect", "z:2181", "there is no ZooKeeper"},
		{"inter.broker.protocol.version", "3.9", "Kafka 4.0 took it away"},
		{"listener.name.internal.ssl.keystore.location", "/x", "one plain listener"},
		{"advertised.listeners", "PLAINTEXT://x:1", "use --advertise"},
		{"log.retention.hour", "1", "did you mean log.retention.hours?"},
		{"something.else.entirely", "1", "varve cluster config lists them all"},
		{"num.network.threads", "0", "0 is less than 1"},
		{"num.network.threads", "8", ""},
		{"connections.max.idle.ms", "-1", ""},
		{"connections.max.idle.ms", "0", "0 is less than 1"},
		{"log.cleaner.io.max.bytes.per.second", "1e6", ""},
		{"group.consumer.migration.policy", "UPGRADE", ""},
		{"group.consumer.migration.policy", "up", "not one of disabled"},
		{"group.coordinator.rebalance.protocols", "classic,consumer", ""},
		{"group.coordinator.rebalance.protocols", "classic,new", `"new" is not one of`},
		{"remote.log.manager.task.retry.jitter", "0.2", "for tests"},
		{"transaction.state.log.replication.factor", "40000", "not in -32768..32767"},
		{"log.cleaner.min.cleanable.ratio", "2", "not in 0..1"},
	} {
		_, err := NewSettings(map[string]string{c.name: c.value})
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s=%s: %v, want %q", c.name, c.value, err, c.err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a password is repeated: %v", err)
		}
	}
}

func TestIdle(t *testing.T) {
	s := settings(t, map[string]string{"num.partitions": "3", "num.io.threads": "9", "log.cleaner.min.compaction.lag.ms": "5", "ssl.client.auth": "none"})
	got := strings.Join(s.Idle(), "\n")
	want := "log.cleaner.min.compaction.lag.ms has no effect yet: agents of this version do not compact logs\n" +
		"num.io.threads has no effect: a connection has two goroutines, and memory is bounded by --memory-limit"
	if got != want {
		t.Errorf("%s", got)
	}
}

func TestMillis(t *testing.T) {
	for value, want := range map[string]time.Duration{"-1": longTime, "1500": 1500 * time.Millisecond, forever: longTime} {
		if got := settings(t, map[string]string{"connections.max.idle.ms": value}).Millis("connections.max.idle.ms"); got != want {
			t.Errorf("%s: %v, want %v", value, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"retention.mss": "retention.ms", "retention": "retention.ms", "cleanup-policy": "cleanup.policy", "zzz": "", "": "", "a.b.c.d": "",
		"max.message.byte": "max.message.bytes", "internal.segment.byte": "", "some.other.product.config": "",
		strings.Repeat("x", 5000): "",
	} {
		if got := nearest(name, topicDefs); got != want {
			t.Errorf("%.40q: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{
		"log.retention.hours": "the topic config is retention.ms", "num.io.threads": "there is no such topic config",
		"internal.segment.bytes": "for tests of Kafka", "kind.of.magic": "varve topic describe TOPIC --all lists them all",
	} {
		if _, err := topicDef(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
