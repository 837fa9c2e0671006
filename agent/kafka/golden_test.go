package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/partition"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
	"github.com/varvelog/varve/objstore/recordbatch"
)

// update is for `go test ./agent/kafka -run TestGolden -update`, which writes the golden files anew from what the server
// answers now. Read their diff: it is what clients will see change.
var update = flag.Bool("update", false, "write testdata/golden anew")

const goldenDir = "testdata/golden"

// goldenFacts is what a golden request cannot know by itself.
type goldenFacts struct {
	id    uuid.UUID // of the topic t
	node  int32     // the only one
	epoch int32     // of its leaders
}

func ourFacts() goldenFacts { return goldenFacts{id: goldenTopic, node: testNode, epoch: testEpoch} }

// What goldens hold in place of what is made at random.
var (
	goldenTopic = uuid.MustParse("00000000-0000-4000-8000-0000000000aa") // topic t has this id indeed
	goldenMade  = uuid.MustParse("00000000-0000-4000-8000-0000000000bb") // the id of the topic that a request makes
	goldenNo    = uuid.MustParse("00000000-0000-4000-8000-0000000000cc") // nobody's
)

// goldenTime is the timestamp of the first record, ms since 1970; each record is one second after the one before.
const goldenTime = 1_700_000_000_000

// goldenWorld is the world that all golden requests meet: one node, the topic t of two partitions, and in t-0 two batches of
// two records, the second by an idempotent producer. t-1 is empty.
func goldenWorld(t *testing.T) *world {
	t.Helper()
	var w *world
	w = newWorld(t, option{auto: true, cache: 1 << 20, settings: map[string]string{"auto.create.topics.enable": "false"}, before: func(s *Server) {
		s.deps.MoveLogStart = func(_ context.Context, p *partition.Partition, to int64) error {
			id := p.ID()
			top := w.topics.LookupID(id.Topic)
			return w.set.Committed(bundle.Object{Kind: bundle.WAL, Session: w.wal.session, Seq: 99}, &bundle.Footer{
				Topics: []bundle.Topic{{ID: id.Topic, Name: top.Name}},
				Ops:    []bundle.Op{{Kind: bundle.OpLogStart, Partition: id.Index, Slot: top.Slots[id.Index], Epoch: testEpoch, Offset: to}},
			})
		}
	}})
	w.node.change(func(v *cluster.View) {
		v.Nodes = []cluster.Node{{ID: testNode, Name: "a", Zone: "z1", Host: "agent-1.example", Port: 9092}}
	})
	names := records.Cluster("c")
	for key, it := range map[metastore.Key]metastore.Item{
		names.TopicKey("t"): records.Topic{Name: "t", ID: goldenTopic, Slots: []uint16{1, 2}, State: records.TopicActive, Created: goldenTime, V: 1}.Item(),
		names.VersionKey():  records.Version{Map: 1, Topic: 1}.Item(),
	} {
		_, err := w.facts.Write(t.Context(), metastore.Op{Kind: metastore.OpPut, Key: key, Set: it})
		must(t, err)
	}
	_, err := w.topics.Find(t.Context(), "t")
	must(t, err)
	goldenRecords(t, w.dial())
	return w
}

// goldenRecords produces what is in the topic t.
func goldenRecords(t *testing.T, c *client) {
	t.Helper()
	for n, b := range [][]byte{goldenBatch(t, 0, nil), goldenBatch(t, 2, &recordbatch.Producer{ID: 7, Epoch: 1, Sequence: 0})} {
		if p := produced(call[*kmsg.ProduceResponse](c, producing(9, "t", b))); p.ErrorCode != 0 || p.BaseOffset != int64(2*n) {
			t.Fatalf("batch %d: %+v", n, p)
		}
	}
}

// goldenBatch makes a batch of two records, the first of which is number n of the topic.
func goldenBatch(t *testing.T, n int, by *recordbatch.Producer) []byte {
	t.Helper()
	var recs []recordbatch.Record
	for i := n; i < n+2; i++ {
		recs = append(recs, recordbatch.Record{
			Timestamp: goldenTime + int64(i)*1000, Key: []byte("k" + strconv.Itoa(i)), Value: []byte("v" + strconv.Itoa(i)),
			Headers: []recordbatch.Header{{Key: "h", Value: []byte{byte(i)}}},
		})
	}
	b, err := (&recordbatch.Builder{Producer: by}).Append(nil, recs)
	must(t, err)
	return b
}

