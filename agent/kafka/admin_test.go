package kafka

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/topic"
)

func ptr(s string) *string { return &s }

// says fails unless the message of an answer contains text.
func says(t *testing.T, what string, code, want int16, msg *string, text string) {
	t.Helper()
	if code != want {
		t.Errorf("%s: code %d, want %d", what, code, want)
	}
	if (want == codeNone) != (msg == nil) || msg != nil && !strings.Contains(*msg, text) {
		m := "null"
		if msg != nil {
			m = *msg
		}
		t.Errorf("%s: message %q, want %q", what, m, text)
	}
}

func creating(version int16, topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis, req.Topics = version, 5000, topics
	return req
}

func newTopic(name string, partitions int32, rf int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, rf
	for i := 0; i < len(configs); i += 2 {
		rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]})
	}
	return rt
}

func assigned(name string, replicas map[int32][]int32) kmsg.CreateTopicsRequestTopic {
	rt := newTopic(name, -1, -1)
	for p := range int32(10) {
		if r, ok := replicas[p]; ok {
			rt.ReplicaAssignment = append(rt.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: p, Replicas: r})
		}
	}
	return rt
}

func TestCreateTopicsEveryVersion(t *testing.T) {
	w := newWorld(t, option{settings: map[string]string{"num.partitions": "4", "default.replication.factor": "3"}})
	c := w.dial()
	for v := int16(2); v <= 7; v++ {
		name := "v" + string(rune('0'+v))
		resp := call[*kmsg.CreateTopicsResponse](c, creating(v, newTopic(name, -1, -1, "retention.ms", "5", "cleanup.policy", "compact")))
		rt := resp.Topics[0]
		says(t, name, rt.ErrorCode, codeNone, rt.ErrorMessage, "")
		top := w.topics.Lookup(name)
		if top == nil || top.Partitions() != 4 || top.Config.RetentionMS != 5 || !top.Config.Compacted {
			t.Fatalf("%s: %+v", name, top)
		}
		if v >= 7 && rt.TopicID != [16]byte(top.ID) || v < 7 && rt.TopicID != [16]byte{} {
			t.Errorf("%s: id %x", name, rt.TopicID)
		}
		if v < 5 {
			continue
		}
		if rt.NumPartitions != 4 || rt.ReplicationFactor != 3 || len(rt.Configs) < 30 {
			t.Errorf("%s: %+v", name, rt)
		}
		i := slices.IndexFunc(rt.Configs, func(c kmsg.CreateTopicsResponseTopicConfig) bool { return c.Name == "retention.ms" })
		if got := rt.Configs[i]; *got.Value != "5" || got.Source != int8(topic.SourceTopic) || got.ReadOnly || got.IsSensitive {
			t.Errorf("%s: retention.ms is %+v", name, got)
		}
	}
}

