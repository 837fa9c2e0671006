package kafka

import (
	"context"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/metastore"
)

// TestSE3NoAuthorizer: ACL calls of every version say that there is no authorizer, once for each thing asked.
func TestSE3NoAuthorizer(t *testing.T) {
	c := newWorld(t, option{}).dial()
	for v := int16(1); v <= 3; v++ {
		describe := kmsg.NewPtrDescribeACLsRequest()
		describe.Version = v
		d := call[*kmsg.DescribeACLsResponse](c, describe)
		says(t, "describe", d.ErrorCode, codeSecurityDisabled, d.ErrorMessage, "no authorizer")
		create := kmsg.NewPtrCreateACLsRequest()
		create.Version, create.Creations = v, make([]kmsg.CreateACLsRequestCreation, 2)
		made := call[*kmsg.CreateACLsResponse](c, create)
		remove := kmsg.NewPtrDeleteACLsRequest()
		remove.Version, remove.Filters = v, make([]kmsg.DeleteACLsRequestFilter, 3)
		gone := call[*kmsg.DeleteACLsResponse](c, remove)
		if len(made.Results) != 2 || len(gone.Results) != 3 {
			t.Fatalf("v%d: %d and %d results", v, len(made.Results), len(gone.Results))
		}
		says(t, "create", made.Results[1].ErrorCode, codeSecurityDisabled, made.Results[1].ErrorMessage, "no authorizer")
		says(t, "delete", gone.Results[2].ErrorCode, codeSecurityDisabled, gone.Results[2].ErrorMessage, "no authorizer")
	}
}

// sizes returns the bytes that an answer tells, by topic and partition.
func sizes(resp *kmsg.DescribeLogDirsResponse) map[string]map[int32]int64 {
	all := map[string]map[int32]int64{}
	for _, t := range resp.Dirs[0].Topics {
		all[t.Topic] = map[int32]int64{}
		for _, p := range t.Partitions {
			all[t.Topic][p.Partition] = p.Size
		}
	}
	return all
}

// TestCG16LogDirs: one directory, the bytes of committed batches, of what this agent leads and of nothing else.
func TestCG16LogDirs(t *testing.T) {
	w, c := loaded(t, option{}, 2, 3, 4)
	w.topic("empty", 1)
	n := int64(len(batch(t, 3, 100)) + len(batch(t, 4, 100)))
	ask := func(v int16, topics ...kmsg.DescribeLogDirsRequestTopic) *kmsg.DescribeLogDirsResponse {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Version, req.Topics = v, topics
		return call[*kmsg.DescribeLogDirsResponse](c, req)
	}
	for v := int16(1); v <= 4; v++ {
		resp := ask(v)
		d := resp.Dirs[0]
		if len(resp.Dirs) != 1 || d.Dir != logDir || d.ErrorCode != 0 || resp.ErrorCode != 0 || d.TotalBytes != -1 || d.UsableBytes != -1 {
			t.Fatalf("v%d: %+v", v, resp)
		}
		if got, want := sizes(resp), map[string]map[int32]int64{"empty": {0: 0}, "t": {0: n, 1: n}}; !reflect.DeepEqual(got, want) {
			t.Errorf("v%d: %v, want %v", v, got, want)
		}
		one := kmsg.DescribeLogDirsRequestTopic{Topic: "t", Partitions: []int32{1, 7, -1, 1}}
		none := kmsg.DescribeLogDirsRequestTopic{Topic: "nope", Partitions: []int32{0}}
		if got, want := sizes(ask(v, one, none, one)), map[string]map[int32]int64{"t": {1: n}}; !reflect.DeepEqual(got, want) {
			t.Errorf("v%d, named: %v, want %v", v, got, want)
		}
		if got := sizes(ask(v, []kmsg.DescribeLogDirsRequestTopic{}...)); len(got) != 0 { // empty is not null
			t.Errorf("v%d, no topic asked for: %v", v, got)
		}
	}
	w.set.End()
	if got := sizes(ask(4)); len(got) != 0 {
		t.Errorf("leading nothing: %v", got)
	}
}

