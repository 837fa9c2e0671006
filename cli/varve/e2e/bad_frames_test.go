//go:build e2e

package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// rawConn is a client that sends what it likes.
type rawConn struct {
	t *testing.T
	*net.TCPConn
}

func dialRaw(t *testing.T, addr string) rawConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatalf("the agent takes no connection: %v", err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(hang)); err != nil {
		t.Fatal(err)
	}
	return rawConn{t, nc.(*net.TCPConn)}
}

// send writes; the agent may close on the first bytes already.
func (c rawConn) send(b []byte) { _, _ = c.Write(b) }

// answer returns the next answer, from after its correlation id on.
func (c rawConn) answer() []byte {
	c.t.Helper()
	head := make([]byte, 8)
	if _, err := io.ReadFull(c, head); err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(c, body); err != nil {
		c.t.Fatalf("half an answer: %v", err)
	}
	return body
}

// rest sends the end and returns all that the agent still says until it ends the connection.
func (c rawConn) rest() []byte {
	c.t.Helper()
	_ = c.CloseWrite()
	return c.untilClosed()
}

// untilClosed returns all that the agent says until it ends the connection by itself.
func (c rawConn) untilClosed() []byte {
	c.t.Helper()
	b, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal("the agent keeps the connection open")
	}
	_ = c.Close()
	return b
}

// frame encodes a request as it goes over the wire, its size first.
func frame(req kmsg.Request, version int16) []byte {
	req.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("raw")).AppendRequest(nil, req, 7)
}

// head is a frame's size, key, version, correlation id and absent client id.
func head(size int32, key, version int16) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(size))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	return append(b, 0, 0, 0, 7, 0xff, 0xff)
}

// samples are frames that an agent answers.
func samples() map[string][]byte {
	versions := kmsg.NewPtrApiVersionsRequest()
	versions.ClientSoftwareName, versions.ClientSoftwareVersion = "raw", "1"
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("sample")}}
	produce := produceRequest("sample", batch("one", "two"))
	fetch := kmsg.NewPtrFetchRequest()
	fetch.MaxBytes = 1 << 20
	fetch.Topics = []kmsg.FetchRequestTopic{{Topic: "sample", Partitions: []kmsg.FetchRequestTopicPartition{{CurrentLeaderEpoch: -1, PartitionMaxBytes: 1 << 20}}}}
	return map[string][]byte{
		"ApiVersions": frame(versions, 3), "Metadata v1": frame(metadata, 1), "Metadata v9": frame(metadata, 9),
		"Produce v3": frame(produce, 3), "Produce v9": frame(produce, 9), "Fetch v12": frame(fetch, 12),
	}
}

// TestBadFrames: whatever comes in on the Kafka port, the agent closes that connection, holds no memory for it and goes
// on serving everybody else. One agent stands all of it.
func TestBadFrames(t *testing.T) {
	const limit = 128 << 20
	a := newAgent(t, nil, "dev", "--data", t.TempDir(), "--memory-limit", fmt.Sprint(limit))
	a.start(t)
	createTopic(t, a.addr, "sample", 1)
	createTopic(t, a.addr, "good", 1)
	var want []record
	for _, c := range []struct {
		name string
		test func(*testing.T, *agent)
	}{
		{"sizes", badSizes}, {"unknown keys and versions", badVersions}, {"cut", cutFrames},
		{"announced", announcedFrames}, {"hostile lengths", hostileLengths}, {"random", randomFrames},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t, a)
			records := sample(1, 1, time.Now())
			kgoClient{}.produce(t, a.addr, "good", "none", records)
			want = append(want, records...)
			compare(t, kgoClient{}.consume(t, a.addr, "good"), want)
			rss := a.metric(t, "process_resident_memory_bytes")
			t.Logf("%.0f MiB resident", rss/(1<<20))
			if rss > limit && !raceEnabled { // the race detector takes several times as much
				t.Errorf("more than %d MiB", limit>>20)
			}
			a.checkCalm(t)
		})
	}
	a.stop(t)
}

// badSizes: sizes out of bounds, and other protocols.
func badSizes(t *testing.T, a *agent) {
	for _, size := range []int32{math.MinInt32, -1, 0, 1, 9, 101 << 20, math.MaxInt32} {
		c := dialRaw(t, a.addr)
		c.send(head(size, 3, 1))
		if b := c.untilClosed(); len(b) > 0 {
			t.Errorf("size %d: answered with %d bytes", size, len(b))
		}
	}
	// Only Produce may be large.
	c := dialRaw(t, a.addr)
	c.send(head(50<<20, 3, 1))
	if b := c.untilClosed(); len(b) > 0 {
		t.Errorf("a large Metadata request: answered with %d bytes", len(b))
	}
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello, TLS", "hello, server\n"} {
		c := dialRaw(t, a.addr)
		c.send([]byte(text))
		if b := c.untilClosed(); len(b) > 0 {
			t.Errorf("%.10q: answered with %d bytes", text, len(b))
		}
	}
}

