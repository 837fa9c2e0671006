package bench

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a reference broker.
func fake(t *testing.T) Target {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return Target{Bootstrap: c.ListenAddrs()}
}

// short is a load that is over soon.
func short() Load {
	l := DefaultLoad()
	l.Rate, l.Partitions, l.Producers, l.Warmup, l.Duration, l.Backlog = 2000, 3, 2, 20*time.Millisecond, 150*time.Millisecond, 1<<20
	return l
}

func TestRunsOnAReference(t *testing.T) {
	target := fake(t)
	for _, spread := range []Spread{SpreadSticky, SpreadEach} {
		l := short()
		l.Spread = spread
		for _, acks := range []Acks{AcksAll, AcksOne} {
			l.Acks = acks
			r, err := Produce(t.Context(), target, l, true, &Live{})
			if err != nil || !r.Verified.Good() || r.Verified.Records == 0 {
				t.Fatalf("%s, %s: %v, %+v", spread, acks, err, r)
			}
		}
		l.Acks, l.FanOut = AcksAll, 2
		r, err := EndToEnd(t.Context(), target, l, &Live{})
		if err != nil || !r.Verified.Good() || r.Verified.Records == 0 {
			t.Fatalf("%s: %v, %+v", spread, err, r)
		}
		if r, err = Consume(t.Context(), target, l, &Live{}); err != nil || !r.Verified.Good() || r.Verified.Records%1024 != 0 {
			t.Fatalf("%s: %v, %+v", spread, err, r)
		}
	}
}

// TestProduceWithoutReadingBack: the ends of the log alone are compared.
func TestProduceWithoutReadingBack(t *testing.T) {
	l := short()
	l.Rate, l.Limit, l.Warmup, l.Duration = 0, 8<<20, 0, time.Minute
	r, err := Produce(t.Context(), fake(t), l, false, &Live{})
	if err != nil || r.Verified != (Verified{Records: 8 << 10}) {
		t.Fatalf("%v, %+v", err, r)
	}
}

// TestTopicIsRemoved, also after a run that was interrupted, unless it shall stay.
func TestTopicIsRemoved(t *testing.T) {
	target := fake(t)
	l := short()
	for _, keep := range []bool{false, true} {
		l.Keep = keep
		if _, err := Produce(t.Context(), target, l, true, &Live{}); err != nil {
			t.Fatal(err)
		}
		c, err := target.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		topics, err := c.Topics(t.Context())
		c.Close()
		if err != nil || len(topics) == 1 != keep {
			t.Errorf("keep %v: %v, %v", keep, topics, err)
		}
	}
}

// TestWarmupMustEnd: a limit that is reached before anything was measured is an error, not a report of nothing.
func TestWarmupMustEnd(t *testing.T) {
	l := short()
	l.Rate, l.Limit, l.Warmup = 0, 1<<20, time.Minute
	if _, err := Produce(t.Context(), fake(t), l, false, &Live{}); err == nil || !strings.Contains(err.Error(), "within the warm-up") {
		t.Errorf("%v", err)
	}
}

// TestScheduleIsDrawnBefore: the same for a seed, the rate that was asked for, and different for each producer.
func TestScheduleIsDrawnBefore(t *testing.T) {
	take := func(seed, producer uint64) (all []time.Duration) {
		s := newSchedule(seed, producer, 1000)
		for range 20_000 {
			all = append(all, s.take())
		}
		return all
	}
	a, b, c, d := take(1, 0), take(1, 0), take(1, 1), take(2, 0)
	for i := range a {
		if a[i] != b[i] || i > 0 && a[i] < a[i-1] {
			t.Fatalf("record %d: %v and %v", i, a[i], b[i])
		}
	}
	if a[0] == c[0] || a[0] == d[0] {
		t.Error("two schedules begin alike")
	}
	if last := a[len(a)-1]; last < 19500*time.Millisecond || last > 20500*time.Millisecond { // 20 s, deviation 0.14 s
		t.Errorf("20,000 records at 1,000 a second take %v", last)
	}
}

// TestStallIsCharged: records that were due while nothing could be sent count from when they were due.
func TestStallIsCharged(t *testing.T) {
	p := &producer{load: short(), began: time.Now().Add(-time.Second)}
	p.load.Warmup, p.load.Duration = 0, time.Hour
	due := newSchedule(1, 0, 1000)
	n := 0
	for at := due.take(); at < time.Second; at = due.take() {
		if !sleepUntil(t.Context(), p.began.Add(at)) {
			t.Fatal("a moment that is over was waited for")
		}
		p.answers.delay.Observe(time.Since(p.began.Add(at)))
		n++
	}
	if p50 := p.answers.delay.Quantile(0.5); n < 900 || p50 < 400*time.Millisecond {
		t.Errorf("after a stall of 1 s half of %d records are less than %v late", n, p50)
	}
}