// TestCG16LogDirsOfSegments: what went into segments counts as before; if the table does not answer, no size is told.
func TestCG16LogDirsOfSegments(t *testing.T) {
	var refuse atomic.Bool
	w, c := loaded(t, option{before: func(s *Server) {
		size := s.deps.ExtentBytes
		s.deps.ExtentBytes = func(ctx context.Context, topic uuid.UUID, index int32, start, tiered int64) (int64, error) {
			if refuse.Load() {
				return 0, metastore.ErrThrottled
			}
			return size(ctx, topic, index, start, tiered)
		}
	}}, 3, 2, 3, 4)
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version, req.Topics = 4, nil
	want := sizes(call[*kmsg.DescribeLogDirsResponse](c, req))
	top := w.topics.Lookup("t")
	w.tier(top, 0, 2)
	w.tier(top, 2, 3) // all of it
	if got := sizes(call[*kmsg.DescribeLogDirsResponse](c, req)); !reflect.DeepEqual(got, want) || got["t"][2] == 0 {
		t.Errorf("%v, want %v", got, want)
	}
	refuse.Store(true)
	if d := call[*kmsg.DescribeLogDirsResponse](c, req).Dirs[0]; d.ErrorCode != codeStorage || len(d.Topics) != 0 {
		t.Errorf("a table that refuses: %+v", d)
	}
}

func TestElectLeadersNotNeeded(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 2)
	w.node.change(func(v *cluster.View) {
		for i := range v.Slots {
			if i != int(top.Slots[0]) {
				v.Slots[i].Node = -1
			}
		}
	})
	c := w.dial()
	for v := int16(0); v <= 2; v++ {
		for kind, lost := range map[int8]int16{electPreferred: codeNoPreferredLeader, electUnclean: codeNoEligibleLeaders} {
			if v == 0 && kind != electPreferred {
				continue // there is no such field
			}
			req := kmsg.NewPtrElectLeadersRequest()
			req.Version, req.ElectionType = v, kind
			req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: []int32{0, 1, 2}}, {Topic: "nope", Partitions: []int32{0}}}
			resp := call[*kmsg.ElectLeadersResponse](c, req)
			p := resp.Topics[0].Partitions
			says(t, "led", p[0].ErrorCode, codeElectionNotNeeded, p[0].ErrorMessage, "has a leader")
			says(t, "not led", p[1].ErrorCode, lost, p[1].ErrorMessage, "takes over")
			says(t, "beyond", p[2].ErrorCode, codeUnknownTopicOrPartition, p[2].ErrorMessage, "no such")
			p = resp.Topics[1].Partitions
			says(t, "unknown", p[0].ErrorCode, codeUnknownTopicOrPartition, p[0].ErrorMessage, "no such")
			req.Topics = nil
			if resp := call[*kmsg.ElectLeadersResponse](c, req); resp.ErrorCode != 0 || len(resp.Topics) != 0 {
				t.Errorf("v%d, all: %+v", v, resp)
			}
		}
	}
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version, req.ElectionType = 2, 7
	if resp := call[*kmsg.ElectLeadersResponse](c, req); resp.ErrorCode != codeInvalidRequest {
		t.Errorf("kind 7: %+v", resp)
	}
}

func TestReassignments(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 2)
	c := w.dial()
	for v := int16(0); v <= 1; v++ {
		req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		req.Version, req.AllowReplicationFactorChange = v, v == 0
		rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
		rt.Topic = "t"
		rt.Partitions = []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 0, Replicas: []int32{1, 2}}, {Partition: 1}}
		req.Topics = append(req.Topics, rt)
		resp := call[*kmsg.AlterPartitionAssignmentsResponse](c, req)
		p := resp.Topics[0].Partitions
		says(t, "assign", p[0].ErrorCode, codeInvalidRequest, p[0].ErrorMessage, "object store")
		says(t, "cancel", p[1].ErrorCode, codeNoReassignmentInProgress, p[1].ErrorMessage, "no reassignment")
		if resp.ErrorCode != 0 || p[1].Partition != 1 || resp.AllowReplicationFactorChange != (v == 0) {
			t.Errorf("v%d: %+v", v, resp)
		}
	}
	for _, topics := range [][]kmsg.ListPartitionReassignmentsRequestTopic{nil, {{Topic: "t", Partitions: []int32{0}}}} {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.Topics = topics
		if resp := call[*kmsg.ListPartitionReassignmentsResponse](c, req); resp.ErrorCode != 0 || resp.ErrorMessage != nil || len(resp.Topics) != 0 {
			t.Errorf("list: %+v", resp)
		}
	}
}

