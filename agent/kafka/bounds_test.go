package kafka

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAskBounds: an agent is asked for its logs as by a client; what is not there is left out, and an answer that lies is an error.
func TestAskBounds(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 1 << 20})
	w.topic("t", 2)
	call[*kmsg.ProduceResponse](w.dial(), producing(3, "t", batch(t, 3, 1)))
	ask := func(nc net.Conn) (LogBounds, error) {
		ctx, cancel := context.WithTimeout(t.Context(), hangTime)
		defer cancel()
		return AskBounds(ctx, nc, map[string][]int32{"t": {0, 1, 9}, "gone": {0}})
	}
	eventually(t, "the record is counted", func() bool {
		nc, err := net.Dial("tcp", w.addr)
		must(t, err)
		b, err := ask(nc)
		must(t, err)
		_, missing := b.End["t"][9]
		_, gone := b.End["gone"][0]
		if missing || gone || b.Start["t"][0] != 0 || b.End["t"][1] != 0 {
			t.Fatalf("%+v", b)
		}
		return b.End["t"][0] == 3
	})
	for what, answer := range map[string][]byte{"nothing": nil, "too long": binary.BigEndian.AppendUint32(nil, 1<<31), "too short": {0, 0, 0, 3, 0, 0, 0, 1}, "cut off": {0, 0, 0, 9, 0, 0, 0, 1, 0}} {
		ours, theirs := net.Pipe()
		go func() {
			var size [4]byte
			_, _ = io.ReadFull(theirs, size[:])
			_, _ = io.CopyN(io.Discard, theirs, int64(binary.BigEndian.Uint32(size[:])))
			_, _ = theirs.Write(answer)
			_ = theirs.Close()
		}()
		if b, err := ask(ours); err == nil {
			t.Errorf("%s: %+v", what, b)
		}
	}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := AskBounds(ctx, ours, nil); err == nil {
		t.Error("it waits for one that does not answer")
	}
}