// badVersions: Kafka closes the connection on a key or version it does not know, except for ApiVersions.
func badVersions(t *testing.T, a *agent) {
	for _, kv := range [][2]int16{{999, 0}, {-1, 0}, {127, 0}, {4, 0}, {3, 99}, {3, -1}, {0, 0}, {0, 2}, {0, 99}, {1, 3}, {math.MaxInt16, math.MaxInt16}} {
		c := dialRaw(t, a.addr)
		c.send(append(head(10+64, kv[0], kv[1]), make([]byte, 64)...))
		if b := c.untilClosed(); len(b) > 0 {
			t.Errorf("key %d version %d: answered with %d bytes", kv[0], kv[1], len(b))
		}
	}
	a.awaitLog(t, "request refused", "key=999", "version=0")
	c := dialRaw(t, a.addr)
	c.send(append(head(10+5, 18, 99), 1, 2, 3, 4, 5))
	body := c.answer()
	resp := kmsg.NewPtrApiVersionsResponse() // of version 0
	if err := resp.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	if resp.ErrorCode != 35 || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 {
		t.Errorf("ApiVersions version 99: code %d, keys %v; want 35 and the range of key 18", resp.ErrorCode, resp.ApiKeys)
	}
	// The connection goes on.
	c.send(samples()["ApiVersions"])
	if b := c.answer(); len(b) < 100 {
		t.Errorf("after it, a version that is known: %d bytes", len(b))
	}
}

// cutFrames: a connection that ends in the middle of a frame gets no answer and does nothing.
func cutFrames(t *testing.T, a *agent) {
	for name, whole := range samples() {
		for cut := range whole {
			c := dialRaw(t, a.addr)
			c.send(whole[:cut])
			if b := c.rest(); len(b) > 0 {
				t.Fatalf("%s cut at %d of %d: answered with %d bytes", name, cut, len(whole), len(b))
			}
		}
		// A frame that is shorter than what it holds.
		for cut := 14; cut < len(whole); cut++ {
			short := append([]byte(nil), whole[:cut]...)
			binary.BigEndian.PutUint32(short, uint32(cut-4))
			c := dialRaw(t, a.addr)
			c.send(short)
			c.rest()
		}
	}
	if got := (kgoClient{}).consume(t, a.addr, "sample"); len(got) > 0 {
		t.Errorf("%d records came in with cut frames", len(got))
	}
}

// announcedFrames: many clients each announce a large Produce and send no more. Nobody waits for them, nor after them.
func announcedFrames(t *testing.T, a *agent) {
	var all []rawConn
	for range 100 {
		c := dialRaw(t, a.addr)
		c.send(head(90<<20, 0, 9))
		all = append(all, c)
	}
	createTopic(t, a.addr, "meanwhile", 1)
	records := sample(2, 1, time.Now())
	kgoClient{}.produce(t, a.addr, "meanwhile", "none", records)
	compare(t, kgoClient{}.consume(t, a.addr, "meanwhile"), records)
	for _, c := range all {
		_ = c.Close()
	}
}

// hostileLengths: each four bytes of a good frame in turn, and each single byte, become a huge number.
func hostileLengths(t *testing.T, a *agent) {
	for _, name := range []string{"Metadata v1", "Metadata v9", "Produce v9", "Fetch v12"} {
		whole := samples()[name]
		for at := 4; at < len(whole); at++ {
			for _, width := range []int{1, 4} {
				b := append([]byte(nil), whole...)
				for i := at; i < min(at+width, len(b)); i++ {
					b[i] = 0xff
				}
				if width == 4 {
					b[at] = 0x7f
				}
				c := dialRaw(t, a.addr)
				c.send(b)
				c.rest()
			}
		}
	}
}

// randomFrames: noise behind a good size, and noise behind a good head.
func randomFrames(t *testing.T, a *agent) {
	seed := setting(t, "VARVE_SEED", uint64(time.Now().UnixNano()))
	t.Logf("again: VARVE_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	for range 500 {
		b := make([]byte, 16+rnd.IntN(3000))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		switch rnd.IntN(4) {
		case 0: // noise from the first byte
		case 1:
			binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		default:
			copy(b, head(int32(len(b)-4), int16(rnd.IntN(70)), int16(rnd.IntN(13))))
		}
		c := dialRaw(t, a.addr)
		c.send(b)
		c.rest()
	}
}
