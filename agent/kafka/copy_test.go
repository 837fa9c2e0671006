package kafka

import (
	"bytes"
	"net"
	"testing"
	"time"
	"unsafe"

	"github.com/varvelog/varve/objstore/recordbatch"
)

// traced is a connection of which a test knows where in memory bytes were read to, and written from.
type traced struct {
	net.Conn // nil
	in       bytes.Reader
	reads    [][]byte // what was filled
	writes   [][]byte // what was sent
}

func (c *traced) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	if n > 0 {
		c.reads = append(c.reads, b[:n])
	}
	return n, err
}

func (c *traced) Write(b []byte) (int, error) {
	c.writes = append(c.writes, b)
	return len(b), nil
}

func (c *traced) Close() error                     { return nil }
func (c *traced) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *traced) SetReadDeadline(time.Time) error  { return nil }
func (c *traced) SetWriteDeadline(time.Time) error { return nil }

// within returns how many bytes of parts lie in whole.
func within(whole []byte, parts [][]byte) (n int) {
	from := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	for _, p := range parts {
		at := uintptr(unsafe.Pointer(unsafe.SliceData(p)))
		n += max(0, int(min(at+uintptr(len(p)), from+uintptr(len(whole))))-int(max(at, from)))
	}
	return n
}

// TestProduceIsReadInPlace: what the WAL gets of a request is the memory that the socket was read into; only what was read ahead with
// the beginning of the frame was copied.
func TestProduceIsReadInPlace(t *testing.T) {
	for _, records := range []int{10, 100, 10_000} {
		w := newWorld(t, option{budget: 1 << 30})
		w.topic("t", 1, "max.message.bytes", "20000000")
		nc := &traced{}
		nc.in.Reset(encode(producing(9, "t", batch(t, records, 1000)), 1))
		c := newConn(t.Context(), w.s, nc)
		must(t, c.request())
		e := w.wal.take()[0]
		copied := len(e.Batch) - within(e.Batch, nc.reads)
		if copied > readBuffer || len(e.Batch) < records*1000 {
			t.Errorf("%d of %d bytes were copied between the socket and the WAL", copied, len(e.Batch))
		}
		e.Owner.Release()
		e.Done.Appended(e.Tag, nil)
		c.kill()
	}
}

// TestFetchIsWrittenInPlace: records of an answer are written to the socket from the object in memory.
func TestFetchIsWrittenInPlace(t *testing.T) {
	w, _ := loaded(t, option{budget: 256 << 20}, 3, 10, 1000)
	nc := &traced{}
	req := fetching(12, "t", 0, 0, 0)
	for i := range req.Topics[0].Partitions {
		req.Topics[0].Partitions[i].PartitionMaxBytes = 1 << 20
	}
	nc.in.Reset(encode(req, 1))
	c := newConn(t.Context(), w.s, nc)
	must(t, c.request())
	first, n := c.ring.next()
	if n != 1 || !c.writeSlots(first, n) {
		t.Fatalf("%d answers", n)
	}
	c.ring.wrote()
	records, inPlace := 0, 0
	for _, b := range nc.writes {
		if batch, _, err := recordbatch.Next(b); err == nil && batch != nil && batch.Check() == nil {
			records += len(b)
			for _, body := range w.wal.bodies {
				inPlace += within(body, [][]byte{b})
			}
		}
	}
	if want := 3 * (len(batch(t, 10, 100)) + len(batch(t, 1000, 100))); records != want || inPlace != want {
		t.Errorf("%d bytes of records were written, %d of them in place, want %d", records, inPlace, want)
	}
	c.kill()
}
