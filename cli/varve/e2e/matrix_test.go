//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/localstack/servers"
)

// subject is a client as the matrix uses it. Methods with a t fail the test on an error.
type subject interface {
	version(t *testing.T) string
	// tryProduce writes with acks=all, in order per partition; offsets may be nil.
	tryProduce(t *testing.T, addr, topic, codec string, records []record, properties ...string) ([]int64, error)
	consume(t *testing.T, addr, topic string) []record
	consumeFrom(t *testing.T, addr, topic string, millis int64) []record
	consumeAt(t *testing.T, addr, topic string, offset int64) []record
	// topics makes, lists, describes and deletes topics; configs reads and changes one. They return what is not possible.
	topics(t *testing.T, addr, topic string) (limit string)
	configs(t *testing.T, addr, topic string) (limit string)
	// writable returns the records that the client can write, readable what it shows of them; each with its limits.
	writable(t *testing.T, addr, topic string, records []record) (can []record, limits []string)
	readable(records []record) (shown []record, limit string)
}

// row is one line of the matrix on one pair of stores.
type row struct {
	library
	subject
	agent *agent
	topic string // prefix of the names of its topics
	found *finding
}

// TestMatrix runs the clients of the gate on every pair of stores, and with VARVE_FULL=1 all libraries on MinIO with
// DynamoDB Local. What it finds is compared with the table in the README, or written there (make compat). The pairs run
// side by side: clients wait more than they work.
func TestMatrix(t *testing.T) {
	rows := append([]library{kcatLibrary()}, libraries()...)
	report := newReport(rows)
	t.Cleanup(func() { report.settle(t) })
	for _, s := range pairs() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			a := s.open(t)
			a.start(t)
			for _, l := range rows {
				if !l.runsOn(s.name) {
					continue
				}
				t.Run(l.label, func(t *testing.T) {
					r := row{library: l, subject: l.subject(t), agent: a, topic: strings.ReplaceAll(l.label, " ", "-"), found: report.of(l.label)}
					r.run(t, s.name)
				})
			}
		})
	}
}

// runsOn tells whether a library meets a pair of stores, as this test is run.
func (l library) runsOn(pair string) bool {
	return l.gate || servers.Full() && pair == allClientsOn
}

// subject starts the client. It skips the row on a machine without it; the gate fails.
func (l library) subject(t *testing.T) subject {
	t.Helper()
	if l.start == nil {
		needKcat(t)
		return kcatClient{}
	}
	return l.open(t)
}

func (r *row) run(t *testing.T, pair string) {
	r.found.notes(r.library.notes...)
	r.found.runs(r.version(t))
	for _, cell := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"topics", func(t *testing.T) { r.limit("topics", r.topics(t, r.agent.addr, r.topic+"-made")) }},
		{"configs", func(t *testing.T) { r.limit("configs", r.configs(t, r.agent.addr, r.topic+"-made")) }},
		{"records", r.records},
		{"seek", r.seek},
		{"restart", r.overRestart},
	} {
		if !t.Run(cell.name, cell.test) {
			return
		}
		r.found.passed(cell.name)
	}
	r.found.passedOn(pair)
}

// limit notes a limit, and that the cell is not whole.
func (r *row) limit(cell string, texts ...string) {
	texts = slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return s == "" })
	if len(texts) > 0 {
		r.found.partly(cell)
		r.found.notes(texts...)
	}
}

const matrixPartitions = 3

// records: what the client writes in each codec it and kgo read, and it reads what kgo wrote. What it has no codec for
// it refuses.
func (r *row) records(t *testing.T) {
	start := time.Now().Add(-time.Hour)
	mine, other := r.topic, r.topic+"-kgo"
	createTopic(t, r.agent.addr, mine, matrixPartitions)
	createTopic(t, r.agent.addr, other, matrixPartitions)
	var want, foreign []record
	for i, codec := range r.codecs {
		can, limits := r.writable(t, r.agent.addr, mine, sample(uint64(i), matrixPartitions, start.Add(time.Duration(i)*time.Minute)))
		r.limit("records", limits...)
		offsets, err := r.tryProduce(t, r.agent.addr, mine, codec, can, r.properties...)
		if err != nil {
			t.Fatalf("produce with codec %s: %v", codec, err)
		}
		checkOffsets(t, offsets, can, len(want)/matrixPartitions)
		want = append(want, can...)
		kgoClient{}.produce(t, r.agent.addr, other, codec, can)
		foreign = append(foreign, can...)
	}
	t.Run("to kgo", func(t *testing.T) { compare(t, kgoClient{}.consume(t, r.agent.addr, mine), want) })
	r.found.produced(allIdempotent(t, r.agent.addr, mine, len(want)))
	shown, limit := r.readable(want)
	r.limit("records", limit)
	t.Run("to itself", func(t *testing.T) { compare(t, r.consume(t, r.agent.addr, mine), shown) })
	shown, _ = r.readable(foreign)
	t.Run("from kgo", func(t *testing.T) { compare(t, r.consume(t, r.agent.addr, other), shown) })
	r.refusedCodecs(t, mine)
}

