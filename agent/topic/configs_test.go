package topic

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

const forever = "9223372036854775807" // Long.MAX_VALUE of Java

// A topic config and the broker config that gives its default must agree on default, type and allowed values.
func TestSynonymsAgree(t *testing.T) {
	s := settings(t, nil)
	for i := range topicDefs {
		d := &topicDefs[i]
		for n, syn := range d.from {
			b := find(brokerDefs, syn.name)
			if b == nil {
				t.Errorf("%s: no broker config %s", d.name, syn.name)
				continue
			}
			if last := n == len(d.from)-1; last && !b.unset {
				if v := syn.convert(b.def); v != d.def {
					t.Errorf("%s is %s by default, %s gives %s", d.name, d.def, syn.name, v)
				}
			} else if !b.unset {
				t.Errorf("%s: %s hides what comes after it", d.name, syn.name)
			}
			if syn.unit == 0 && (b.typ != d.typ || b.values != d.values && syn.name != "log.flush.scheduler.interval.ms") {
				t.Errorf("%s is %v %s, %s is %v %s", d.name, d.typ, d.values, b.name, b.typ, b.values)
			}
		}
		if d.effect == act && len(s.chain(d, nil)) == 0 {
			t.Errorf("%s has no value", d.name)
		}
	}
}

// The names and defaults of Kafka 4 that clients look at, as kafka-protocol 6.1 lists them.
func TestTopicDefaults(t *testing.T) {
	got := map[string]string{}
	for _, e := range settings(t, nil).Topic(nil) {
		got[e.Name] = e.Value
		if e.Source != SourceDefault || e.ReadOnly || e.Null {
			t.Errorf("%s: %+v", e.Name, e)
		}
	}
	for name, want := range map[string]string{
		"cleanup.policy": "delete", "retention.ms": "604800000", "retention.bytes": "-1", "delete.retention.ms": "86400000",
		"min.compaction.lag.ms": "0", "max.compaction.lag.ms": forever, "min.cleanable.dirty.ratio": "0.5",
		"max.message.bytes": "1048588", "message.timestamp.type": "CreateTime", "message.timestamp.before.max.ms": forever,
		"message.timestamp.after.max.ms": "3600000", "compression.type": "producer", "compression.gzip.level": "-1",
		"compression.lz4.level": "9", "compression.zstd.level": "3", "min.insync.replicas": "1", "segment.ms": "604800000",
		"segment.bytes": "1073741824", "segment.jitter.ms": "0", "segment.index.bytes": "10485760", "flush.messages": forever,
		"flush.ms": forever, "file.delete.delay.ms": "60000", "index.interval.bytes": "4096", "preallocate": "false",
		"unclean.leader.election.enable": "false", "leader.replication.throttled.replicas": "",
		"follower.replication.throttled.replicas": "", "remote.storage.enable": "false", "local.retention.ms": "-2",
		"local.retention.bytes": "-2", "remote.log.copy.disable": "false", "remote.log.delete.on.disable": "false",
		"varve.durability": "object", "varve.acks.one": "memory",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("unexpected: %v", got)
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct{ name, value, want, err string }{
		{"retention.ms", " 60000 ", "60000", ""},
		{"retention.ms", "-1", "-1", ""},
		{"retention.ms", "+007", "7", ""},
		{"retention.ms", "-2", "", "less than -1"},
		{"retention.ms", "1h", "", "not a whole number"},
		{"retention.ms", forever, forever, ""}, // Debezium
		{"retention.ms", "9223372036854775808", "", "not a whole number"},
		{"max.message.bytes", "2147483648", "", "not in -2147483648..2147483647"},
		{"segment.bytes", "52428800", "52428800", ""}, // Streams
		{"cleanup.policy", "compact", "compact", ""},
		{"cleanup.policy", "compact, delete ,compact", "compact,delete", ""},
		{"cleanup.policy", "", "", "the list is empty"},
		{"cleanup.policy", "compress", "", "not one of compact, delete"},
		{"preallocate", "TRUE", "true", ""},
		{"preallocate", "yes", "", "neither true nor false"},
		{"min.cleanable.dirty.ratio", "1e-1", "1e-1", ""},
		{"min.cleanable.dirty.ratio", "NaN", "", "not a number"},
		{"min.cleanable.dirty.ratio", "1.1", "", "not in 0..1"},
		{"compression.type", "producer", "producer", ""},
		{"compression.type", "zstd", "", "never compresses anew"},
		{"compression.type", "br", "", `use "producer"`},
		{"compression.gzip.level", "0", "", "not in 1..9"},
		{"compression.gzip.level", "-1", "-1", ""},
		{"message.timestamp.type", "LogAppendTime", "LogAppendTime", ""},
		{"message.timestamp.type", "logappendtime", "", "not one of"},
		{"remote.storage.enable", "true", "", "no tier to switch on"},
		{"varve.durability", "replicated", "", "do not copy records"},
		{"varve.acks.one", "commit", "commit", ""},
		{"leader.replication.throttled.replicas", "0:1, 2:3", "0:1,2:3", ""},
		{"leader.replication.throttled.replicas", "*", "*", ""},
		{"leader.replication.throttled.replicas", "a", "", "not PARTITION:BROKER"},
		{"follower.replication.throttled.replicas", strings.Repeat("0:1,", maxValue), "", "more than 32768"},
	} {
		v, err := find(topicDefs, c.name).normal(c.value)
		if c.err == "" && (err != nil || v != c.want) {
			t.Errorf("%s=%.80q: %q, %v, want %q", c.name, c.value, v, err, c.want)
		}
		if c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s=%.80q: error %v, want %q", c.name, c.value, err, c.err)
		}
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct{ name, value, err string }{
		{"num.partition", "3", "did you mean num.partitions?"},
		{"retention.ms", "1", "its default is set by log.retention.ms"},
		{"broker.id", "1", "it belongs to the agent's name"},
		{"num.partitions", "0", "num.partitions: 0 is not in 1..10000"},
		{"log.cleanup.policy", "x", "not one of"},
	} {
		_, err := NewSettings(map[string]string{c.name: c.value})
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s=%s: %v, want %q", c.name, c.value, err, c.err)
		}
	}
	_, err := NewSettings(map[string]string{"a": "", "num.partitions": "x"})
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("not every wrong value is named: %v", err)
	}
	s := settings(t, map[string]string{"num.partitions": "6", "auto.create.topics.enable": "True", "default.replication.factor": "3"})
	if s.NumPartitions() != 6 || !s.AutoCreate() || s.ReplicationFactor() != 3 || s.Text("log.cleanup.policy") != "delete" {
		t.Errorf("settings do not come back: %+v", s)
	}
	if s.Int("log.retention.ms") != 0 || s.Int("message.max.bytes") != 1048588 {
		t.Error("numbers do not come back")
	}
}

