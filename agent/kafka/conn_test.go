package kafka

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
)

func apiVersions(version int16) *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = version, "apache-kafka-java", "4.1.0"
	return req
}

func TestAV2NewerVersionIsAnsweredInTheOldestForm(t *testing.T) {
	w := newWorld(t, option{})
	c := w.dial()
	frame := encode(apiVersions(4), 7)
	binary.BigEndian.PutUint16(frame[6:], 9) // a version whose body nobody knows
	_, err := c.nc.Write(append(frame, encode(apiVersions(4), 8)...))
	must(t, err)
	b, err := c.frame()
	must(t, err)
	resp := kmsg.NewPtrApiVersionsResponse() // version 0
	must(t, resp.ReadFrom(b[4:]))
	if resp.ErrorCode != codeUnsupportedVersion || len(resp.ApiKeys) != 1 || resp.ApiKeys[0].ApiKey != 18 || resp.ApiKeys[0].MaxVersion != 5 {
		t.Fatalf("answer %+v", resp)
	}
	next := receive[*kmsg.ApiVersionsResponse](c, apiVersions(4), 8)
	if next.ErrorCode != 0 {
		t.Fatalf("the connection does not go on: %d", next.ErrorCode)
	}
}

func TestAV3HeaderWithoutTags(t *testing.T) {
	w := newWorld(t, option{})
	for v := int16(0); v <= 4; v++ {
		resp := call[*kmsg.ApiVersionsResponse](w.dial(), apiVersions(v))
		if resp.ErrorCode != 0 || len(resp.ApiKeys) != len(w.s.apis) {
			t.Errorf("v%d: code %d, %d keys", v, resp.ErrorCode, len(resp.ApiKeys))
		}
	}
}

func TestAV4SoftwareName(t *testing.T) {
	w := newWorld(t, option{})
	for _, c := range []struct {
		name, version string
		code          int16
	}{
		{"a", "1", 0}, {"kgo", "1.2.3-rc.1", 0}, {"", "1", 42}, {"a", "", 42}, {"-a", "1", 42}, {"a.", "1", 42}, {"a b", "1", 42}, {"é", "1", 42},
	} {
		req := apiVersions(3)
		req.ClientSoftwareName, req.ClientSoftwareVersion = c.name, c.version
		if resp := call[*kmsg.ApiVersionsResponse](w.dial(), req); resp.ErrorCode != c.code {
			t.Errorf("%q %q: code %d, want %d", c.name, c.version, resp.ErrorCode, c.code)
		}
	}
}

// raw builds a frame of a header and so many zeros.
func raw(size uint32, key, version int16) []byte {
	b := binary.BigEndian.AppendUint32(nil, size)
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	return append(b, 0, 0, 0, 1, 0xff, 0xff) // correlation id, no client id
}

func TestAV5UnknownKeyOrVersionCloses(t *testing.T) {
	w := newWorld(t, option{})
	for _, f := range [][]byte{
		raw(10, 999, 0), raw(10, -1, 0), raw(10, 4, 0), raw(10, 127, 0), raw(10, 128, 0), // keys
		raw(10, 3, 14), raw(10, 3, -1), raw(10, 1, 3), raw(10, 1, 19), raw(10, 0, 14), raw(10, 18, -1), // versions
		encode(producing(0, "t", batch(t, 1, 1)), 1), encode(producing(2, "t", batch(t, 1, 1)), 1), // told, not answered
		raw(0, 18, 0), raw(9, 18, 0), raw(0x80000000, 18, 0), raw(0xffffffff, 0, 9), raw(100<<20+1, 0, 9), raw(8<<20+1, 3, 9), // sizes
	} {
		c := w.dial()
		_, err := c.nc.Write(f)
		must(t, err)
		c.closed()
	}
	if used := w.budget.Used() + w.s.reserve.Used() + w.pool.Outstanding(); used != 0 {
		t.Errorf("hostile frames took %d bytes", used)
	}
	eventually(t, "13 frames refused for their key or version", func() bool {
		return counterValue(w.s.metrics.ends.WithLabelValues("version")) == 13
	})
	eventually(t, "six frames refused for their size", func() bool { return counterValue(w.s.metrics.ends.WithLabelValues("size")) == 6 })
}