func (r *row) refusedCodecs(t *testing.T, topic string) {
	var without []string
	for _, codec := range codecs() {
		if slices.Contains(r.codecs, codec) {
			continue
		}
		without = append(without, codec)
		if _, err := r.tryProduce(t, r.agent.addr, topic, codec, []record{{value: []byte("v")}}, r.properties...); err == nil {
			t.Errorf("codec %s works, the table says it does not", codec)
		}
	}
	if len(without) > 0 {
		r.limit("records", fmt.Sprintf("without plug-ins (not tried) no %s", strings.Join(without, ", ")))
	}
}

// allIdempotent tells whether every batch carries a producer id, so that the agent recognises what is repeated.
func allIdempotent(t *testing.T, addr, topic string, n int) bool {
	t.Helper()
	cl := dial(t, addr, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	all := true
	for n > 0 {
		fetches := cl.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatalf("fetch %s: %v", topic, err)
		}
		fetches.EachRecord(func(k *kgo.Record) {
			all = all && k.ProducerID >= 0
			n--
		})
	}
	return all
}

// seek: by offset and by time, into the middle of batches, to the last record and behind it.
func (r *row) seek(t *testing.T) {
	const each, partitions = 90, 2
	addr, topic := r.agent.addr, r.topic+"-seek"
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	createTopic(t, addr, topic, partitions)
	var all []record
	for i := range each {
		for p := range partitions {
			all = append(all, record{partition: int32(p), offset: int64(i), millis: start.UnixMilli() + int64(10*i), value: fmt.Appendf(nil, "%d", i)})
		}
	}
	for i := range 3 { // in three batches, so that a place lies in the middle of one
		n := len(all) / 3
		kgoClient{}.produce(t, addr, topic, "gzip", all[i*n:(i+1)*n])
	}
	shown, _ := r.readable(all)
	for _, first := range []int64{0, 45, each - 1, each} {
		t.Run(fmt.Sprintf("time of %d", first), func(t *testing.T) {
			compareSuffix(t, r.consumeFrom(t, addr, topic, start.UnixMilli()+10*first-3), shown, first)
		})
		t.Run(fmt.Sprintf("offset %d", first), func(t *testing.T) {
			compareSuffix(t, r.consumeAt(t, addr, topic, first), shown, first)
		})
	}
}

// overRestart stops and starts the agent while the client produces: nothing is lost, order holds, and nothing is there
// twice unless the client repeats.
func (r *row) overRestart(t *testing.T) {
	const n = 12_000
	topic := r.topic + "-restart"
	createTopic(t, r.agent.addr, topic, matrixPartitions)
	records, _ := r.writable(t, r.agent.addr, topic, numbered(n, matrixPartitions))
	done := make(chan error, 1)
	go func() {
		_, err := r.tryProduce(t, r.agent.addr, topic, "none", records, slices.Concat(r.properties, r.library.restart)...)
		done <- err
	}()
	written := waitWritten(t, r.agent.addr, topic, n/20)
	select {
	case err := <-done:
		t.Fatalf("the client was done before the restart; error %v", err)
	default:
	}
	r.agent.stop(t)
	r.agent.start(t)
	if err := <-done; err != nil {
		t.Fatalf("produce over a restart: %v", err)
	}
	r.limit("restart", r.restartLimit)
	t.Logf("stopped after %d of %d records", written, n)
	got := kgoClient{}.consume(t, r.agent.addr, topic)
	if !r.once {
		got = firstOfEach(got)
	}
	compare(t, got, records)
}

// firstOfEach leaves out records that are there again, and renumbers the rest.
func firstOfEach(records []record) []record {
	var out []record
	seen, next := map[string]bool{}, map[int32]int64{}
	for _, r := range records {
		if !seen[string(r.key)] {
			seen[string(r.key)] = true
			r.offset = next[r.partition]
			next[r.partition]++
			out = append(out, r)
		}
	}
	return out
}

// topicNames is what kgo lists.
func topicNames(t *testing.T, addr string) []string {
	t.Helper()
	topics, err := kadm.NewClient(dial(t, addr)).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return topics.Names()
}
