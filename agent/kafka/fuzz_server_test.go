package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The whole server under fuzzing: an input is a tape, from which frames are made: good requests of every key and version that
// is told, mutated or not, and noise. They go to a live server over a socket. What must come back is computed from the bytes
// that were sent, see script.

// tape gives out what an input says, and zeros after its end.
type tape struct{ b []byte }

func (t *tape) byte() byte {
	if len(t.b) == 0 {
		return 0
	}
	v := t.b[0]
	t.b = t.b[1:]
	return v
}

func (t *tape) below(n int) int {
	if n <= 256 {
		return int(t.byte()) % n
	}
	return (int(t.byte())<<8 | int(t.byte())) % n
}

func (t *tape) span(n int) []byte {
	n = min(n, len(t.b))
	v := t.b[:n]
	t.b = t.b[n:]
	return v
}

// The bounds of one execution.
const (
	fuzzFrames = 12
	fuzzAlloc  = 64 << 20 // bytes that the server, the client and the checks allocate, in all
)

// fuzzConfig makes frames small enough to be refused for their size, and sessions of one partition.
var fuzzConfig = Config{MaxOtherBytes: 1 << 20, MaxRequestBytes: 2 << 20, SessionMin: 1, FrameTime: 20 * time.Second}

// frames makes the bytes that a client sends from a tape.
func (t *tape) frames(apis []api, ids [][16]byte) []byte {
	var stream []byte
	for n := 1 + t.below(fuzzFrames); n > 0; n-- {
		f := t.frame(apis, ids)
		for k := t.below(4); k > 0; k-- {
			f = t.mutate(f)
		}
		stream = append(stream, f...)
		if len(stream) > 256<<10 {
			break
		}
	}
	return stream
}

// frame makes one request that is as it should be, or noise.
func (t *tape) frame(apis []api, ids [][16]byte) []byte {
	which := t.below(len(apis) + 4)
	if which == len(apis) {
		return append([]byte(nil), t.span(t.below(64))...)
	}
	if which > len(apis) { // what there is most to say about
		which = which - len(apis) - 1
	}
	a := &apis[which]
	version := a.floor + int16(t.below(int(a.max-a.floor)+1))
	r := rand.New(rand.NewPCG(uint64(a.key), uint64(t.below(1<<16))))
	req := kmsg.RequestForKey(a.key)
	plausible(r, reflect.ValueOf(req).Elem(), ids)
	req.SetVersion(version)
	switch q := req.(type) {
	case *kmsg.ProduceRequest:
		q.TransactionID = nil
		for i := range q.Topics {
			for j := range q.Topics[i].Partitions {
				q.Topics[i].Partitions[j].Records = t.batch(r)
			}
		}
	case *kmsg.FetchRequest:
		q.MaxWaitMillis, q.IsolationLevel = int32(r.IntN(5)), int8(r.IntN(2))
	}
	return encode(req, int32(r.Uint32()>>1))
}

// batch makes a record batch, some of whose header is what the tape says, with a CRC that is right.
func (t *tape) batch(r *rand.Rand) []byte {
	b := bytes.Clone(goodBatch)
	for k := t.below(3); k > 0; k-- {
		b[8+t.below(len(b)-8)] = t.byte()
	}
	if r.IntN(4) > 0 {
		seal(b)
	}
	return b
}

// The names and numbers that requests are made of.
var (
	fuzzNames   = []string{"t", "u", "compacted", "nobody", "", "..", "a/b", "\xff\xfe", "retention.ms", "cleanup.policy", "1", "fresh", "delete", "é", "consumer-id"}
	fuzzNumbers = []int64{0, 1, -1, 2, 3, 5, -2, 100, 1 << 31, -1 << 63, 1<<63 - 1, 1<<31 - 1}
)

// plausible gives a request content that means something to the server.
func plausible(r *rand.Rand, v reflect.Value, ids [][16]byte) {
	switch v.Kind() {
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			plausible(r, v.Elem(), ids)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Version" && name != "UnknownTags" && v.Field(i).CanSet() {
				plausible(r, v.Field(i), ids)
			}
		}
	case reflect.Slice:
		n := r.IntN(3)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			plausible(r, v.Index(i), ids)
		}
	case reflect.Array:
		if id := ids[r.IntN(len(ids))]; v.Len() == len(id) {
			v.Set(reflect.ValueOf(id))
		}
	case reflect.String:
		v.SetString(fuzzNames[r.IntN(len(fuzzNames))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(fuzzNumbers[r.IntN(min(len(fuzzNumbers), 6+r.IntN(8)))])
	case reflect.Uint8:
		v.SetUint(uint64(r.IntN(3)))
	}
}

