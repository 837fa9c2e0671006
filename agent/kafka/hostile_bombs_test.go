package kafka

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	heap "runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/objstore/recordbatch"
)

// bomb makes a good batch of n records with values of size zeros, compressed as far as its codec goes, without ever holding it.
func bomb(t testing.TB, codec recordbatch.Codec, n, size int) []byte {
	t.Helper()
	empty, err := (&recordbatch.Builder{}).Append(nil, []recordbatch.Record{{Timestamp: 1_700_000_000_000, Key: []byte("k")}})
	must(t, err)
	var out bytes.Buffer
	out.Write(empty[:61])
	var w io.WriteCloser
	switch codec {
	case recordbatch.Gzip:
		w, err = gzip.NewWriterLevel(&out, 9)
	case recordbatch.Zstd:
		w, err = zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
	case recordbatch.LZ4:
		w = lz4.NewWriter(&out)
	case recordbatch.Snappy:
		w = &xerial{out: &out}
		out.WriteString("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
	}
	must(t, err)
	zeros := make([]byte, 64<<10)
	for i := range n {
		head := append([]byte{0, 0}, binary.AppendVarint(nil, int64(i))...)
		head = append(binary.AppendVarint(head, 1), 'k')
		head = binary.AppendVarint(head, int64(size))
		_, err := w.Write(append(binary.AppendVarint(nil, int64(len(head)+size+1)), head...))
		must(t, err)
		for left := size; left > 0; left -= len(zeros) {
			_, err = w.Write(zeros[:min(left, len(zeros))])
			must(t, err)
		}
		_, err = w.Write([]byte{0})
		must(t, err)
	}
	must(t, w.Close())
	b := out.Bytes()
	b[22] = byte(codec)
	binary.BigEndian.PutUint32(b[23:], uint32(n-1))
	binary.BigEndian.PutUint32(b[57:], uint32(n))
	seal(b)
	return b
}

// xerial writes each piece as a block of the framing that Java puts around snappy.
type xerial struct{ out *bytes.Buffer }

func (x *xerial) Write(b []byte) (int, error) {
	block := snappy.Encode(nil, b)
	x.out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(block))))
	x.out.Write(block)
	return len(b), nil
}

func (x *xerial) Close() error { return nil }

// peakHeap watches the live and not yet collected bytes of the heap; most returns the largest number seen.
func peakHeap() (most func() uint64) {
	var peak atomic.Uint64
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		sample := []heap.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for {
			heap.Read(sample)
			peak.Store(max(peak.Load(), sample[0].Value.Uint64()))
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return func() uint64 { close(stop); <-ended; return peak.Load() }
}

// TestBombs: batches that unfold to 130 MiB, of every codec, many at once. Where records are looked at they are refused at the
// cap, and no more are opened at once than there are processors. Where they are not, they pass, and a search by time stops at
// the cap.
func TestBombs(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 64 << 20})
	w.topic("compacted", 1, "cleanup.policy", "compact", "max.message.bytes", "20000000")
	w.topic("plain", 4, "max.message.bytes", "20000000")
	w.topic("t", 1)
	stop := w.meanwhile("t")
	defer stop()
	base := uint64(inUse())
	codecs := []recordbatch.Codec{recordbatch.Snappy, recordbatch.Gzip, recordbatch.LZ4, recordbatch.Zstd}
	if raceFactor > 1 { // the race detector makes the others twenty times slower
		codecs = codecs[:1]
	}
	for partition, codec := range codecs {
		b := bomb(t, codec, 5, 26<<20)
		t.Logf("%v: %d bytes", codec, len(b))
		most := peakHeap()
		clients := make([]*client, 8-2*raceFactor)
		req := producing(9, "compacted", b)
		var sending sync.WaitGroup
		for i := range clients {
			clients[i] = w.dial()
			sending.Go(func() { clients[i].send(req) })
		}
		for _, c := range clients {
			if p := produced(receive[*kmsg.ProduceResponse](c, req, 1)); p.ErrorCode == 0 {
				t.Errorf("%v: taken", codec)
			}
		}
		sending.Wait()
		plain := producing(9, "plain", b)
		plain.Topics[0].Partitions[0].Partition = int32(partition)
		if p := produced(call[*kmsg.ProduceResponse](clients[0], plain)); p.ErrorCode != 0 {
			t.Errorf("%v, nobody looks: %+v", codec, p)
		}
		list := kmsg.NewPtrListOffsetsRequest()
		list.Version = 7
		rt, lp := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
		rt.Topic, lp.Partition, lp.Timestamp = "plain", int32(partition), -3 // the largest: all records are looked at
		rt.Partitions = append(rt.Partitions, lp)
		list.Topics = append(list.Topics, rt)
		for _, c := range clients {
			sending.Go(func() { c.send(list) })
		}
		for i, c := range clients {
			corr := int32(2)
			if i == 0 {
				corr = 3
			}
			if p := receive[*kmsg.ListOffsetsResponse](c, list, corr).Topics[0].Partitions[0]; p.ErrorCode != codeCorruptMessage {
				t.Errorf("%v by time: %+v", codec, p)
			}
		}
		got, each := most(), uint64(2*openLimit+8<<20)
		limit := base + uint64(len(clients)*4*len(b)) + 2*uint64(runtime.GOMAXPROCS(0))*each // twice: what is not collected yet
		t.Logf("%v: peak %d MiB, %d at first", codec, got>>20, base>>20)
		if got > limit && raceFactor == 1 {
			t.Errorf("%v: %d bytes of memory, at most %d", codec, got, limit)
		}
	}
}

// TestByTimeEndsWithItsRequest: a request asks for a time in as many partitions as it may name, all of which are one batch that
// takes long to open. It is over when its client is, or its time.
func TestByTimeEndsWithItsRequest(t *testing.T) {
	w := newWorld(t, option{auto: true, cache: 64 << 20})
	w.topic("t", 1)
	call[*kmsg.ProduceResponse](w.dial(), producing(9, "t", bomb(t, recordbatch.Zstd, 2, 20<<20)))
	list := kmsg.NewPtrListOffsetsRequest()
	list.Version = 7
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = "t"
	for range 100_000 {
		lp := kmsg.NewListOffsetsRequestTopicPartition()
		lp.Timestamp = -3
		rt.Partitions = append(rt.Partitions, lp)
	}
	list.Topics = append(list.Topics, rt)
	c := w.dial()
	c.send(list)
	eventually(t, "a batch is opened", func() bool { return len(w.s.turns) > 0 })
	must(t, c.nc.Close())
	eventually(t, "no batch is opened any more", func() bool {
		return len(w.s.turns) == 0 && counterValue(w.s.lookup(2).m.inFlight) == 0
	})
}