func TestDefaultsFollowTheBroker(t *testing.T) {
	s := settings(t, map[string]string{"log.retention.hours": "2", "log.retention.minutes": "5", "log.roll.hours": "1", "varve.acks.one": "commit"})
	entry := func(overrides map[string]string, name string) Entry {
		list := s.Topic(overrides)
		return list[slices.IndexFunc(list, func(e Entry) bool { return e.Name == name })]
	}
	e := entry(nil, "retention.ms")
	if e.Value != "300000" || e.Source != SourceBroker {
		t.Errorf("retention.ms: %+v", e)
	}
	e = entry(map[string]string{"retention.ms": "7"}, "retention.ms")
	want := []Synonym{
		{"retention.ms", "7", SourceTopic}, {"log.retention.minutes", "300000", SourceBroker},
		{"log.retention.hours", "7200000", SourceBroker}, {"log.retention.hours", "604800000", SourceDefault},
	}
	if e.Value != "7" || e.Source != SourceTopic || !slices.Equal(e.Synonyms, want) {
		t.Errorf("retention.ms: %+v", e)
	}
	c := s.effective(map[string]string{"cleanup.policy": "compact,delete", "message.timestamp.type": "LogAppendTime", "retention.bytes": "5"})
	if c.RetentionMS != 300_000 || c.SegmentMS != 3_600_000 || !c.AcksOneAtCommit || !c.Compacted || !c.Deleted || !c.LogAppendTime || c.RetentionBytes != 5 {
		t.Errorf("effective: %+v", c)
	}
	if c.MaxMessageBytes != 1048588 || c.TimestampAfter != 3_600_000 || c.DirtyRatio != 0.5 {
		t.Errorf("effective: %+v", c)
	}
}