func TestCreateTopicsRefuses(t *testing.T) {
	w := newWorld(t, option{})
	c := w.dial()
	w.topic("there", 1)
	twice := newTopic("configs", 1, 1, "retention.ms", "1", "retention.ms", "2")
	both := assigned("both", map[int32][]int32{0: {1}})
	both.NumPartitions = 1
	again := assigned("again", map[int32][]int32{0: {1}, 1: {1}})
	again.ReplicaAssignment[1].Partition = 0
	req := creating(7,
		newTopic("a/b", 1, 1), newTopic("there", 1, 1), newTopic("none", 0, 1), newTopic("many", 2_000_000, 1), newTopic("rf", 1, 0),
		newTopic("unknown", 1, 1, "retention.mss", "1"), newTopic("value", 1, 1, "retention.ms", "x"), newTopic("codec", 1, 1, "compression.type", "zstd"),
		newTopic("twin", 1, 1), newTopic("twin", 2, 1), twice, both, assigned("gap", map[int32][]int32{0: {1}, 2: {1}}),
		assigned("uneven", map[int32][]int32{0: {1}, 1: {1, 2}}), assigned("same", map[int32][]int32{0: {1, 1}}), again,
		newTopic("good", 1, 300))
	want := []struct {
		name string
		code int16
		text string
	}{
		{"a/b", codeInvalidTopic, "character outside"}, {"there", codeTopicAlreadyExists, "there"}, {"none", codeInvalidPartitions, "not above 0"},
		{"many", codeInvalidPartitions, "more than 10000"}, {"rf", codeInvalidReplicationFactor, "0 is neither"},
		{"unknown", codeInvalidConfig, "did you mean retention.ms?"}, {"value", codeInvalidConfig, "retention.ms"}, {"codec", codeInvalidConfig, "never compresses"},
		{"twin", codeInvalidRequest, "more than once"}, {"configs", codeInvalidRequest, "more than once"}, {"both", codeInvalidRequest, "-1 partitions"},
		{"gap", codeInvalidReplicaAssignment, "0 to 1"}, {"uneven", codeInvalidReplicaAssignment, "2 replicas"},
		{"same", codeInvalidReplicaAssignment, "there twice"}, {"again", codeInvalidReplicaAssignment, "each once"},
		{"good", codeNone, ""},
	}
	resp := call[*kmsg.CreateTopicsResponse](c, req)
	if len(resp.Topics) != len(want) {
		t.Fatalf("%d answers for %d topics", len(resp.Topics), len(want))
	}
	for i, e := range want {
		rt := &resp.Topics[i]
		if rt.Topic != e.name {
			t.Errorf("answer %d is about %s, want %s", i, rt.Topic, e.name)
		}
		says(t, e.name, rt.ErrorCode, e.code, rt.ErrorMessage, e.text)
		if e.code != codeNone && (rt.NumPartitions != -1 || rt.ReplicationFactor != -1 || rt.TopicID != [16]byte{}) {
			t.Errorf("%s: a refusal tells %+v", e.name, rt)
		}
	}
	var names []string
	for _, top := range w.topics.List() {
		names = append(names, top.Name)
	}
	if got := strings.Join(names, " "); got != "good there" {
		t.Errorf("topics: %s", got)
	}
	if rf := resp.Topics[len(want)-1].ReplicationFactor; rf != 300 {
		t.Errorf("replication factor %d is told for 300", rf)
	}
}

func TestCreateTopicsAssignmentCountsAndValidateOnlyWritesNothing(t *testing.T) {
	w := newWorld(t, option{})
	c := w.dial()
	req := creating(7, assigned("x", map[int32][]int32{0: {9, 8}, 1: {8, 9}, 2: {7, 6}}), newTopic("a/b", 1, 1))
	req.ValidateOnly = true
	for range 2 {
		resp := call[*kmsg.CreateTopicsResponse](c, req)
		rt := resp.Topics[0]
		if rt.ErrorCode != codeNone || rt.NumPartitions != 3 || rt.ReplicationFactor != 2 || rt.TopicID != [16]byte{} || resp.Topics[1].ErrorCode != codeInvalidTopic {
			t.Fatalf("validate: %+v", resp)
		}
		if w.topics.Lookup("x") != nil {
			t.Fatal("validated, and created")
		}
	}
	req.ValidateOnly = false
	if resp := call[*kmsg.CreateTopicsResponse](c, req); resp.Topics[0].ErrorCode != codeNone || w.topics.Lookup("x").Partitions() != 3 {
		t.Fatalf("create: %+v", resp)
	}
	req.ValidateOnly = true
	if resp := call[*kmsg.CreateTopicsResponse](c, req); resp.Topics[0].ErrorCode != codeTopicAlreadyExists {
		t.Fatalf("validate what exists: %+v", resp)
	}
}

func TestDeleteTopicsEveryVersion(t *testing.T) {
	w := newWorld(t, option{})
	c := w.dial()
	for v := int16(1); v <= 6; v++ {
		top := w.topic("x", 1)
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TimeoutMillis = v, 5000
		req.TopicNames = []string{"x", "y", "z", "z", ""}
		for i := range req.TopicNames {
			req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &req.TopicNames[i]})
		}
		resp := call[*kmsg.DeleteTopicsResponse](c, req)
		var codes []int16
		for _, rt := range resp.Topics {
			codes = append(codes, rt.ErrorCode)
		}
		if !slices.Equal(codes, []int16{0, codeUnknownTopicOrPartition, codeInvalidRequest, codeUnknownTopicOrPartition}) {
			t.Fatalf("v%d: %v", v, codes)
		}
		if v >= 5 {
			says(t, "z", resp.Topics[2].ErrorCode, codeInvalidRequest, resp.Topics[2].ErrorMessage, "more than once")
		}
		if v >= 6 && resp.Topics[0].TopicID != [16]byte(top.ID) {
			t.Errorf("the id of what was deleted is %x", resp.Topics[0].TopicID)
		}
		if w.topics.Lookup("x") != nil {
			t.Fatalf("v%d: still there", v)
		}
	}
}

