package kafka

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// meanwhile is a good client that produces, reads and asks for metadata while others misbehave. stop ends it and prints how
// long it waited: that it was served is asserted, how fast is not.
func (w *world) meanwhile(name string) (stop func()) {
	c, done, ended := w.dial(), make(chan struct{}), make(chan []time.Duration)
	prod, fetch := producing(9, name, batch(w.t, 10, 100)), fetching(11, name, 0)
	call[*kmsg.ProduceResponse](c, prod)
	go func() {
		var took []time.Duration
		for n := 0; ; n++ {
			select {
			case <-done:
				ended <- took
				return
			default:
			}
			for _, req := range []kmsg.Request{prod, fetch, kmsg.NewPtrMetadataRequest()} {
				began := time.Now()
				c.corr++
				if _, err := c.nc.Write(encode(req, c.corr)); err != nil {
					w.t.Errorf("a good client: %v", err)
				}
				if _, err := c.frame(); err != nil {
					w.t.Errorf("a good client: %v", err)
					<-done
					ended <- took
					return
				}
				took = append(took, time.Since(began))
			}
			time.Sleep(2 * time.Millisecond)
		}
	}()
	return func() {
		close(done)
		took := <-ended
		slices.Sort(took)
		if len(took) == 0 {
			w.t.Error("a good client was not served")
			return
		}
		w.t.Logf("a good client meanwhile: %d requests, p50 %v, p99 %v, longest %v", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	}
}

// inUse returns what the process has in use, after a collection.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// idleBytes is what a connection may cost that waits: goroutines, buffers and all (performance: connections).
const idleBytes = 32 << 10

// TestTenThousandIdleConnections: each costs at most 32 KiB and two goroutines, also after it was of use, and the server
// answers somebody else as before.
func TestTenThousandIdleConnections(t *testing.T) {
	const n = 10_000 / raceFactor
	w := newWorld(t, option{auto: true, cfg: Config{MaxConnections: n + 1}})
	w.topic("t", 1)
	stop := w.meanwhile("t")
	goroutines, before := runtime.NumGoroutine(), inUse()
	far := make([]net.Conn, n)
	hello := encode(apiVersions(3), 1)
	answer := make([]byte, 64<<10)
	for i := range far {
		var near net.Conn
		near, far[i] = net.Pipe()
		w.s.accept(t.Context(), near)
		_, err := far[i].Write(hello)
		must(t, err)
		_, err = far[i].Read(answer)
		must(t, err)
	}
	eventually(t, "all are idle", func() bool { return counterValue(w.s.lookup(keyAPIVersions).m.inFlight) == 0 })
	exact := 0
	eventually(t, "two goroutines for each connection", func() bool {
		exact = runtime.NumGoroutine() - goroutines
		return exact == 2*n
	})
	each := (inUse() - before) / n
	t.Logf("%d connections: %d bytes each, %d goroutines in all", n, each, exact)
	if each > idleBytes && raceFactor == 1 {
		t.Errorf("%d bytes each, at most %d", each, idleBytes)
	}
	stop()
	for _, c := range far {
		must(t, c.Close())
	}
	eventually(t, "all are gone", func() bool { return len(w.s.conns()) <= 1 })
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// TestConnectionsComeAndGo: three thousand connections, a thousand a second, of clients that leave in every possible way, leave
// nothing behind.
func TestConnectionsComeAndGo(t *testing.T) {
	w := newWorld(t, option{auto: true})
	w.topic("t", 1)
	stop := w.meanwhile("t")
	hello := encode(apiVersions(3), 1)
	churn := func(n int) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := range n {
			near, far := socketpair(t)
			w.s.accept(t.Context(), near)
			switch i % 4 {
			case 1:
				_, _ = far.Write(hello)
			case 2:
				_, _ = far.Write(hello[:9])
			case 3:
				_, _ = far.Write(raw(1<<31-1, 0, 9))
			}
			_ = far.Close()
			if i%10 == 9 {
				<-tick.C
			}
		}
		eventually(t, "all are gone", func() bool { return len(w.s.conns()) == 1 })
	}
	churn(500)
	goroutines, before := runtime.NumGoroutine(), inUse()
	began := time.Now()
	churn(3000)
	t.Logf("%.0f connections a second", 3000/time.Since(began).Seconds())
	if got := inUse() - before; got > 8<<20 {
		t.Errorf("%d bytes more in use", got)
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	stop()
}

// TestSlowLoris: clients that send a byte now and then hold a connection for the time of a frame, and nothing else.
func TestSlowLoris(t *testing.T) {
	const n = 300
	w := newWorld(t, option{auto: true, cfg: Config{FrameTime: 2 * time.Second}})
	w.topic("t", 1)
	stop := w.meanwhile("t")
	frames := [][]byte{encode(apiVersions(3), 1), raw(100<<20, 0, 9), raw(8<<20, 3, 9), encode(producing(9, "t", batch(t, 1, 1000)), 2)}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range n {
		near, far := socketpair(t)
		w.s.accept(ctx, near)
		wg.Go(func() {
			defer func() { _ = far.Close() }()
			_, _ = far.Write(make([]byte, 2)) // a frame has begun
			for at := 0; ctx.Err() == nil; at++ {
				if _, err := far.Write(frames[i%len(frames)][2:][at%10 : at%10+1]); err != nil {
					return
				}
				time.Sleep(50*time.Millisecond + rand.N(50*time.Millisecond))
			}
		})
	}
	used := int64(0)
	eventually(t, "all are cut off", func() bool {
		used = max(used, w.s.reserve.Used())
		return len(w.s.conns()) == 1
	})
	cancel()
	wg.Wait()
	t.Logf("at most %d bytes of the reserve were held", used)
	stop()
}

// TestClientsThatNeverRead: forty clients send requests with large answers and read none. Each is stopped at its share, all
// together at the server's; the server goes on.
func TestClientsThatNeverRead(t *testing.T) {
	const clients = 40
	cfg := Config{ConnBytes: 2 << 20, ResponseBytes: 8 << 20, MaxConnections: 100}
	w := newWorld(t, option{auto: true, cache: 64 << 20, cfg: cfg, budget: 64 << 20})
	w.topic("t", 1)
	w.topic("wide", 3000)
	good := w.dial()
	for range 8 {
		call[*kmsg.ProduceResponse](good, producing(9, "t", batch(t, 1, 1_000_000)))
	}
	w.topic("small", 1)
	stop := w.meanwhile("small")
	before := inUse()
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version, metadata.Topics = 9, nil
	for i := range clients {
		near, far := socketpair(t)
		t.Cleanup(func() { _ = far.Close() })
		w.s.accept(t.Context(), near)
		go func() {
			for n := range int32(2 * inFlight) {
				req := kmsg.Request(fetching(11, "t", 0))
				if i%2 == 0 {
					req = metadata
				}
				if _, err := far.Write(encode(req, n)); err != nil {
					return
				}
			}
		}()
	}
	eventually(t, "answers pile up", func() bool { return w.s.held.Load() > 4<<20 && w.s.unread.Load() > 4<<20 })
	time.Sleep(300 * time.Millisecond)
	most := int64(0)
	for _, c := range w.s.conns() {
		c.ring.mu.Lock()
		most = max(most, c.ring.unread)
		c.ring.mu.Unlock()
	}
	if limit := cfg.ConnBytes + 1<<20; most > limit {
		t.Errorf("%d bytes of answers wait for one client, at most %d", most, limit)
	}
	one := int64(1 << 20) // bytes of an answer to who has none unread: it is made though there is no room
	if got, limit := w.s.unread.Load(), cfg.ResponseBytes+clients*one; got > limit {
		t.Errorf("%d bytes of answers wait, at most %d", got, limit)
	}
	t.Logf("%d bytes of answers unread, %d the most of one; %d bytes in use, %d before", w.s.unread.Load(), most, inUse(), before)
	stop()
}

// discard reads n bytes.
func discard(r io.Reader, n int64) (int64, error) { return io.CopyN(io.Discard, r, n) }