func TestAV6AV7Features(t *testing.T) {
	w := newWorld(t, option{})
	resp := call[*kmsg.ApiVersionsResponse](w.dial(), apiVersions(3))
	if resp.FinalizedFeaturesEpoch < 0 || len(resp.FinalizedFeatures) != 2 || resp.FinalizedFeatures[0].MaxVersionLevel != metadataVersion ||
		resp.FinalizedFeatures[1].Name != "group.version" || resp.FinalizedFeatures[1].MaxVersionLevel != 1 {
		t.Errorf("features %+v, epoch %d", resp.FinalizedFeatures, resp.FinalizedFeaturesEpoch)
	}
	for _, f := range resp.SupportedFeatures {
		if f.MinVersion == 0 {
			t.Errorf("%s: version 3 clients throw on minimum 0", f.Name)
		}
	}
	if resp := call[*kmsg.ApiVersionsResponse](w.dial(), apiVersions(4)); len(resp.SupportedFeatures) != 2 {
		t.Errorf("version 4 is told %+v", resp.SupportedFeatures)
	}
}

// TestD4Floors: librdkafka before 2.11.1 looks for these versions in the ranges.
func TestD4Floors(t *testing.T) {
	w := newWorld(t, option{})
	have := map[int16][2]int16{}
	for _, k := range call[*kmsg.ApiVersionsResponse](w.dial(), apiVersions(0)).ApiKeys {
		have[k.ApiKey] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	for _, c := range []struct{ key, version int16 }{
		{0, 0}, {10, 0}, {0, 7}, {1, 10}, {0, 3}, {1, 4}, {2, 1}, {22, 0}, {3, 0}, {23, 2}, {19, 4}, {32, 1},
	} {
		if r, ok := have[c.key]; !ok || c.version < r[0] || c.version > r[1] {
			t.Errorf("key %d: %v does not contain %d", c.key, r, c.version)
		}
	}
}

// TestD2SixtyFourInFlight: a connection has 64 requests in flight, the 65th is not read, and answers come in order.
func TestD2SixtyFourInFlight(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 1)
	c := w.dial()
	var reqs []kmsg.Request
	for range inFlight + 3 {
		req := producing(9, top.Name, batch(t, 1, 10))
		reqs = append(reqs, req)
		c.send(req)
	}
	eventually(t, "64 batches appended", func() bool { return w.wal.queued() == inFlight })
	time.Sleep(20 * time.Millisecond)
	if n := w.wal.queued(); n != inFlight {
		t.Fatalf("%d appended: more than %d requests are in flight", n, inFlight)
	}
	w.wal.commit()
	eventually(t, "the rest appended", func() bool { return w.wal.queued() == 3 })
	w.wal.commit()
	for i, req := range reqs {
		resp := receive[*kmsg.ProduceResponse](c, req, int32(i+1))
		if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i) { // D3 too
			t.Fatalf("request %d: code %d, offset %d", i, p.ErrorCode, p.BaseOffset)
		}
	}
}

// TestProduceWaitsForTheBudgetAlone: when produce has taken all the bytes there are, other requests go on, on other
// connections.
func TestProduceWaitsForTheBudgetAlone(t *testing.T) {
	w := newWorld(t, option{budget: 8 << 10})
	w.topic("t", 1)
	first, second, other := w.dial(), w.dial(), w.dial()
	one := producing(9, "t", batch(t, 1, 7<<10))
	id := first.send(one)
	eventually(t, "first appended", func() bool { return w.wal.queued() == 1 })
	two := producing(9, "t", batch(t, 1, 7<<10))
	id2 := second.send(two)
	for range 20 {
		call[*kmsg.MetadataResponse](other, kmsg.NewPtrMetadataRequest())
		call[*kmsg.FetchResponse](other, fetching(11, "t", 0))
	}
	if n := w.wal.queued(); n != 1 {
		t.Fatalf("%d appended: the second did not wait", n)
	}
	w.wal.commit()
	receive[*kmsg.ProduceResponse](first, one, id)
	eventually(t, "second appended", func() bool { return w.wal.queued() == 1 })
	w.wal.commit()
	receive[*kmsg.ProduceResponse](second, two, id2)
}