func TestDeleteTopicsByID(t *testing.T) {
	w := newWorld(t, option{})
	c := w.dial()
	x, y := w.topic("x", 1), w.topic("y", 1)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis = 6, 5000
	req.Topics = []kmsg.DeleteTopicsRequestTopic{
		{TopicID: x.ID}, {TopicID: [16]byte{1}}, {Topic: ptr("y"), TopicID: y.ID}, {}, {Topic: ptr("x")},
	}
	resp := call[*kmsg.DeleteTopicsResponse](c, req)
	says(t, "id", resp.Topics[0].ErrorCode, codeNone, resp.Topics[0].ErrorMessage, "")
	says(t, "made-up id", resp.Topics[1].ErrorCode, codeUnknownTopicID, resp.Topics[1].ErrorMessage, "01000000")
	says(t, "name and id", resp.Topics[2].ErrorCode, codeInvalidRequest, resp.Topics[2].ErrorMessage, "not by both")
	says(t, "nothing", resp.Topics[3].ErrorCode, codeInvalidRequest, resp.Topics[3].ErrorMessage, "neither")
	says(t, "the same by name", resp.Topics[4].ErrorCode, codeUnknownTopicOrPartition, resp.Topics[4].ErrorMessage, "x")
	if resp.Topics[0].Topic == nil || *resp.Topics[0].Topic != "x" || resp.Topics[1].Topic != nil {
		t.Errorf("names: %+v", resp.Topics)
	}
	if w.topics.Lookup("x") != nil || w.topics.Lookup("y") == nil {
		t.Error("deleted the wrong ones")
	}
}

func TestDeleteTopicsDisabled(t *testing.T) {
	w := newWorld(t, option{settings: map[string]string{"delete.topic.enable": "false"}})
	c := w.dial()
	w.topic("x", 1)
	for v, code := range map[int16]int16{1: codeInvalidRequest, 3: codeTopicDeletionDisabled, 6: codeTopicDeletionDisabled} {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TopicNames, req.Topics = v, []string{"x"}, []kmsg.DeleteTopicsRequestTopic{{Topic: ptr("x")}}
		if resp := call[*kmsg.DeleteTopicsResponse](c, req); resp.Topics[0].ErrorCode != code || w.topics.Lookup("x") == nil {
			t.Errorf("v%d: %+v", v, resp)
		}
	}
}