// mutate changes a frame at one place. Its size is made right again, or not.
func (t *tape) mutate(f []byte) []byte {
	if len(f) < sizeLen+1 {
		return f
	}
	op, at := t.byte(), sizeLen+t.below(len(f)-sizeLen)
	rest := f[at:]
	switch op % 8 {
	case 0:
		rest[0] = t.byte()
	case 1:
		rest[0] ^= 1 << (t.byte() % 8)
	case 2: // a number of four bytes
		if len(rest) >= 4 {
			binary.BigEndian.PutUint32(rest, uint32(fuzzNumbers[t.below(len(fuzzNumbers))]))
		}
	case 3: // a varint of five
		f = append(f[:at:at], append([]byte{0xff, 0xff, 0xff, 0xff, t.byte()}, rest...)...)
	case 4:
		f = append(f[:at:at], rest[min(len(rest), 1+t.below(16)):]...)
	case 5: // the same again
		f = append(f[:at:at], append(bytes.Clone(rest[:min(len(rest), 1+t.below(32))]), rest...)...)
	case 6:
		f = f[:at]
	case 7:
		f = append(f[:at:at], append(bytes.Clone(t.span(t.below(16))), rest...)...)
	}
	if op < 0xf0 && len(f) >= sizeLen {
		binary.BigEndian.PutUint32(f, uint32(len(f)-sizeLen))
	}
	return f
}

// awaited is an answer that must or may come.
type awaited struct {
	req         kmsg.Request // nil: only its correlation id is known
	correlation int32
	key         int16
	must        bool
}

// script says what a server answers to a stream: for each frame up to the first bad one, and whether it then closes.
// From the first frame on whose answer may take its time, or that may close the connection, nothing must come any more.
func (w *world) script(stream []byte) (all []awaited, closes bool) {
	must := true
	var p produceRequest
	for len(stream) >= preambleLen {
		h := parsePreamble(stream)
		a := w.s.lookup(h.key)
		most := w.s.cfg.MaxRequestBytes
		if h.key != keyProduce {
			most = min(most, w.s.cfg.MaxOtherBytes)
		}
		if h.size < minFrame || h.size > most || a == nil {
			return all, must
		}
		if h.version > a.max && h.key == keyAPIVersions {
			a = &api{key: h.key, flexible: 3, admit: a.admit, fields: nil, max: h.version}
		} else if h.version < a.floor || h.version > a.max {
			return all, must
		}
		if int64(len(stream)) < sizeLen+h.size {
			return all, false
		}
		cur, _, err := body(stream[sizeLen:sizeLen+h.size], h.version >= a.flexible)
		stream = stream[sizeLen+h.size:]
		e := awaited{correlation: h.correlation, key: h.key, must: must}
		switch {
		case a.fields == nil && h.key == keyAPIVersions: // newer than is known: answered whatever it holds
			e.req = kmsg.NewPtrApiVersionsRequest()
		case err != nil:
			return all, must
		case h.key == keyProduce:
			if p.decode(cur, h.version) != nil {
				return all, must
			}
			e.req = kmsg.NewPtrProduceRequest()
			e.req.SetVersion(h.version)
			must = must && p.acks != 0
			e.must = must
		case h.key == keyFetch:
			var q fetchRequest
			if q.decode(cur, h.version) != nil {
				return all, must
			}
			e.req = kmsg.NewPtrFetchRequest()
			e.req.SetVersion(h.version)
			must = must && q.maxWait < 100
			e.must = must
		default:
			if e.req, err = a.decode(cur, h.version); err != nil {
				return all, must
			}
		}
		all = append(all, e)
	}
	if len(stream) >= sizeLen {
		n := parseSize(stream)
		return all, must && (n < minFrame || n > w.s.cfg.MaxRequestBytes)
	}
	return all, false
}