func TestClientQuotas(t *testing.T) {
	c := newWorld(t, option{}).dial()
	for v := int16(0); v <= 1; v++ {
		describe := kmsg.NewPtrDescribeClientQuotasRequest()
		describe.Version, describe.Components = v, []kmsg.DescribeClientQuotasRequestComponent{{EntityType: "user", MatchType: 2}}
		if resp := call[*kmsg.DescribeClientQuotasResponse](c, describe); resp.ErrorCode != 0 || resp.Entries == nil || len(resp.Entries) != 0 {
			t.Errorf("v%d: %+v", v, resp)
		}
		alter := kmsg.NewPtrAlterClientQuotasRequest()
		e := kmsg.AlterClientQuotasRequestEntry{Entity: []kmsg.AlterClientQuotasRequestEntryEntity{{Type: "user", Name: ptr("u")}, {Type: "client-id"}}}
		alter.Version, alter.Entries = v, []kmsg.AlterClientQuotasRequestEntry{e}
		got := call[*kmsg.AlterClientQuotasResponse](c, alter).Entries[0]
		says(t, "alter", got.ErrorCode, codeInvalidRequest, got.ErrorMessage, "quotas are not supported")
		if len(got.Entity) != 2 || got.Entity[0].Type != "user" || *got.Entity[0].Name != "u" || got.Entity[1].Name != nil {
			t.Errorf("v%d: %+v", v, got)
		}
	}
}

func TestSCRAMUsers(t *testing.T) {
	c := newWorld(t, option{}).dial()
	req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	if resp := call[*kmsg.DescribeUserSCRAMCredentialsResponse](c, req); resp.ErrorCode != 0 || len(resp.Results) != 0 {
		t.Errorf("all: %+v", resp)
	}
	req.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: "a"}, {Name: "b"}, {Name: "a"}}
	r := call[*kmsg.DescribeUserSCRAMCredentialsResponse](c, req).Results
	if len(r) != 2 || r[0].User != "a" || r[1].User != "b" {
		t.Fatalf("named: %+v", r)
	}
	says(t, "a", r[0].ErrorCode, codeDuplicateResource, r[0].ErrorMessage, "more than once")
	says(t, "b", r[1].ErrorCode, codeResourceNotFound, r[1].ErrorMessage, "no SCRAM users")
}

func TestAlterSCRAMUsersIsRefused(t *testing.T) {
	c := newWorld(t, option{}).dial()
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	req.Deletions = []kmsg.AlterUserSCRAMCredentialsRequestDeletion{{Name: "a", Mechanism: 1}, {Name: "b", Mechanism: 1}}
	req.Upsertions = []kmsg.AlterUserSCRAMCredentialsRequestUpsertion{
		{Name: "b", Mechanism: 1, Iterations: 4096, Salt: []byte("s"), SaltedPassword: []byte("p")}, {Name: "c", Mechanism: 2, Iterations: 4096},
	}
	r := call[*kmsg.AlterUserSCRAMCredentialsResponse](c, req).Results
	if len(r) != 3 || r[0].User != "a" || r[1].User != "b" || r[2].User != "c" {
		t.Fatalf("%+v", r)
	}
	says(t, "a", r[0].ErrorCode, codeResourceNotFound, r[0].ErrorMessage, "no SCRAM users")
	says(t, "b", r[1].ErrorCode, codeDuplicateResource, r[1].ErrorMessage, "more than once")
	says(t, "c", r[2].ErrorCode, codeSecurityDisabled, r[2].ErrorMessage, "no authentication")
}

func TestUpdateFeatures(t *testing.T) {
	c := newWorld(t, option{}).dial()
	for v := int16(0); v <= 2; v++ {
		ask := func(updates ...kmsg.UpdateFeaturesRequestFeatureUpdate) *kmsg.UpdateFeaturesResponse {
			req := kmsg.NewPtrUpdateFeaturesRequest()
			req.Version, req.FeatureUpdates = v, updates
			return call[*kmsg.UpdateFeaturesResponse](c, req)
		}
		same := kmsg.UpdateFeaturesRequestFeatureUpdate{Feature: "metadata.version", MaxVersionLevel: metadataVersion}
		up, other := same, same
		up.MaxVersionLevel++
		other.Feature = "share.version"
		resp := ask(same)
		says(t, "same level", resp.ErrorCode, codeNone, resp.ErrorMessage, "")
		if v < 2 && (len(resp.Results) != 1 || resp.Results[0].Feature != "metadata.version" || resp.Results[0].ErrorCode != 0) || v == 2 && resp.Results != nil {
			t.Errorf("v%d: %+v", v, resp)
		}
		resp = ask(same, up)
		says(t, "level above", resp.ErrorCode, codeInvalidUpdateVersion, resp.ErrorMessage, "is at level 25")
		if len(resp.Results) != 0 {
			t.Errorf("v%d: a refusal tells %+v", v, resp.Results)
		}
		resp = ask(other)
		says(t, "other feature", resp.ErrorCode, codeInvalidUpdateVersion, resp.ErrorMessage, "share.version")
	}
}

