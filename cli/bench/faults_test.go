package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// flawed is a reference broker that answers some Produce requests otherwise than it should.
func flawed(t *testing.T, answer func(*kmsg.ProduceRequest) (kmsg.Response, bool)) Target {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		r, done := answer(req.(*kmsg.ProduceRequest))
		return r, nil, done
	})
	return Target{Bootstrap: c.ListenAddrs()}
}

// TestFindsALyingServer: a server that acknowledges what it does not keep is found out by every kind of run.
func TestFindsALyingServer(t *testing.T) {
	n := 0
	target := flawed(t, func(req *kmsg.ProduceRequest) (kmsg.Response, bool) {
		if n++; n%3 != 0 {
			return nil, false
		}
		r := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.BaseOffset = p.Partition, 1<<40
				rt.Partitions = append(rt.Partitions, rp)
			}
			r.Topics = append(r.Topics, rt)
		}
		return r, true
	})
	l := short()
	l.Acks = AcksOne // kfake would find the gap in an idempotent producer's sequence
	for _, readBack := range []bool{true, false} {
		r, err := Produce(t.Context(), target, l, readBack, &Live{})
		if err != nil || r.Verified.Lost == 0 || r.Verified.Good() {
			t.Errorf("read back %v: %v, %+v", readBack, err, r)
		}
	}
}

// TestCatchUpOnAReference: the backlog is counted in each round, and the tail besides, which has a phase between any two of them. What is to
// happen to the backlog is done once it is written.
func TestCatchUpOnAReference(t *testing.T) {
	l := short()
	l.Rounds = 2
	asked := 0
	ready := func(_ context.Context, topic string) error {
		asked++
		return nil
	}
	r, err := CatchUp(t.Context(), fake(t), l, ready, &Live{})
	if err != nil || !r.Verified.Good() || r.Verified.Records <= 2*1024 || asked != 1 {
		t.Fatalf("%v, %+v, asked %d times", err, r, asked)
	}
	for _, l := range r.Latencies {
		if l.Count < 100 {
			t.Errorf("%+v", l)
		}
	}
	for _, name := range []string{"drain_mib_per_s", "tail_p99_ratio", "tail_p99_ratio_high", "tail_during_p99_ms", "tail_alone_p99_low_ms"} {
		if v, ok := r.Get(name); !ok || v <= 0 {
			t.Errorf("%s is %v: %+v", name, v, r.Measures)
		}
	}
	ready = func(context.Context, string) error { return errors.New("the backlog does not settle") }
	if _, err := CatchUp(t.Context(), fake(t), l, ready, &Live{}); err == nil || !strings.Contains(err.Error(), "does not settle") {
		t.Error(err)
	}
}

// TestPhases: what was intended in the warm-up, or after the end, is of no phase.
func TestPhases(t *testing.T) {
	s := &stage{load: short()}
	s.load.Warmup, s.load.Duration, s.load.Rounds = time.Second, time.Second, 1
	at := func(ms int) int { return s.phase(time.Unix(1000, int64(ms)*1e6)) }
	if n := at(1500); n != -1 {
		t.Error("before anything began: ", n)
	}
	s.began.Store(time.Unix(1000, 0).UnixNano())
	for ms, want := range map[int]int{999: -1, 1000: 0, 1999: 0, 2000: -1} {
		if got := at(ms); got != want {
			t.Errorf("%d ms: %d, want %d", ms, got, want)
		}
	}
	for _, ms := range []int64{1000, 2000, 5000, 6000} {
		s.turn(time.Unix(1000, ms*1e6))
	}
	for ms, want := range map[int]int{999: -1, 1000: 0, 1999: 0, 2000: 1, 4999: 1, 5000: 2, 5999: 2, 6000: -1, 9000: -1} {
		if got := at(ms); got != want {
			t.Errorf("%d ms: %d, want %d", ms, got, want)
		}
	}
}

// TestFailOverOfNothing: a strike that does nothing is over at once, and each round is counted for each partition.
func TestFailOverOfNothing(t *testing.T) {
	struck, mended := 0, 0
	f := Fault{
		Times: 3, Names: []string{"detect"},
		Strike: func(context.Context, int) (time.Time, error) {
			struck++
			return time.Now(), nil
		},
		Steps: func(int, time.Time) map[string]time.Duration { return map[string]time.Duration{"detect": time.Second} },
		Mend: func(context.Context, int) error {
			mended++
			return nil
		},
	}
	l := short()
	l.Rate, l.Hurry = 3000, true
	r, err := FailOver(t.Context(), fake(t), l, f, &Live{})
	if err != nil || !r.Verified.Good() || struck != 3 || mended != 3 {
		t.Fatalf("%v, %+v, %d strikes", err, r, struck)
	}
	if len(r.Latencies) != 4 || r.Latencies[0].Count != 9 || r.Latencies[1].Count != 3 || r.Latencies[2].Name != "ack_gap" || r.Latencies[2].Count != 9 ||
		r.Latencies[2].P50 <= 0 || r.Latencies[3].Name != "strike_to_detect" || r.Latencies[3].Max != 1000 {
		t.Errorf("%+v", r.Latencies)
	}
}

// TestIdleCostOfSomebodyElse: nothing is known of a server that cannot be seen.
func TestIdleCostOfSomebodyElse(t *testing.T) {
	l := short()
	l.Rate = 0
	r, err := IdleCost(t.Context(), fake(t), l, &Live{})
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := r.Get("dollars_per_month"); ok {
		t.Errorf("a server that nobody sees costs %v", v)
	}
}