// CreatePartitions to 2,000,000 half-worked on a real Kafka and killed it: whole or not at all.
func TestCreatePartitions(t *testing.T) {
	w := newWorld(t, option{})
	c := w.dial()
	w.topic("x", 2)
	ask := func(v int16, validate bool, topics ...kmsg.CreatePartitionsRequestTopic) *kmsg.CreatePartitionsResponse {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Version, req.TimeoutMillis, req.ValidateOnly, req.Topics = v, 5000, validate, topics
		return call[*kmsg.CreatePartitionsResponse](c, req)
	}
	to := func(name string, n int32, assignment ...[]int32) kmsg.CreatePartitionsRequestTopic {
		rt := kmsg.CreatePartitionsRequestTopic{Topic: name, Count: n}
		for _, a := range assignment {
			rt.Assignment = append(rt.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: a})
		}
		return rt
	}
	for v := int16(0); v <= 3; v++ {
		n := w.topics.Lookup("x").Partitions()
		if resp := ask(v, true, to("x", n+1)); resp.Topics[0].ErrorCode != codeNone || w.topics.Lookup("x").Partitions() != n {
			t.Errorf("v%d, validate: %+v", v, resp)
		}
		if resp := ask(v, false, to("x", n+1)); resp.Topics[0].ErrorCode != codeNone || w.topics.Lookup("x").Partitions() != n+1 {
			t.Errorf("v%d: %+v", v, resp)
		}
	}
	resp := ask(3, false, to("x", 2_000_000), to("y", 2), to("a/b", 2), to("z", 1), to("z", 2))
	for i, e := range []struct {
		code int16
		text string
	}{{codeInvalidPartitions, "more than 10000"}, {codeUnknownTopicOrPartition, "y"}, {codeInvalidTopic, "character"}, {codeInvalidRequest, "more than once"}} {
		says(t, resp.Topics[i].Topic, resp.Topics[i].ErrorCode, e.code, resp.Topics[i].ErrorMessage, e.text)
	}
	for _, e := range []struct {
		topic kmsg.CreatePartitionsRequestTopic
		code  int16
		text  string
	}{
		{to("x", 6), codeInvalidPartitions, "can only grow"}, {to("x", 0), codeInvalidPartitions, "can only grow"},
		{to("x", 8, []int32{1}), codeInvalidReplicaAssignment, "for 1 partitions, and 2"},
		{to("x", 7, []int32{1, 1}), codeInvalidReplicaAssignment, "there twice"},
		{to("x", 8, []int32{1, 2}, []int32{2, 3}), codeNone, ""},
	} {
		rt := ask(3, false, e.topic).Topics[0]
		says(t, "x", rt.ErrorCode, e.code, rt.ErrorMessage, e.text)
	}
	if n := w.topics.Lookup("x").Partitions(); n != 8 {
		t.Errorf("%d partitions", n)
	}
}

func TestDescribeTopicConfigs(t *testing.T) {
	w := newWorld(t, option{settings: map[string]string{"log.retention.minutes": "1"}})
	c := w.dial()
	w.topic("x", 1, "cleanup.policy", "compact")
	for v := int16(1); v <= 4; v++ {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version, req.IncludeSynonyms, req.IncludeDocumentation = v, true, true
		req.Resources = []kmsg.DescribeConfigsRequestResource{
			{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "x"},
			{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "x", ConfigNames: []string{"retention.ms", "zzz"}},
			{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "y"},
			{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "a/b"},
			{ResourceType: kmsg.ConfigResourceTypeClientMetrics, ResourceName: "1"},
		}
		resp := call[*kmsg.DescribeConfigsResponse](c, req)
		all := resp.Resources[0].Configs
		i := slices.IndexFunc(all, func(c kmsg.DescribeConfigsResponseResourceConfig) bool { return c.Name == "cleanup.policy" })
		// Connect refuses to start unless its topics say exactly this.
		if p := all[i]; *p.Value != "compact" || p.Source != kmsg.ConfigSourceDynamicTopicConfig || p.ReadOnly || len(p.ConfigSynonyms) != 2 {
			t.Errorf("v%d: cleanup.policy is %+v", v, p)
		}
		if len(all) < 35 || len(resp.Resources[1].Configs) != 1 {
			t.Errorf("v%d: %d configs, %d asked for by name", v, len(all), len(resp.Resources[1].Configs))
		}
		r := resp.Resources[1].Configs[0]
		if *r.Value != "60000" || r.Source != kmsg.ConfigSourceStaticBrokerConfig || r.ConfigSynonyms[0].Name != "log.retention.minutes" {
			t.Errorf("v%d: retention.ms is %+v", v, r)
		}
		if v >= 3 && (r.ConfigType != kmsg.ConfigTypeLong || r.Documentation == nil) {
			t.Errorf("v%d: retention.ms is %+v", v, r)
		}
		for i, code := range []int16{0, 0, codeUnknownTopicOrPartition, codeInvalidTopic, codeInvalidRequest} {
			if resp.Resources[i].ErrorCode != code {
				t.Errorf("v%d: resource %d: %d, want %d", v, i, resp.Resources[i].ErrorCode, code)
			}
		}
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version = 4
	req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "x"}}
	if r := call[*kmsg.DescribeConfigsResponse](c, req).Resources[0].Configs[0]; r.Documentation != nil || len(r.ConfigSynonyms) != 0 {
		t.Errorf("told without being asked: %+v", r)
	}
}

