package kafka

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzProduceDecode: what our decoder takes, kmsg takes too, and reads the same.
func FuzzProduceDecode(f *testing.F) {
	for v := int16(3); v <= 13; v++ {
		r := rand.New(rand.NewPCG(4, uint64(v)))
		for range 3 {
			f.Add(v, randomRequest(r, keyProduce, v).AppendTo(nil))
		}
	}
	var p produceRequest
	f.Fuzz(func(t *testing.T, version int16, b []byte) {
		if version < 3 || version > 13 || len(b) > 64<<10 {
			return
		}
		if p.decode(cursor{b: b, flex: version >= 9}, version) != nil {
			return
		}
		req := kmsg.NewPtrProduceRequest()
		req.Version = version
		if err := req.ReadFrom(b); err != nil {
			t.Fatalf("kmsg does not take it: %v", err)
		}
		compareProduce(t, &p, req)
	})
}

// FuzzBodies: what passes the check of a layout, kmsg decodes without harm, and what it encodes passes again.
func FuzzBodies(f *testing.F) {
	each(func(a *api, v int16) {
		if a.admit != nil {
			f.Add(a.key, v, randomRequest(rand.New(rand.NewPCG(5, uint64(v))), a.key, v).AppendTo(nil))
		}
	})
	s := New(Config{}, Deps{})
	f.Fuzz(func(t *testing.T, key, version int16, b []byte) {
		a := s.lookup(key)
		if a == nil || a.admit == nil || version < a.floor || version > a.max || len(b) > 64<<10 {
			return
		}
		req, err := a.decode(cursor{b: b, flex: version >= a.flexible}, version)
		if err != nil {
			return
		}
		if _, err := a.decode(cursor{b: req.AppendTo(nil), flex: version >= a.flexible}, version); err != nil {
			t.Fatalf("%s v%d: decodes, but not what it encodes to: %v", a.name, version, err)
		}
	})
}

// FuzzConnection sends arbitrary bytes to a live server and wants it alive, with everything given back, afterwards.
func FuzzConnection(f *testing.F) {
	w := newWorld(f, option{auto: true, cache: 1 << 20, settings: map[string]string{"auto.create.topics.enable": "true"},
		cfg: Config{MaxOtherBytes: 1 << 20, MaxRequestBytes: 2 << 20}})
	w.topic("t", 2)
	b := batch(f, 2, 10)
	for v := int16(3); v <= 13; v++ {
		f.Add(append(encode(producing(v, "t", b, b), 1), encode(fetching(max(v, 4), "t", 0, 0), 2)...))
	}
	each(func(a *api, v int16) {
		f.Add(encode(randomRequest(rand.New(rand.NewPCG(6, uint64(v))), a.key, v), 3))
		f.Add(raw(10, a.key, v))
	})
	f.Add(raw(0xffffffff, 0, 9))
	f.Add(encode(apiVersions(4), 1)[:9])
	f.Fuzz(func(t *testing.T, in []byte) {
		near, far := net.Pipe()
		ctx, cancel := context.WithTimeout(context.Background(), hangTime)
		defer cancel()
		w.s.accept(ctx, near)
		read := make(chan struct{})
		go func() { defer close(read); wellFormed(t, far) }()
		_ = far.SetWriteDeadline(time.Now().Add(hangTime))
		_, _ = far.Write(in)
		_ = far.Close()
		<-read
		eventually(t, "connection ends", func() bool { return len(w.s.conns()) == 0 })
		eventually(t, "bytes given back", func() bool {
			return w.budget.Used() == 0 && w.s.reserve.Used() == 0 && w.s.held.Load() == 0 && w.s.sessions.Load() == 0
		})
		if n := counterValue(w.s.metrics.panics); n != 0 {
			t.Fatalf("%v panics", n)
		}
	})
}

// wellFormed reads answers to the end of the connection: each has a size and a correlation id.
func wellFormed(t *testing.T, r io.Reader) {
	for {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(size[:])
		if n < 4 || n > 64<<20 {
			t.Errorf("answer of %d bytes", n)
			return
		}
		if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
			return
		}
	}
}