func producersAsked(top string, partitions ...int32) *kmsg.DescribeProducersRequest {
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: top, Partitions: partitions}}
	return req
}

func TestDescribeProducers(t *testing.T) {
	w, c := loaded(t, option{}, 2, 1)
	for i, b := range [][]byte{batch(t, 3, 1, idempotent(9, 2, 0)), batch(t, 2, 1, idempotent(9, 2, 3)), batch(t, 1, 1, idempotent(4, 0, 0))} {
		if p := produced(call[*kmsg.ProduceResponse](c, producing(9, "t", b))); p.ErrorCode != 0 {
			t.Fatalf("batch %d: %+v", i, p)
		}
	}
	resp := call[*kmsg.DescribeProducersResponse](c, producersAsked("t", 0, 1, 2, 0))
	p := resp.Topics[0].Partitions
	if len(p) != 3 || len(p[0].ActiveProducers) != 2 || len(p[1].ActiveProducers) != 0 || p[1].ErrorCode != 0 {
		t.Fatalf("answer %+v", resp)
	}
	if a := p[0].ActiveProducers[0]; a.ProducerID != 4 || a.ProducerEpoch != 0 || a.LastSequence != 0 {
		t.Errorf("producer 4: %+v", a)
	}
	if a := p[0].ActiveProducers[1]; a.ProducerID != 9 || a.ProducerEpoch != 2 || a.LastSequence != 4 || a.LastTimestamp <= 0 ||
		a.CoordinatorEpoch != -1 || a.CurrentTxnStartOffset != -1 {
		t.Errorf("producer 9: %+v", a)
	}
	says(t, "beyond", p[2].ErrorCode, codeUnknownTopicOrPartition, p[2].ErrorMessage, "no such")
	for name, code := range map[string]int16{"nope": codeUnknownTopicOrPartition, "a/b": codeInvalidTopic} {
		if p := call[*kmsg.DescribeProducersResponse](c, producersAsked(name, 0)).Topics[0].Partitions[0]; p.ErrorCode != code || p.ErrorMessage == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if p := w.s.producersOf("t", w.topics.Lookup("t"), 0, 1); p.ErrorCode != codeInvalidRequest || p.ActiveProducers != nil {
		t.Errorf("no room: %+v", p)
	}
	w.set.End()
	if p := call[*kmsg.DescribeProducersResponse](c, producersAsked("t", 0)).Topics[0].Partitions[0]; p.ErrorCode != codeNotLeaderOrFollower {
		t.Errorf("not led: %+v", p)
	}
}

func TestListConfigResources(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("b", 1)
	w.topic("a", 1)
	c := w.dial()
	ask := func(v int16, types ...int8) (names []string, code int16) {
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.Version, req.ResourceTypes = v, types
		resp := call[*kmsg.ListConfigResourcesResponse](c, req)
		for _, r := range resp.ConfigResources {
			names = append(names, string(rune('0'+r.Type))+r.Name)
		}
		return names, resp.ErrorCode
	}
	for _, e := range []struct {
		version int16
		types   []int8
		want    []string
		code    int16
	}{
		{0, nil, nil, 0}, {1, nil, []string{"2a", "2b", "41", "81"}, 0}, {1, []int8{2}, []string{"2a", "2b"}, 0}, {1, []int8{4, 32}, []string{"41"}, 0},
		{1, []int8{8, 16, 32}, []string{"81"}, 0}, {1, []int8{2, 3}, nil, codeUnsupportedVersion},
	} {
		if names, code := ask(e.version, e.types...); code != e.code || !slices.Equal(names, e.want) {
			t.Errorf("v%d, types %v: %v, code %d", e.version, e.types, names, code)
		}
	}
}