// A newer agent may have stored what this one does not know: it is shown, and what this one cannot read has the default.
func TestOverridesOfANewerAgent(t *testing.T) {
	s := settings(t, nil)
	have := map[string]string{"varve.next": "1", "varve.acks.one": "never", "max.message.bytes": "7"}
	if c := s.effective(have); c.AcksOneAtCommit || c.MaxMessageBytes != 7 {
		t.Errorf("effective: %+v", c)
	}
	list := s.Topic(have)
	if last := list[len(list)-1]; last.Name != "varve.next" || last.Value != "1" || last.Source != SourceTopic {
		t.Errorf("not shown: %+v", last)
	}
	out, err := s.alter(have, []Change{{Name: "varve.next", Op: OpDelete}})
	if err != nil || len(out) != 2 || len(have) != 3 {
		t.Errorf("cannot be taken away: %v, %v", out, err)
	}
}

func TestBrokerEntries(t *testing.T) {
	s := settings(t, map[string]string{"num.partitions": "6"})
	byName := map[string]Entry{}
	for _, e := range s.Broker(nil) {
		byName[e.Name] = e
		if !e.ReadOnly {
			t.Errorf("%s can be altered", e.Name)
		}
	}
	e := byName["num.partitions"]
	if e.Value != "6" || e.Source != SourceBroker || len(e.Synonyms) != 2 || e.Synonyms[1] != (Synonym{"num.partitions", "1", SourceDefault}) {
		t.Errorf("num.partitions: %+v", e)
	}
	if e = byName["log.retention.ms"]; !e.Null || e.Synonyms != nil {
		t.Errorf("log.retention.ms: %+v", e)
	}
	for _, name := range []string{ // kafka-protocol 6.2
		"default.replication.factor", "min.insync.replicas", "log.cleanup.policy", "log.retention.hours", "log.retention.bytes",
		"delete.topic.enable", "auto.create.topics.enable", "message.max.bytes", "compression.type", "log.message.timestamp.type",
		"log.segment.bytes", "log.roll.ms", "offsets.retention.minutes", "offset.metadata.max.bytes", "group.min.session.timeout.ms",
		"group.max.session.timeout.ms", "group.initial.rebalance.delay.ms", "group.max.size", "transaction.max.timeout.ms",
		"transactional.id.expiration.ms", "producer.id.expiration.ms", "fetch.max.bytes", "socket.request.max.bytes",
		"connections.max.idle.ms", "max.incremental.fetch.session.cache.slots",
	} {
		if _, ok := byName[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestAlterOverrides(t *testing.T) {
	s := settings(t, nil)
	str := func(s string) *string { return &s }
	for _, c := range []struct {
		name    string
		changes []Change
		want    string // of cleanup.policy and retention.ms
		err     string
	}{
		{"set", []Change{{"retention.ms", OpSet, str("5")}}, "compact 5", ""},
		{"set null", []Change{{"retention.ms", OpSet, nil}, {"cleanup.policy", OpSet, nil}}, " ", ""},
		{"delete", []Change{{"cleanup.policy", OpDelete, nil}}, " 9", ""},
		{"delete what is not set", []Change{{"retention.bytes", OpDelete, nil}}, "compact 9", ""},
		{"delete unknown", []Change{{"retention.byte", OpDelete, nil}}, "", "did you mean retention.bytes?"},
		{"append", []Change{{"cleanup.policy", OpAppend, str("delete,compact")}}, "compact,delete 9", ""},
		{"subtract", []Change{{"cleanup.policy", OpAppend, str("delete")}, {"cleanup.policy", OpSubtract, str("compact")}}, "delete 9", ""},
		{"subtract all", []Change{{"cleanup.policy", OpSubtract, str("compact")}}, "", "the list is empty"},
		{"append to a number", []Change{{"retention.ms", OpAppend, str("1")}}, "", "it is LONG"},
		{"append null", []Change{{"cleanup.policy", OpAppend, nil}}, "", "need a value"},
		{"operation 9", []Change{{"cleanup.policy", 9, str("")}}, "", "operation 9"},
		{"clear and set", []Change{{Op: OpClear}, {"retention.ms", OpSet, str("1")}}, " 1", ""},
		{"gone", []Change{{"message.format.version", OpSet, str("2.8")}}, "", "Kafka 4.0 took it away"},
		{"unknown", []Change{{"varve.durabilty", OpSet, str("object")}}, "", "did you mean varve.durability?"},
		{"lags", []Change{{"min.compaction.lag.ms", OpSet, str("9")}, {"max.compaction.lag.ms", OpSet, str("8")}}, "", "is above"},
	} {
		have := map[string]string{"cleanup.policy": "compact", "retention.ms": "9"}
		out, err := s.alter(have, c.changes)
		if c.err != "" {
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if got := out["cleanup.policy"] + " " + out["retention.ms"]; err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
		if have["cleanup.policy"] != "compact" || have["retention.ms"] != "9" {
			t.Errorf("%s: changed the old overrides", c.name)
		}
	}
	// APPEND to what is not set starts from the default.
	if out, err := s.alter(nil, []Change{{"cleanup.policy", OpAppend, str("compact")}}); err != nil || out["cleanup.policy"] != "delete,compact" {
		t.Errorf("append to the default: %v, %v", out, err)
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"": false, ".": false, "..": false, "...": true, "a": true, "A-z_0.9": true, "a/b": false, "a b": false, "ä": false, "a\x00": false,
		strings.Repeat("x", 249): true, strings.Repeat("x", 250): false, "__consumer_offsets": true,
	} {
		if err := CheckName(name); (err == nil) != ok || err != nil && !errors.Is(err, ErrName) {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}

func settings(t *testing.T, values map[string]string) *Settings {
	t.Helper()
	s, err := NewSettings(values)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAlterGroup: what can be set of a group, within the agent's bounds, and what comes of it.
func TestAlterGroup(t *testing.T) {
	s := settings(t, map[string]string{"group.consumer.max.session.timeout.ms": "90000"})
	const session, beat = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
	set := func(name, v string) Change { return Change{Name: name, Op: OpSet, Value: &v} }
	own := map[string]string{}
	got, err := s.AlterGroup(own, []Change{set(session, " 80000 "), set(beat, "6000")})
	if err != nil || got[session] != "80000" || got[beat] != "6000" || len(own) != 0 {
		t.Fatalf("%v, %v; before %v", got, err, own)
	}
	if d := s.GroupMillis(got, session); d != 80*time.Second {
		t.Errorf("%s comes to %v", session, d)
	}
	if d := settings(t, nil).GroupMillis(got, session); d != 60*time.Second { // another agent allows less
		t.Errorf("beyond the bounds it comes to %v", d)
	}
	if d := s.GroupMillis(map[string]string{session: "many"}, session); d != 45*time.Second {
		t.Errorf("nonsense comes to %v", d)
	}
	if got, err = s.AlterGroup(got, []Change{{Name: session, Op: OpDelete}}); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err = s.AlterGroup(got, []Change{{Op: OpClear}}); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	for _, c := range []struct {
		change Change
		want   error
		says   string
	}{
		{set(session, "90001"), ErrConfig, "above group.consumer.max.session.timeout.ms, which is 90000"},
		{set(session, "44999"), ErrConfig, "below group.consumer.min.session.timeout.ms, which is 45000"},
		{set(session, ""), ErrConfig, "not a whole number"},
		{set("share.session.timeout.ms", "50000"), ErrReadOnly, "share groups are not served yet"},
		{set("consumer.session.timeout", "50000"), ErrConfig, "did you mean " + session},
		{Change{Name: session, Op: OpAppend}, ErrConfig, "no list"},
	} {
		if _, err := s.AlterGroup(nil, []Change{c.change}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.change, err)
		}
	}
	tight := settings(t, map[string]string{"group.consumer.min.session.timeout.ms": "1", "group.consumer.min.heartbeat.interval.ms": "1"})
	if _, err := tight.AlterGroup(nil, []Change{set(session, "5000"), set(beat, "5000")}); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "not below") {
		t.Errorf("heartbeats as long as the session: %v", err)
	}
}
