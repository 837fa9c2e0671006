//go:build e2e

package e2e

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// goodClient produces and reads one record after the other, on its own topic, while others misbehave. stop ends it and prints
// how long it waited; that it was served is asserted.
func goodClient(t *testing.T, a *agent, topic string) (stop func()) {
	t.Helper()
	createTopic(t, a.addr, topic, 1)
	cl := dial(t, a.addr, kgo.DefaultProduceTopic(topic), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.ProducerLinger(0))
	one := func() (time.Duration, bool) {
		began := time.Now()
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Value: []byte("v")}).FirstErr(); err != nil {
			t.Errorf("a good client: %v", err)
			return 0, false
		}
		if got := cl.PollRecords(t.Context(), 1); got.Err() != nil || got.NumRecords() != 1 {
			t.Errorf("a good client reads %d records: %v", got.NumRecords(), got.Err())
			return 0, false
		}
		return time.Since(began), true
	}
	one()
	done, ended := make(chan struct{}), make(chan []time.Duration, 1)
	go func() {
		var took []time.Duration
		for {
			select {
			case <-done:
				ended <- took
				return
			default:
			}
			d, ok := one()
			if !ok {
				ended <- took
				return
			}
			took = append(took, d)
		}
	}()
	return func() {
		t.Helper()
		close(done)
		took := <-ended
		if len(took) == 0 {
			t.Error("a good client was not served")
			return
		}
		slices.Sort(took)
		t.Logf("a good client meanwhile: %d records there and back, p50 %v, p99 %v, longest %v", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	}
}

// held is what the agent takes up: bytes of memory and goroutines.
func (a *agent) held(t *testing.T) (rss, goroutines int64) {
	t.Helper()
	return int64(a.metric(t, "process_resident_memory_bytes")), int64(a.metric(t, "go_goroutines"))
}

// TestTenThousandConnections: as many connections as an agent takes by default, but for some, each of which has asked for the
// versions once. They cost memory and two goroutines each, and a good client nothing.
func TestTenThousandConnections(t *testing.T) {
	const n, each = 9_900, 32 << 10
	a := newAgent(t, nil, "dev", "--data", t.TempDir())
	a.start(t)
	stop := goodClient(t, a, "good")
	rss, goroutines := a.held(t)
	hello, conns := samples()["ApiVersions"], make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	answer := make([]byte, 64<<10)
	for range n {
		c, err := net.Dial("tcp", a.addr)
		if err != nil {
			t.Fatalf("connection %d: %v", len(conns), err)
		}
		conns = append(conns, c)
		_ = c.SetDeadline(time.Now().Add(hang))
		_, _ = c.Write(hello)
		if _, err := c.Read(answer); err != nil {
			t.Fatalf("connection %d: %v", len(conns), err)
		}
	}
	all, more := a.held(t)
	t.Logf("%d connections: %d bytes and %.3f goroutines each", n, (all-rss)/n, float64(more-goroutines)/n)
	if (all-rss)/n > each && !raceEnabled {
		t.Errorf("%d bytes for each connection, at most %d", (all-rss)/n, each)
	}
	if spare := more - goroutines - 2*n; spare < -20 || spare > 20 { // those of the good client and of flushes come and go
		t.Errorf("%d goroutines for %d connections", more-goroutines, n)
	}
	stop()
	a.checkCalm(t)
	a.stop(t)
}

// TestAThousandConnectionsASecond: connections come and go, some having said something, and leave nothing.
func TestAThousandConnectionsASecond(t *testing.T) {
	a := newAgent(t, nil, "dev", "--data", t.TempDir())
	a.start(t)
	stop := goodClient(t, a, "good")
	hello := samples()["ApiVersions"]
	churn := func(n int) {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := range n {
			c, err := net.Dial("tcp", a.addr)
			if err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
			_ = c.(*net.TCPConn).SetLinger(0) // leaves no port behind
			switch i % 3 {
			case 0:
				_, _ = c.Write(hello)
			case 1:
				_, _ = c.Write(head(1<<31-1, 0, 9))
			}
			_ = c.Close()
			if i%20 == 19 {
				<-tick.C
			}
		}
	}
	churn(2000)
	rss, _ := a.held(t)
	began := time.Now()
	churn(5000)
	rate := 5000 / time.Since(began).Seconds()
	await(t, "all connections over", func() bool { return a.metric(t, "varve_kafka_connections") < 10 })
	now, goroutines := a.held(t)
	t.Logf("%.0f connections a second; %d KiB more memory, %d goroutines", rate, (now-rss)>>10, goroutines)
	if now-rss > 16<<20 {
		t.Errorf("%d bytes more after 5,000 connections", now-rss)
	}
	stop()
	a.stop(t)
}

// TestSlowClients: two thousand clients have begun a frame and go on with a byte now and then; two hundred ask for large answers
// and read none. The agent keeps its memory and serves others.
func TestSlowClients(t *testing.T) {
	a := newAgent(t, nil, "dev", "--data", t.TempDir(), "--memory-limit", "134217728")
	a.start(t)
	createTopic(t, a.addr, "sample", 1)
	records := sample(3, 1, time.Now())
	kgoClient{}.produce(t, a.addr, "sample", "none", records)
	wide := strings.Repeat("w", 200)
	for i := range 20 {
		createTopic(t, a.addr, wide+string(rune('a'+i)), 50)
	}
	stop := goodClient(t, a, "good")
	rss, _ := a.held(t)
	var wg sync.WaitGroup
	end := time.Now().Add(8 * time.Second)
	frames := [][]byte{head(8<<20, 3, 9), head(90<<20, 0, 9), samples()["Metadata v9"], samples()["Produce v9"]}
	for i := range 2000 {
		wg.Go(func() {
			c, err := net.Dial("tcp", a.addr)
			if err != nil {
				t.Errorf("slow client %d: %v", i, err)
				return
			}
			defer func() { _ = c.Close() }()
			f := frames[i%len(frames)]
			for at := 0; at < len(f)-1 && time.Now().Before(end); at++ {
				if _, err := c.Write(f[at : at+1]); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
	}
	deaf := append(append([]byte(nil), samples()["Metadata v1"]...), samples()["Fetch v12"]...)
	all := head(14, 3, 1)
	deaf = append(deaf, append(all, 0xff, 0xff, 0xff, 0xff)...) // metadata of all topics
	for i := range 200 {
		wg.Go(func() {
			c, err := net.Dial("tcp", a.addr)
			if err != nil {
				t.Errorf("deaf client %d: %v", i, err)
				return
			}
			defer func() { _ = c.Close() }()
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
			_ = c.SetWriteDeadline(end)
			for range 2000 {
				if _, err := c.Write(deaf); err != nil {
					break
				}
			}
			time.Sleep(time.Until(end))
		})
	}
	most := int64(0)
	for time.Now().Before(end) {
		now, _ := a.held(t)
		most = max(most, now)
		time.Sleep(500 * time.Millisecond)
	}
	wg.Wait()
	t.Logf("%d MiB resident at most, %d at first", most>>20, rss>>20)
	if limit := int64(160 << 20); most > limit && !raceEnabled {
		t.Errorf("%d bytes resident under a limit of 128 MiB", most)
	}
	stop()
	a.checkCalm(t)
	a.stop(t)
}