// checkAnswer wants an answer that is whole, has nothing behind it and says what its type can say.
func checkAnswer(t *testing.T, e awaited, b []byte) {
	t.Helper()
	resp := e.req.ResponseKind()
	if resp.IsFlexible() && e.key != keyAPIVersions {
		if len(b) == 0 || b[0] != 0 {
			t.Fatalf("key %d: no end of a header", e.key)
		}
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		t.Fatalf("answer to key %d, version %d: %v: %x", e.key, e.req.GetVersion(), err, b)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, b) {
		t.Fatalf("answer to key %d, version %d:\n%x\nreads as\n%x", e.key, e.req.GetVersion(), b, again)
	}
}

// socketpair returns two ends of a socket that takes up no port.
func socketpair(t testing.TB) (near, far net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		ends[i], err = net.FileConn(f)
		_ = f.Close()
		must(t, err)
	}
	return ends[0], ends[1]
}

// converse sends a stream and checks what comes back, until all is there that must.
func (w *world) converse(t *testing.T, stream []byte) {
	t.Helper()
	all, closes := w.script(stream)
	near, far := socketpair(t)
	defer func() { _ = far.Close() }()
	w.s.accept(t.Context(), near)
	sent := make(chan struct{})
	go func() { defer close(sent); _, _ = far.Write(stream) }()
	_ = far.SetDeadline(time.Now().Add(hangTime))
	needed := 0
	for i, e := range all {
		if e.must {
			needed = i + 1
		}
	}
	for next := 0; next < needed || closes; next++ {
		b, err := (&client{t: t, nc: far}).frame()
		if err != nil {
			if next < needed {
				t.Fatalf("answer %d of %d: %v", next, needed, err)
			}
			if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("instead of the end: %v", err)
			}
			break
		}
		if next == len(all) || len(b) < 4 || int32(binary.BigEndian.Uint32(b)) != all[next].correlation {
			t.Fatalf("answer %d of %d: %x", next, len(all), b[:min(len(b), 16)])
		}
		checkAnswer(t, all[next], b[4:])
	}
	_ = far.Close()
	<-sent
}

// FuzzServer: whatever frames a client sends, nothing panics, what is answered is in order and well-formed, and when the
// connection is over nothing of it is left: no bytes of a budget, no goroutine, no fetch session.
func FuzzServer(f *testing.F) {
	apis := dispatch()
	for i := range apis {
		for v := range byte(apis[i].max - apis[i].floor + 1) {
			f.Add([]byte{0, byte(i), v, 1, v, 0, 0, 0})                                              // as it should be
			f.Add([]byte{2, byte(i), v, 0, v, 0, 1, 2, 12 + v, 4, byte(i), v, 2, v, 0, 0, 18, 0, 0}) // with a large number, and another behind it
		}
	}
	for op := range byte(8) {
		f.Add([]byte{1, 0, 9, 0, 7, 1, 20, 9, 1, op, 0, 30, 3, 1, 12, 0, 3, 0})
		f.Add([]byte{1, 1, 8, 0, 7, 1, 0xf0 + op, 0, 3, 9, 1, 12, 0, 3, 0})
	}
	f.Add(append([]byte{0, byte(len(apis)), 60}, raw(0xffffffff, 0, 9)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 4<<10 {
			return
		}
		w := newWorld(t, option{auto: true, cache: 1 << 20, cfg: fuzzConfig, settings: map[string]string{"auto.create.topics.enable": "true"}})
		ids := [][16]byte{w.topic("t", 2).ID, w.topic("compacted", 1, "cleanup.policy", "compact").ID, {}, {1}}
		w.bounded(t, func() { w.converse(t, (&tape{in}).frames(apis, ids)) })
	})
}

// bounded runs what one connection does and holds it to what it may take.
func (w *world) bounded(t *testing.T, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	goroutines := runtime.NumGoroutine()
	runtime.ReadMemStats(&before)
	do()
	soon(t, "connection ends", func() bool { return len(w.s.conns()) == 0 })
	soon(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	soon(t, "bytes given back", func() bool {
		return w.budget.Used() == 0 && w.s.reserve.Used() == 0 && w.s.held.Load() == 0 && w.s.sessions.Load() == 0 && w.s.parked.Load() == 0 && w.s.unread.Load() == 0
	})
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > fuzzAlloc {
		t.Errorf("%d bytes allocated", got)
	}
	if n := counterValue(w.s.metrics.panics); n != 0 {
		t.Fatalf("%v panics", n)
	}
}

// soon is eventually for what takes microseconds, most of the time.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 50 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Microsecond)
	}
	eventually(t, what, ok)
}
