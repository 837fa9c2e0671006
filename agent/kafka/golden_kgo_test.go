package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// sentVersions notes which versions of which keys a client sends.
type sentVersions struct {
	mu   sync.Mutex
	sent map[[2]int16]int
}

type versionConn struct {
	net.Conn
	v *sentVersions
}

func (c versionConn) Write(b []byte) (int, error) {
	if len(b) >= 8 { // kgo writes one request at a time
		c.v.mu.Lock()
		c.v.sent[[2]int16{int16(binary.BigEndian.Uint16(b[4:])), int16(binary.BigEndian.Uint16(b[6:]))}]++
		c.v.mu.Unlock()
	}
	return c.Conn.Write(b)
}

func (v *sentVersions) has(key, version int16) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sent[[2]int16{key, version}] > 0
}

// pinned returns a client that speaks exactly one version of a key; every address leads to w.
func (w *world) pinned(key, version int16, opts ...kgo.Opt) (*kgo.Client, *sentVersions) {
	w.t.Helper()
	v := &sentVersions{sent: map[[2]int16]int{}}
	most, least := kversion.Stable(), &kversion.Versions{}
	most.SetMaxKeyVersion(key, version)
	least.SetMaxKeyVersion(key, version)
	opts = append(opts, kgo.MaxVersions(most), kgo.MinVersions(least), kgo.RetryTimeout(hangTime),
		kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, w.addr)
			return versionConn{nc, v}, err
		}))
	return w.kgo(opts...), v
}

// TestKgoLowestAndHighest: a real client sends the golden request of the lowest and the highest version of each key, and
// understands the answer.
func TestKgoLowestAndHighest(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), hangTime)
	defer cancel()
	all := dispatch()
	for i := range all {
		a := &all[i]
		for _, version := range []int16{a.floor, a.max} {
			w := goldenWorld(t)
			c, v := w.pinned(a.key, version)
			resp, err := c.Request(ctx, goldenRequest(t, a.key, version, ourFacts()))
			var code *kerr.Error
			if err != nil && !errors.As(err, &code) {
				t.Errorf("%s v%d: %v", a.name, version, err)
				continue
			}
			if !v.has(a.key, version) || resp != nil && resp.GetVersion() != version {
				t.Errorf("%s v%d was not sent", a.name, version)
			}
		}
	}
}

// TestKgoProducesAndConsumesPinned: producing and consuming with the lowest and the highest version of each key that takes
// part.
func TestKgoProducesAndConsumesPinned(t *testing.T) {
	all := dispatch()
	for i := range all {
		a := &all[i]
		switch a.key {
		default:
			continue
		case keyProduce, keyFetch, 2, 3, keyAPIVersions, 22:
		}
		for _, version := range []int16{a.floor, a.max} {
			roundTripPinned(t, a, version)
		}
	}
}

func roundTripPinned(t *testing.T, a *api, version int16) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangTime)
	defer cancel()
	w := goldenWorld(t)
	c, v := w.pinned(a.key, version, kgo.DefaultProduceTopic("t"), kgo.ProducerLinger(0), kgo.ConsumeTopics("t"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err := c.ProduceSync(ctx, kgo.StringRecord("new")).FirstErr(); err != nil {
		t.Errorf("%s v%d: produce: %v", a.name, version, err)
		return
	}
	seen := map[string]bool{}
	for len(seen) < 5 && ctx.Err() == nil {
		fs := c.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Errorf("%s v%d: poll: %v", a.name, version, err)
			return
		}
		fs.EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
	}
	for _, want := range []string{"v0", "v1", "v2", "v3", "new"} {
		if !seen[want] {
			t.Errorf("%s v%d: %q was not consumed", a.name, version, want)
		}
	}
	if !v.has(a.key, version) {
		t.Errorf("%s v%d was not sent", a.name, version)
	}
}