// exchange sends a frame and returns the answer's frame, both with their sizes; nil if the server closes the connection.
func (c *client) exchange(frame []byte) []byte {
	c.t.Helper()
	_, err := c.nc.Write(frame)
	must(c.t, err)
	b, err := c.frame()
	if err != nil {
		return nil
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// decodeAnswer decodes an answer's frame and checks that kmsg encodes the same bytes.
func decodeAnswer(t *testing.T, req kmsg.Request, frame []byte) kmsg.Response {
	t.Helper()
	resp := req.ResponseKind()
	head := 8
	if resp.IsFlexible() && req.Key() != keyAPIVersions {
		head++
	}
	must(t, resp.ReadFrom(frame[head:]))
	if again := resp.AppendTo(nil); !bytes.Equal(again, frame[head:]) {
		t.Errorf("%s v%d: the answer, encoded again:\n%x\nwant\n%x", kmsg.NameForKey(req.Key()), req.GetVersion(), again, frame[head:])
	}
	return resp
}

// decodeRequest decodes a request's frame and checks that kmsg encodes the same bytes.
func decodeRequest(t *testing.T, frame []byte) kmsg.Request {
	t.Helper()
	h := parsePreamble(frame)
	req := kmsg.RequestForKey(h.key)
	req.SetVersion(h.version)
	cur, client, err := body(frame[sizeLen:], req.IsFlexible())
	must(t, err)
	if string(client) != "test" {
		t.Fatalf("client id %q", client)
	}
	must(t, req.ReadFrom(cur.b))
	if again := encode(req, 1); !bytes.Equal(again, frame) {
		t.Errorf("%s v%d: the request, encoded again:\n%x\nwant\n%x", kmsg.NameForKey(h.key), h.version, again, frame)
	}
	return req
}

// goldenOf has a fresh world answer the golden request of one version and writes both down.
func goldenOf(t *testing.T, a *api, version int16) string {
	t.Helper()
	w := goldenWorld(t)
	sent := encode(goldenRequest(t, a.key, version, ourFacts()), 1)
	req := decodeRequest(t, sent)
	text := fmt.Sprintf("\n== v%d request\n%s\n%s", version, readable(req), hexdump(sent))
	got := w.dial().exchange(sent)
	if got == nil {
		if version >= a.floor {
			t.Errorf("%s v%d: the connection is closed", a.name, version)
		}
		return text + fmt.Sprintf("\n== v%d answer\nthe connection is closed\n", version)
	}
	resp := decodeAnswer(t, req, got)
	got = append(got[:len(got)-len(resp.AppendTo(nil))], steady(resp).AppendTo(nil)...)
	return text + fmt.Sprintf("\n== v%d answer\n%s\n%s", version, readable(resp), hexdump(got))
}

// steady replaces what is another at every run.
func steady(resp kmsg.Response) kmsg.Response {
	switch resp := resp.(type) {
	case *kmsg.JoinGroupResponse:
		made := strings.Repeat("m", len(uuid.Nil.String()))
		if _, id, ok := strings.Cut(resp.MemberID, "-"); ok && (len(id) == len(made) || len(id) == 32) { // kfake's have no hyphens
			if resp.MemberID = made; resp.LeaderID != "" {
				resp.LeaderID = made
			}
			for i := range resp.Members {
				resp.Members[i].MemberID = made
			}
		}
	case *kmsg.CreateTopicsResponse:
		for i := range resp.Topics {
			if resp.Topics[i].TopicID != [16]byte{} {
				resp.Topics[i].TopicID = goldenMade
			}
		}
	case *kmsg.DescribeProducersResponse:
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				for i := range p.ActiveProducers {
					p.ActiveProducers[i].LastTimestamp = goldenTime
				}
			}
		}
	}
	return resp
}

func hexdump(b []byte) string {
	var s strings.Builder
	for line := range slices.Chunk(b, 32) {
		s.WriteByte('|')
		for word := range slices.Chunk(line, 4) {
			fmt.Fprintf(&s, " %x", word)
		}
		s.WriteByte('\n')
	}
	return s.String()
}

func goldenFile(a *api) string {
	return filepath.Join(goldenDir, fmt.Sprintf("%02d_%s.txt", a.key, a.name))
}

// TestGolden: for each key and version that is told, one request and its answer are what they were, byte for byte, and what
// kmsg makes of them.
func TestGolden(t *testing.T) {
	all := dispatch()
	for i := range all {
		a := &all[i]
		t.Run(a.name, func(t *testing.T) {
			text := fmt.Sprintf("%s (key %d). One request and its answer for each version; written by `go test ./agent/kafka -run TestGolden -update`.\n"+
				"Only fields that the version has are shown; the lines of hex are the frames, size and header included.\n", a.name, a.key)
			for v := a.min; v <= a.max; v++ {
				text += goldenOf(t, a, v)
			}
			if *update {
				must(t, os.WriteFile(goldenFile(a), []byte(text), 0o644))
				return
			}
			want, err := os.ReadFile(goldenFile(a))
			must(t, err)
			if text != string(want) {
				t.Errorf("%s; if it is meant to be so, run with -update", firstDifference(string(want), text))
			}
		})
	}
}

// firstDifference shows where two texts begin to differ, and in which version's part.
func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	part := ""
	for i := range max(len(w), len(g)) {
		wl, gl := "", ""
		if i < len(w) {
			wl = w[i]
		}
		if i < len(g) {
			gl = g[i]
		}
		if wl != gl {
			return fmt.Sprintf("line %d, %s:\n%s\nthe golden has\n%s", i+1, part, gl, wl)
		}
		if strings.HasPrefix(wl, "== ") {
			part = wl
		}
	}
	return "no difference"
}

var goldenPart = regexp.MustCompile(`(?m)^== v(\d+) (request|answer)$`)

// TestGoldensAreWhatIsTold: each key and version in ApiVersions has its golden, and no golden is of anything else.
func TestGoldensAreWhatIsTold(t *testing.T) {
	told := map[string]bool{}
	for _, k := range call[*kmsg.ApiVersionsResponse](newWorld(t, option{}).dial(), apiVersions(4)).ApiKeys {
		for v := k.MinVersion; v <= k.MaxVersion; v++ {
			for _, what := range []string{"request", "answer"} {
				told[fmt.Sprintf("%02d v%d %s", k.ApiKey, v, what)] = true
			}
		}
	}
	files, err := filepath.Glob(goldenDir + "/*")
	must(t, err)
	for _, f := range files {
		key, _, _ := strings.Cut(filepath.Base(f), "_")
		b, err := os.ReadFile(f)
		must(t, err)
		for _, m := range goldenPart.FindAllStringSubmatch(string(b), -1) {
			name := key + " v" + m[1] + " " + m[2]
			if !told[name] {
				t.Errorf("%s: %s is not told in ApiVersions, or is there twice", f, name)
			}
			delete(told, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(told)) {
		t.Errorf("no golden of key %s", name)
	}
}