// TestWhoOnlyAnnouncesAFrameTakesNothing: one client says that a frame of 90 MiB follows, and another sends a part of one
// and stops. The first takes no bytes of the budget, the second all there are; it is cut off long before the time that the
// whole may take.
func TestWhoOnlyAnnouncesAFrameTakesNothing(t *testing.T) {
	w := newWorld(t, option{budget: 8 << 10, auto: true, cfg: Config{FrameTime: 100 * time.Millisecond}})
	w.topic("t", 1)
	silent, stops, good := w.dial(), w.dial(), w.dial()
	_, err := silent.nc.Write(append(raw(90<<20, 0, 9), make([]byte, 1000)...))
	must(t, err)
	admitted, taken := false, int64(0)
	eventually(t, "the silent client cut off", func() bool {
		taken = max(taken, w.budget.Used())
		n := counterValue(w.s.lookup(keyProduce).m.inFlight)
		admitted = admitted || n == 1
		return admitted && n == 0
	})
	silent.closed()
	if taken > 0 {
		t.Errorf("an announced frame took %d bytes", taken)
	}
	_, err = stops.nc.Write(append(raw(90<<20, 0, 9), make([]byte, readBuffer)...))
	must(t, err)
	eventually(t, "bytes taken", func() bool { return w.budget.Used() >= readBuffer })
	call[*kmsg.ProduceResponse](good, producing(9, "t", batch(t, 1, 1)))
	stops.closed()
}

func TestShutdownAnswersWhatIsInFlight(t *testing.T) {
	w := newWorld(t, option{})
	w.topic("t", 1)
	c, idle, half := w.dial(), w.dial(), w.dial()
	prod := producing(9, "t", batch(t, 1, 10))
	fetch := fetching(11, "t", 0)
	fetch.MaxWaitMillis = 60_000
	p, f := c.send(prod), c.send(fetch)
	_, err := half.nc.Write([]byte{0, 0})
	must(t, err)
	call[*kmsg.MetadataResponse](idle, kmsg.NewPtrMetadataRequest())
	eventually(t, "appended", func() bool { return w.wal.queued() == 1 })
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), hangTime)
		defer cancel()
		done <- w.s.Shutdown(ctx)
	}()
	idle.closed()
	half.closed()
	w.wal.commit()
	if resp := receive[*kmsg.ProduceResponse](c, prod, p); resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("produce: %+v", resp)
	}
	receive[*kmsg.FetchResponse](c, fetch, f)
	c.closed()
	must(t, <-done)
	if _, err := net.Dial("tcp", w.addr); err == nil {
		t.Error("still listening")
	}
}

func TestIdleConnectionsClose(t *testing.T) {
	w := newWorld(t, option{cfg: Config{Idle: 30 * time.Millisecond}})
	w.topic("t", 1)
	parked := w.dial() // MI2
	req := fetching(11, "t", 0)
	req.MaxWaitMillis = 200
	id := parked.send(req)
	w.dial().closed()
	receive[*kmsg.FetchResponse](parked, req, id)
	parked.closed()
}

func TestSlowFrameCloses(t *testing.T) {
	w := newWorld(t, option{cfg: Config{FrameTime: 50 * time.Millisecond}})
	c := w.dial()
	_, err := c.nc.Write(raw(100, 3, 9)) // and no more
	must(t, err)
	c.closed()
}

func TestTooManyConnections(t *testing.T) {
	w := newWorld(t, option{cfg: Config{MaxConnections: 1}})
	c := w.dial()
	call[*kmsg.MetadataResponse](c, kmsg.NewPtrMetadataRequest())
	w.dial().closed()
	call[*kmsg.MetadataResponse](c, kmsg.NewPtrMetadataRequest())
}

// TestPanicCostsOneConnection: the last net holds, in the reader and in a request's own goroutine.
func TestPanicCostsOneConnection(t *testing.T) {
	boom := func(*Server, context.Context, *kmsg.DescribeClusterRequest) *kmsg.DescribeClusterResponse {
		panic("boom")
	}
	bang := func(*Server, context.Context, *kmsg.InitProducerIDRequest) *kmsg.InitProducerIDResponse {
		panic("bang")
	}
	w := newWorld(t, option{panics: 2, before: func(s *Server) {
		s.lookup(60).admit, s.lookup(22).admit = inline(boom), async(bang)
	}})
	other := w.dial()
	call[*kmsg.MetadataResponse](other, kmsg.NewPtrMetadataRequest())
	for _, req := range []kmsg.Request{kmsg.NewPtrDescribeClusterRequest(), kmsg.NewPtrInitProducerIDRequest()} {
		c := w.dial()
		c.send(req)
		c.closed()
	}
	call[*kmsg.MetadataResponse](other, kmsg.NewPtrMetadataRequest())
}

