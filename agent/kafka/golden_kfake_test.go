package kafka

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// twin is kfake with the world that goldenWorld has.
func twin(t *testing.T) (*client, goldenFacts) {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ClusterID("AQAAAAAAAAAAAAAAAAAAAA"), kfake.SeedTopics(2, "t"))
	must(t, err)
	t.Cleanup(k.Close)
	nc, err := net.Dial("tcp", k.ListenAddrs()[0])
	must(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	c := &client{t: t, nc: nc}
	goldenRecords(t, c)
	top := call[*kmsg.MetadataResponse](c, metadataOf(12, "t")).Topics[0]
	return c, goldenFacts{id: top.TopicID, node: top.Partitions[0].Leader, epoch: top.Partitions[0].LeaderEpoch}
}

// kfakeVersions is what kfake says it has.
func kfakeVersions(t *testing.T) map[int16][2]int16 {
	t.Helper()
	c, _ := twin(t)
	told := map[int16][2]int16{}
	for _, k := range call[*kmsg.ApiVersionsResponse](c, apiVersions(3)).ApiKeys {
		told[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	return told
}

// labels are the fields that say which element of a list one is, so that elements are compared in whatever order they come.
func labels() []string {
	return []string{"Topic", "TopicID", "Partition", "ApiKey", "Key", "Name", "ResourceName", "NodeID", "User", "Dir", "ProducerID"}
}

// label renames the elements of lists to what they are about.
func (n *node) label() {
	for _, p := range n.parts {
		p.label()
		for _, l := range labels() {
			at := slices.IndexFunc(p.parts, func(f *node) bool { return f.name == l && f.text != "null" && f.text != `""` && f.text != "" })
			if n.list && at >= 0 {
				p.name = strings.ReplaceAll(strings.Trim(p.parts[at].text, `"`), "/", "_")
				break
			}
		}
	}
}

// own replaces what each server has of its own: the topic's id, the node's number, the leaders' epoch. field is the field
// that n is, or is an element of.
func (n *node) own(field string, f goldenFacts) {
	switch field {
	case "NodeID", "ControllerID", "Leader", "LeaderID", "Replicas", "ISR", "ResourceName", "Name":
		if strings.Trim(n.text, `"`) == strconv.Itoa(int(f.node)) {
			n.text = "the-node"
		}
	case "LeaderEpoch":
		if n.text == strconv.Itoa(int(f.epoch)) {
			n.text = "the-epoch"
		}
	case "TopicID":
		if n.text == strconv.Quote(f.id.String()) {
			n.text = "the-id"
		}
	}
	for _, p := range n.parts {
		if n.list {
			p.own(field, f)
		} else {
			p.own(p.name, f)
		}
	}
}

// fields returns the leaves of an answer by path.
func fields(resp kmsg.Response, f goldenFacts) map[string]string {
	n, flat := tree(resp), map[string]string{}
	n.own("", f)
	n.label()
	n.flatten("", flat)
	return flat
}

// TestGoldenAgainstKfake: what kfake answers to the golden requests is what we answer, field by field, but for the differences
// that are listed, each of which must be seen.
func TestGoldenAgainstKfake(t *testing.T) {
	told, rules := kfakeVersions(t), differences()
	used := make([]bool, len(rules))
	each(func(a *api, version int16) {
		if theirs, ok := told[a.key]; !ok || version < theirs[0] || version > theirs[1] {
			return
		}
		want := answerOf(t, a, version)
		got := goldenWorld(t).goldenAnswer(a, version)
		for _, p := range slices.Sorted(maps.Keys(union(got, want))) {
			if got[p] == want[p] {
				continue
			}
			i := slices.IndexFunc(rules, func(d difference) bool { return d.covers(a.key, p) })
			if i < 0 {
				t.Errorf("%s v%d: %s is %s, of kfake %s", a.name, version, p, cmp.Or(got[p], "absent"), cmp.Or(want[p], "absent"))
				continue
			}
			used[i] = true
		}
	})
	for i, d := range rules {
		if !used[i] {
			t.Errorf("key %d, %s: the difference is seen no more: remove it (%s)", d.key, d.path, d.why)
		}
	}
}

func union(a, b map[string]string) map[string]string {
	u := maps.Clone(a)
	maps.Copy(u, b)
	return u
}

// goldenAnswer has this server answer.
func (w *world) goldenAnswer(a *api, version int16) map[string]string {
	req := goldenRequest(w.t.(*testing.T), a.key, version, ourFacts())
	c := w.dial()
	return fields(steady(receive[kmsg.Response](c, req, c.send(req))), ourFacts())
}

// answerOf has kfake answer.
func answerOf(t *testing.T, a *api, version int16) map[string]string {
	t.Helper()
	c, facts := twin(t)
	req := goldenRequest(t, a.key, version, facts)
	return fields(steady(receive[kmsg.Response](c, req, c.send(req))), facts)
}

// difference is one that we know of and keep.
type difference struct {
	key  int16  // -1: any
	path string // as path.Match has it; an element of a list is named by what it is about. Without "/": the name of a field
	why  string
}

func (d difference) covers(key int16, p string) bool {
	if d.key >= 0 && d.key != key {
		return false
	}
	if ok, _ := path.Match(d.path, path.Base(p)); ok {
		return true
	}
	for ; p != "."; p = path.Dir(p) { // a rule about a structure is about all of it
		if ok, err := path.Match(d.path, p); err != nil {
			panic(fmt.Sprintf("%s: %v", d.path, err))
		} else if ok {
			return true
		}
	}
	return false
}

func differences() []difference {
	return []difference{
		{-1, "ErrorMessage", "prose; kfake mostly has none"},
		{-1, "Host", "each has its own address"},
		{-1, "Port", "each has its own address"},
		{-1, "Rack", "the name of the zone"},
		{0, "Topics/*/Partitions/9/BaseOffset", "Kafka has -1 beside an error, as we; kfake 0"},
		{1, "Topics/*/Partitions/*/AbortedTransactions", "read_committed has an empty list in Kafka and here, null in kfake"},
		{1, "Topics/*/Partitions/9/HighWatermark", "Kafka has -1 beside an error, as we; kfake 0"},
		{3, "Topics/*/AuthorizedOperations", "a topic that is not there has none here"},
		{3, "AuthorizedOperations", "kfake adds Read, Write and Delete, which clusters do not have"},
		{9, "Topics*", "of a group that is not there Kafka and we say that nothing was committed; kfake GROUP_ID_NOT_FOUND"},
		{9, "Groups*", "of a group that is not there Kafka and we say that nothing was committed; kfake GROUP_ID_NOT_FOUND"},
		{9, "ErrorCode", "of a group that is not there Kafka and we say that nothing was committed; kfake GROUP_ID_NOT_FOUND"},
		{12, "ErrorCode", "of a group that is not there Kafka says UNKNOWN_MEMBER_ID, as we; kfake GROUP_ID_NOT_FOUND"},
		{13, "ErrorCode", "as in Heartbeat, said of each member since version 3"},
		{13, "Members*", "as in Heartbeat, said of each member since version 3"},
		{18, "FinalizedFeaturesEpoch", "ours rose when group.version came"},
		{69, "Groups/*/AuthorizedOperations", "a group that is not there has none in Kafka and here"},
		{14, "ErrorCode", "as in Heartbeat"},
		{15, "Groups/*/AuthorizedOperations", "Kafka 4 has DescribeConfigs and AlterConfigs of groups, too"},
		{18, "ApiKeys/*", "SKIPPED.md says what is absent; kfake begins ListOffsets and others at 0, Produce and OffsetForLeaderEpoch at 3"},
		{18, "SupportedFeatures/*", "no feature but metadata.version, until it is there"},
		{18, "FinalizedFeatures/*", "no feature but metadata.version, until it is there"},
		{19, "Topics/a_b", "kfake checks no names"},
		{19, "Topics/made/Configs/*", "kfake knows fewer configs"},
		{20, "Topics/00000000-0000-4000-8000-0000000000cc/Topic", "null is a topic without a name, in Kafka and here"},
		{21, "Topics/t/Partitions/*/LowWatermark", "Kafka has -1 beside an error, as we; kfake 0"},
		{22, "ProducerID", "kfake takes a random one"},
		{29, "ErrorCode", "no authorizer; kfake without one lists nothing"},
		{30, "Results/*/ErrorCode", "no authorizer; kfake without one says yes"},
		{31, "Results/*/ErrorCode", "no authorizer; kfake without one deletes nothing"},
		{32, "Resources/*/Configs/*/ConfigSynonyms*", "kfake has no synonyms of what is not set"},
		{32, "Resources/*/Configs/*/Documentation", "kfake has none"},
		{32, "Resources/the-node/Configs*", "kfake does not know num.partitions"},
		{35, "Dirs/*", "the one directory has a name and no size of its own; what it holds is compared in TestCG16LogDirs"},
		{43, "Topics/t/Partitions/0/ErrorCode", "ELECTION_NOT_NEEDED, as Kafka with a leader in place; kfake elects"},
		{45, "Topics/t/Partitions/0/ErrorCode", "nothing is assigned here"},
		{48, "Entries", "Kafka has null beside an error only"},
		{49, "Entries/0/ErrorCode", "no quotas here"},
		{51, "Results/v/ErrorCode", "no authentication here"},
		{57, "ErrorCode", "kfake takes the level it has for a wrong one, Kafka and we for done"},
		{60, "ClusterAuthorizedOperations", "as in Metadata"},
		{61, "Topics/t/Partitions/0/ActiveProducers*", "kfake lists transactional producers only"},
		{75, "Topics/absent/AuthorizedOperations", "as in Metadata"},
		{75, "Topics/t/Partitions/0/EligibleLeaderReplicas", "null is for brokers that do not know; we do: there is none"},
		{75, "Topics/t/Partitions/0/LastKnownELR", "null is for brokers that do not know; we do: there is none"},
	}
}
