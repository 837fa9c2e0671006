package simtest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/agent"
)

// TestClusterSegments runs whole clusters under random faults, a seed each, while everything they write becomes packs and segments within
// seconds, a topic keeps its records for seconds, another one is deleted and made again, and what nothing names is deleted after half
// a minute: leaders die, are fenced alive and hand slots over in the middle of it. Books are kept of each step. A quarter of the seeds
// has no faults. `make sim` runs more of them.
func TestClusterSegments(t *testing.T) { eachSeed(t, min(4, seedsAtOnce), segmentSeed) }

// hurried makes seconds of what takes minutes and hours.
func hurried(roll time.Duration) func(*agent.Config) {
	return func(c *agent.Config) {
		c.PackInterval, c.SegmentRoll, c.Grace, c.SnapshotInterval = time.Second, roll, 30*time.Second, 4*time.Second
		c.Sweep = 20 * time.Second
		c.Settings = map[string]string{"log.retention.check.interval.ms": "3000"}
	}
}

// The topics of a run: all of it is kept; seconds are kept; deleted and made again.
const keptTopic, briefTopic, againTopic = "t", "brief", "again"

func segmentSeed(t *testing.T, seed uint64) {
	s := newSim(t, seed)
	defer s.end()
	b := s.keepBooks()
	s.more = segmentFaults
	s.change = hurried(6 * time.Second)
	if seed%2 == 0 {
		s.change = hurried(24 * time.Second) // so that packs are merged before they are cut
	}
	s.startAll()
	parts := s.topic(keptTopic, 6)
	s.createWith(briefTopic, 3, "retention.ms", "8000")
	w := s.workload()
	brief := w.writeBrief()
	w.produce("p0", parts, 200*time.Millisecond)
	w.produce("p1", parts, 300*time.Millisecond)
	w.consume("r0", parts)
	w.remake(againTopic, 7*time.Second)
	s.live(seed%4 == 0)
	s.allReady(2 * time.Minute)
	time.Sleep(time.Minute) // more than the TTL, and than the grace
	s.settleSegments(w, parts)
	brief.check(s)
	s.eventually(10*time.Minute, "nothing is left of sessions that are drained but what the table names", func() bool { return len(b.strays()) == 0 })
	t.Logf("%v virtual: %d records, %d fences, %v", time.Since(s.begun).Round(time.Second), len(s.seen.sends), s.facts.fences, b.count)
	if b.count.linked == 0 || b.count.deleted == 0 {
		t.Errorf("it has no life: %v", b.count)
	}
}

// settleSegments ends a run: everything that was sent is acked and read, and every check is made.
func (s *clusterSim) settleSegments(w *workload, parts []tp) {
	s.t.Helper()
	w.stop(200 * time.Second)
	s.readAll(parts, 200*time.Second)
	s.seen.check()
}

// createWith makes a topic with configs.
func (s *clusterSim) createWith(name string, partitions int32, configs ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	set := map[string]*string{}
	for i := 0; i < len(configs); i += 2 {
		set[configs[i]] = &configs[i+1]
	}
	if _, err := kadm.NewClient(s.client("admin")).CreateTopic(ctx, partitions, -1, set, name); err != nil {
		s.t.Fatalf("create topic %s: %v\n%s", name, err, s.seen.play())
	}
}

// remake starts what deletes a topic time and again, and makes it anew with records that only this one has. Errors are faults' doing.
func (w *workload) remake(name string, every time.Duration) {
	c := w.s.client("remaker", kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(5*time.Second), kgo.DisableIdempotentWrite())
	admin := kadm.NewClient(c)
	w.goes(func() {
		for life := 0; w.ctx.Err() == nil; life++ {
			_, _ = admin.CreateTopic(w.ctx, 2, -1, nil, name)
			for i := range 40 {
				c.Produce(w.ctx, &kgo.Record{Topic: name, Partition: int32(i % 2), Value: fmt.Appendf(nil, "life %d/%d", life, i)}, nil)
				if sleepFor(w.ctx, every/50) != nil {
					return
				}
			}
			_, _ = admin.DeleteTopics(w.ctx, name)
		}
	})
}

// briefLog is what was acked of a topic that keeps little, by partition and offset.
type briefLog struct {
	client *kgo.Client
	mu     sync.Mutex
	acked  [3]map[int64]string
}

// writeBrief starts a producer of the brief topic.
func (w *workload) writeBrief() *briefLog {
	b := &briefLog{client: w.s.producerClient("p2"), acked: [3]map[int64]string{{}, {}, {}}}
	w.goes(func() {
		for i := 0; sleepFor(w.ctx, 170*time.Millisecond) == nil; i++ {
			value := fmt.Sprint("brief ", i)
			b.client.Produce(context.Background(), &kgo.Record{Topic: briefTopic, Partition: int32(i % 3), Value: []byte(value)}, func(r *kgo.Record, err error) {
				if b.mu.Lock(); err == nil {
					b.acked[r.Partition][r.Offset] = value
				}
				b.mu.Unlock()
			})
		}
	})
	return b
}

// check reads the topic from its start to its end without a gap: what was acked stands where it was acked.
func (b *briefLog) check(s *clusterSim) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	if err := b.client.Flush(ctx); err != nil {
		s.violation("V17: records of %s are not acked: %v", briefTopic, err)
	}
	admin := kadm.NewClient(s.client("brief"))
	starts, err := admin.ListStartOffsets(ctx, briefTopic)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.seen.play())
	}
	ends, err := admin.ListEndOffsets(ctx, briefTopic)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.seen.play())
	}
	for i := range b.acked {
		p := tp{briefTopic, int32(i)}
		start, _ := starts.Lookup(p.topic, p.partition)
		end, _ := ends.Lookup(p.topic, p.partition)
		if start.Offset == 0 || int64(len(b.acked[i])) > end.Offset {
			s.violation("%v: log [%d,%d), %d records were acked", p, start.Offset, end.Offset, len(b.acked[i]))
		}
		s.readFrom(ctx, p, start.Offset, end.Offset, b.acked[i])
	}
}

// readFrom reads a partition's records [from, to) and compares them with those that were acked.
func (s *clusterSim) readFrom(ctx context.Context, p tp, from, to int64, acked map[int64]string) {
	c := s.client("brief", kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{p.topic: {p.partition: kgo.NewOffset().At(from)}}), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	for at := from; at < to; {
		fs := c.PollFetches(ctx)
		if err := fs.Err(); err != nil && !kgo.IsRetryableBrokerErr(err) && !strings.Contains(err.Error(), "OFFSET_OUT_OF_RANGE") {
			s.violation("%v at %d of [%d,%d): %v", p, at, from, to, err)
			return
		} else if err != nil && ctx.Err() == nil {
			return // it has expired meanwhile
		}
		fs.EachRecord(func(r *kgo.Record) {
			if value := acked[r.Offset]; r.Offset != at || value != "" && value != string(r.Value) {
				s.violation("V4: %v: offset %d has %s, wanted %d: %s", p, r.Offset, r.Value, at, value)
			}
			at = r.Offset + 1
		})
	}
}