func TestDescribeBrokerConfigs(t *testing.T) {
	w := newWorld(t, option{settings: map[string]string{"default.replication.factor": "2"}})
	c := w.dial()
	describe := func(kind kmsg.ConfigResourceType, name string, names ...string) (map[string]kmsg.DescribeConfigsResponseResourceConfig, kmsg.DescribeConfigsResponseResource) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version = 4
		req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: names}}
		r := call[*kmsg.DescribeConfigsResponse](c, req).Resources[0]
		got := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
		for _, e := range r.Configs {
			got[e.Name] = e
		}
		return got, r
	}
	got, r := describe(kmsg.ConfigResourceTypeBroker, "1")
	says(t, "node 1", r.ErrorCode, codeNone, r.ErrorMessage, "")
	for name, value := range map[string]string{
		"default.replication.factor": "2", "num.partitions": "1", "broker.id": "1", "node.id": "1", "broker.rack": "z1",
		"advertised.listeners": "PLAINTEXT://" + w.addr, "delete.topic.enable": "true", "log.cleanup.policy": "delete",
	} {
		if e := got[name]; e.Value == nil || *e.Value != value || !e.ReadOnly {
			t.Errorf("%s is %+v, want %s", name, e, value)
		}
	}
	if e, ok := got["log.retention.ms"]; !ok || e.Value != nil {
		t.Errorf("log.retention.ms is %+v", e)
	}
	var slots []slotJSON
	if err := json.Unmarshal([]byte(*got["varve.slots"].Value), &slots); err != nil || len(slots) != testSlots {
		t.Fatalf("varve.slots: %v, %v", slots, err)
	}
	if s := slots[3]; s.Slot != 3 || s.Leader != testNode || s.Epoch != testEpoch {
		t.Errorf("slot 3 is %+v", s)
	}
	// A console asks for every node it ever saw; ksqlDB must not be refused.
	if got, r = describe(kmsg.ConfigResourceTypeBroker, "77", "node.id", "listeners"); r.ErrorCode != codeNone || *got["node.id"].Value != "77" || got["listeners"].Value != nil || len(got) != 2 {
		t.Errorf("a node that is gone: %+v", r)
	}
	if _, r = describe(kmsg.ConfigResourceTypeBroker, ""); r.ErrorCode != codeNone || len(r.Configs) != 0 {
		t.Errorf("all brokers: %+v", r)
	}
	_, r = describe(kmsg.ConfigResourceTypeBroker, "x")
	says(t, "node x", r.ErrorCode, codeInvalidRequest, r.ErrorMessage, "not a node id")
	if got, r = describe(kmsg.ConfigResourceTypeGroupConfig, "g"); r.ErrorCode != codeNone || *got["consumer.session.timeout.ms"].Value != "45000" {
		t.Errorf("group: %+v", r)
	}
}