// TestClientThatDoesNotRead: answers that nobody reads do not pile up, and the server's end is not held up by them.
func TestClientThatDoesNotRead(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 64 << 20, cfg: Config{ConnBytes: 4 << 20}})
	w.topic("t", 1)
	c := w.dial()
	for range 8 {
		call[*kmsg.ProduceResponse](c, producing(9, "t", batch(t, 1, 1_000_000)))
	}
	deaf := w.dial()
	for range inFlight {
		deaf.send(fetching(11, "t", 0))
	}
	eventually(t, "answers held", func() bool { return w.s.held.Load() > 0 })
	time.Sleep(50 * time.Millisecond)
	if held := w.s.held.Load(); held > 4<<20+inFlight*1_100_000 {
		t.Errorf("%d bytes held for one connection", held)
	}
	_ = deaf.nc.Close()
	eventually(t, "answers let go", func() bool { return w.s.held.Load() == 0 })
}

func TestDescribeCluster(t *testing.T) {
	w := newWorld(t, option{})
	for v := int16(0); v <= 2; v++ {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.Version = v
		resp := call[*kmsg.DescribeClusterResponse](w.dial(), req)
		if resp.ErrorCode != 0 || len(resp.Brokers) != 1 || resp.Brokers[0].NodeID != testNode || resp.ControllerID != testNode {
			t.Errorf("v%d: %+v", v, resp)
		}
	}
	for kind, code := range map[int8]int16{2: 114, 3: 115} {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.Version, req.EndpointType = 1, kind
		if resp := call[*kmsg.DescribeClusterResponse](w.dial(), req); resp.ErrorCode != code {
			t.Errorf("endpoint type %d: code %d, want %d", kind, resp.ErrorCode, code)
		}
	}
}

func TestInitProducerID(t *testing.T) {
	w := newWorld(t, option{})
	for v := int16(0); v <= 5; v++ {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version = v
		if resp := call[*kmsg.InitProducerIDResponse](w.dial(), req); resp.ErrorCode != 0 || resp.ProducerID != 1001+int64(v) || resp.ProducerEpoch != 0 {
			t.Errorf("v%d: %+v", v, resp)
		}
		for id, code := range map[string]int16{"": codeInvalidRequest, "tx": codeTransactionalIDAuthFailed} { // TX2
			req.TransactionalID = &id
			if resp := call[*kmsg.InitProducerIDResponse](w.dial(), req); resp.ErrorCode != code || resp.ProducerID != -1 {
				t.Errorf("v%d, id %q: %+v", v, id, resp)
			}
		}
	}
	w.node.mu.Lock()
	w.node.pidErr = io.ErrUnexpectedEOF
	w.node.mu.Unlock()
	if resp := call[*kmsg.InitProducerIDResponse](w.dial(), kmsg.NewPtrInitProducerIDRequest()); resp.ErrorCode != codeCoordinatorLoadInProgress {
		t.Errorf("no ids: %+v", resp)
	}
}

func TestFindCoordinator(t *testing.T) {
	w := newWorld(t, option{})
	for v := int16(0); v <= 6; v++ {
		for kind, code := range map[int8]int16{0: 0, 1: codeTransactionalIDAuthFailed, 2: codeInvalidRequest} {
			if v == 0 && kind > 0 {
				continue
			}
			got := findGroup(w.dial(), v, kind, "g")
			if got.ErrorCode != code || code == 0 && (got.NodeID != testNode || got.Port == 0) || code != 0 && got.NodeID != -1 {
				t.Errorf("v%d, type %d: %+v", v, kind, got)
			}
		}
	}
	w.node.change(func(v *fakeView) { v.Slots[group.Slot("g", testSlots)].Node = -1 })
	if got := findGroup(w.dial(), 4, 0, "g"); got.ErrorCode != codeCoordinatorNotAvailable {
		t.Errorf("without a leader: %+v", got)
	}
}

func findGroup(c *client, version int16, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = version, kind, key, []string{key}
	resp := call[*kmsg.FindCoordinatorResponse](c, req)
	if version >= 4 {
		return resp.Coordinators[0]
	}
	return kmsg.FindCoordinatorResponseCoordinator{NodeID: resp.NodeID, Host: resp.Host, Port: resp.Port, ErrorCode: resp.ErrorCode}
}