// What Kafka's tools ask for besides: documentation, and the level of loggers.
func TestDescribeDocumentationAndLoggers(t *testing.T) {
	w := newWorld(t, option{})
	c := w.dial()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version, req.IncludeSynonyms, req.IncludeDocumentation = 4, true, true
	req.Resources = []kmsg.DescribeConfigsRequestResource{
		{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1", ConfigNames: []string{"ssl.key.password", "log.cleaner.delete.retention.ms", "num.partitions"}},
		{ResourceType: kmsg.ConfigResourceTypeBrokerLogger, ResourceName: "1"},
		{ResourceType: kmsg.ConfigResourceTypeBrokerLogger, ResourceName: ""},
		{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: "g", ConfigNames: []string{"share.auto.offset.reset"}},
	}
	resp := call[*kmsg.DescribeConfigsResponse](c, req)
	got := resp.Resources[0].Configs
	if len(got) != 3 || got[0].Name != "log.cleaner.delete.retention.ms" || len(got[0].ConfigSynonyms) != 1 || !strings.HasPrefix(*got[0].Documentation, "Not yet: ") {
		t.Errorf("log.cleaner.delete.retention.ms: %+v", got)
	}
	if p := got[2]; p.ConfigType != kmsg.ConfigTypePassword || !p.IsSensitive || p.Value != nil || !strings.HasPrefix(*p.Documentation, "Fixed: ") {
		t.Errorf("a password: %+v", p)
	}
	if n := got[1]; n.IsSensitive || n.Source != kmsg.ConfigSourceDefaultConfig {
		t.Errorf("num.partitions: %+v", n)
	}
	if l := resp.Resources[1]; len(l.Configs) != 1 || l.Configs[0].Name != "root" || *l.Configs[0].Value != "ERROR" || l.Configs[0].Source != kmsg.ConfigSourceDynamicBrokerLoggerConfig {
		t.Errorf("loggers: %+v", l)
	}
	says(t, "logger of nobody", resp.Resources[2].ErrorCode, codeInvalidRequest, resp.Resources[2].ErrorMessage, "not a node id")
	if g := resp.Resources[3].Configs; len(g) != 1 || *g[0].Value != "latest" {
		t.Errorf("group: %+v", g)
	}
}

func TestIncrementalAlterConfigs(t *testing.T) {
	w := newWorld(t, option{})
	c := w.dial()
	w.topic("x", 1, "retention.bytes", "9")
	type config = kmsg.IncrementalAlterConfigsRequestResourceConfig
	ask := func(v int16, validate bool, kind kmsg.ConfigResourceType, name string, configs ...config) (int16, *string) {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Version, req.ValidateOnly = v, validate
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kind, ResourceName: name, Configs: configs}}
		r := call[*kmsg.IncrementalAlterConfigsResponse](c, req).Resources[0]
		if r.ResourceType != kind || r.ResourceName != name {
			t.Errorf("the answer is about %v %s", r.ResourceType, r.ResourceName)
		}
		return r.ErrorCode, r.ErrorMessage
	}
	onTopic := func(want int16, text string, configs ...config) {
		t.Helper()
		code, msg := ask(1, false, kmsg.ConfigResourceTypeTopic, "x", configs...)
		says(t, "x", code, want, msg, text)
	}
	set, del, add, sub := kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	onTopic(0, "", config{Name: "retention.ms", Op: set, Value: ptr("7")}, config{Name: "retention.bytes", Op: del})
	onTopic(0, "", config{Name: "cleanup.policy", Op: add, Value: ptr("compact")})
	if top := w.topics.Lookup("x"); top.Config.RetentionMS != 7 || top.Config.RetentionBytes != -1 || top.Overrides["cleanup.policy"] != "delete,compact" {
		t.Errorf("set, deleted, appended: %v", top.Overrides)
	}
	onTopic(0, "", config{Name: "cleanup.policy", Op: sub, Value: ptr("delete")})
	onTopic(codeInvalidConfig, "the list is empty", config{Name: "cleanup.policy", Op: sub, Value: ptr("compact")})
	onTopic(codeInvalidConfig, "it is LONG", config{Name: "retention.ms", Op: add, Value: ptr("1")})
	onTopic(codeInvalidRequest, "operation 9", config{Name: "retention.ms", Op: 9, Value: ptr("1")})
	onTopic(codeInvalidRequest, "operation 4", config{Op: 4}) // the room's own word for "all of them" is not for clients
	onTopic(codeInvalidRequest, "operation -1", config{Name: "retention.ms", Op: -1})
	onTopic(codeInvalidRequest, "named twice", config{Name: "retention.ms", Op: set, Value: ptr("1")}, config{Name: "retention.ms", Op: del})
	onTopic(codeInvalidConfig, "did you mean retention.ms?", config{Name: "retention.ns", Op: set, Value: ptr("1")})
	if top := w.topics.Lookup("x"); top.Config.RetentionMS != 7 || top.Overrides["cleanup.policy"] != "compact" {
		t.Errorf("refused, and done: %v", top.Overrides)
	}
	for v := range int16(2) {
		if code, _ := ask(v, true, kmsg.ConfigResourceTypeTopic, "x", config{Name: "retention.ms", Op: set, Value: ptr("8")}); code != 0 || w.topics.Lookup("x").Config.RetentionMS != 7 {
			t.Errorf("v%d, validate: %d, %v", v, code, w.topics.Lookup("x").Overrides)
		}
	}
	for _, e := range []struct {
		kind       kmsg.ConfigResourceType
		name, conf string
		code       int16
		text       string
	}{
		{kmsg.ConfigResourceTypeTopic, "y", "retention.ms", codeUnknownTopicOrPartition, "y"},
		{kmsg.ConfigResourceTypeTopic, "a/b", "retention.ms", codeInvalidTopic, "character"},
		{kmsg.ConfigResourceTypeBroker, "1", "num.partitions", codeInvalidRequest, "--set num.partitions=VALUE"},
		{kmsg.ConfigResourceTypeBroker, "", "num.partitions", codeInvalidRequest, "--set num.partitions=VALUE"},
		{kmsg.ConfigResourceTypeBroker, "1", "num.partition", codeInvalidConfig, "did you mean num.partitions?"},
		{kmsg.ConfigResourceTypeBroker, "1", "varve.slots", codeInvalidRequest, "who leads which slot"},
		{kmsg.ConfigResourceTypeBroker, "b", "num.partitions", codeInvalidRequest, "not a node id"},
		{kmsg.ConfigResourceTypeGroupConfig, "g", "consumer.session.timeout.ms", codeInvalidConfig, "below group.consumer.min.session.timeout.ms, which is 45000"},
		{kmsg.ConfigResourceTypeGroupConfig, "g", "share.session.timeout.ms", codeInvalidRequest, "cannot be set on a group: share groups"},
		{kmsg.ConfigResourceTypeGroupConfig, "", "consumer.session.timeout.ms", codeInvalidGroupID, "invalid group id"},
		{kmsg.ConfigResourceTypeGroupConfig, "g", "consumer.session.timeout", codeInvalidConfig, "did you mean consumer.session.timeout.ms?"},
		{kmsg.ConfigResourceTypeBrokerLogger, "1", "root", codeInvalidRequest, "--log-level"},
		{kmsg.ConfigResourceTypeClientMetrics, "m", "interval.ms", codeInvalidRequest, "resource type 16"},
	} {
		code, msg := ask(1, false, e.kind, e.name, config{Name: e.conf, Op: set, Value: ptr("1")})
		says(t, e.name+" "+e.conf, code, e.code, msg, e.text)
	}
}

func TestAlterConfigsReplacesAll(t *testing.T) {
	w := newWorld(t, option{})
	c := w.dial()
	for v := int16(0); v <= 2; v++ {
		name := "v" + string(rune('0'+v))
		w.topic(name, 1, "retention.ms", "7", "retention.bytes", "9")
		req := kmsg.NewPtrAlterConfigsRequest()
		req.Version = v
		req.Resources = []kmsg.AlterConfigsRequestResource{
			{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name, Configs: []kmsg.AlterConfigsRequestResourceConfig{
				{Name: "retention.ms", Value: ptr("8")}, {Name: "segment.ms"},
			}},
			{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "num.partitions", Value: ptr("8")}}},
			{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "2"},
			{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "twice"},
			{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "twice"},
		}
		req.ValidateOnly = true
		for range 2 {
			resp := call[*kmsg.AlterConfigsResponse](c, req)
			var codes []int16
			for _, r := range resp.Resources {
				codes = append(codes, r.ErrorCode)
			}
			if !slices.Equal(codes, []int16{0, codeInvalidRequest, 0, codeInvalidRequest}) {
				t.Errorf("v%d: %v", v, codes)
			}
			top := w.topics.Lookup(name)
			if n := len(top.Overrides); req.ValidateOnly && n != 2 || !req.ValidateOnly && (n != 1 || top.Config.RetentionMS != 8) {
				t.Errorf("v%d, validate %v: %v", v, req.ValidateOnly, top.Overrides)
			}
			req.ValidateOnly = false
		}
	}
}

// A client that gives up must not hold up the agent, and what it asked for is not told as done.
func TestAdminCallsEndWithTheirContext(t *testing.T) {
	w := newWorld(t, option{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	resp := w.s.createTopics(ctx, creating(7, newTopic("x", 1, 1)))
	if rt := resp.Topics[0]; rt.ErrorCode != codeRequestTimedOut || rt.ErrorMessage == nil {
		t.Errorf("create: %+v", rt)
	}
}
