package kafka

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/varvelog/varve/agent/memory"
)

// readBuffer is what a connection reads ahead: frame headers and small requests. Bodies of large ones pass it by.
const readBuffer = 4 << 10

// conn is one client connection.
type conn struct {
	s      *Server
	nc     net.Conn
	br     *bufio.Reader
	ctx    context.Context // ends when the connection is over
	cancel context.CancelFunc
	intake context.Context // ends when no more is to be read
	shut   context.CancelFunc
	ring   ring
	news   chan struct{} // holds one while a Metadata request waits for others' news

	out      net.Buffers  // of the writer
	answered atomic.Int64 // how often something was written

	draining atomic.Bool
	held     atomic.Int64             // bytes of records in answers that are not written yet
	link     atomic.Pointer[zoneLink] // nil: the client is in this zone, or did not say

	// Of the reader alone.
	in      intake // of the frame that is being read
	produce produceRequest
	sums    sums      // of the Produce request that was read last
	client  []byte    // client id of the request that is being admitted; of its frame
	named   string    // the client id that heard has seen last
	zone    string    // that the client says it is in
	refused bool      // a transactional id was refused, and logged
	skipped bool      // the last Fetch was answered without what is not in memory
	rushed  time.Time // a slot was waited for in vain: none is waited for before

	mu struct {
		sync.Mutex
		parked   map[*fetchOp]struct{}
		nudged   time.Time // when a parked Fetch was completed early for a request behind it
		sessions sessions
	}
}

func newConn(ctx context.Context, s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, br: bufio.NewReaderSize(nc, readBuffer), news: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.intake, c.shut = context.WithCancel(c.ctx)
	c.ring.init(c)
	c.mu.parked = map[*fetchOp]struct{}{}
	return c
}

// The errors that end a connection, besides those of the network and errMalformed. None is a fault of the server.
var (
	errVersion = errors.New("unknown key or version")
	errSize    = errors.New("frame size out of bounds")
	errIdle    = errors.New("idle")
	errDrained = errors.New("server shuts down")
	errOver    = errors.New("connection is over")
	errPanic   = errors.New("panic")
)

// serve runs the connection to its end.
func (c *conn) serve() {
	defer c.cancel()
	var writer sync.WaitGroup
	writer.Add(1)
	go func() {
		defer writer.Done()
		defer c.rescue()
		c.write()
	}()
	err := c.read()
	if isOrderly(err) {
		c.finish()
		defer time.AfterFunc(c.s.cfg.FrameTime, c.kill).Stop()
	} else if errors.Is(err, errDrained) {
		c.finish()
	} else {
		c.kill()
	}
	writer.Wait()
	if isOrderly(err) {
		c.linger()
	}
	c.kill()
	c.endSessions()
	c.s.metrics.closed(err)
	if !errors.Is(err, io.EOF) && !errors.Is(err, errOver) {
		c.s.log.Debug("connection closed", "client", c.nc.RemoteAddr(), "why", err)
	}
}

// isOrderly reports whether a connection ends because of a frame that is no request. What came before it is answered first.
func isOrderly(err error) bool {
	return errors.Is(err, errMalformed) || errors.Is(err, errVersion) || errors.Is(err, errSize)
}

// finish ends the admission; the writer ends when all that was admitted is answered, which parked Fetches are at once.
func (c *conn) finish() {
	c.draining.Store(true)
	c.ring.end()
	c.nudge()
}

// What is read of a client after the last answer, and for how long.
const (
	lingerBytes = 1 << 20
	lingerTime  = time.Second
)

// linger ends only our side of the connection, and waits for the client's end. To close a connection with unread bytes resets
// it, and answers that are still on their way would be lost with it.
func (c *conn) linger() {
	w, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || c.answered.Load() == 0 || w.CloseWrite() != nil || c.nc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.nc, lingerBytes)
}

// rescue is the last net under the goroutines of a connection: a panic costs one connection.
func (c *conn) rescue() {
	if v := recover(); v != nil {
		c.s.metrics.panics.Inc()
		c.s.log.Error("panic on a connection", "client", c.nc.RemoteAddr(), "panic", v, "stack", string(debug.Stack()))
		c.kill()
	}
}

// kill ends the connection at once. A server that goes away resets those that it hardly answered: kgo takes a connection that just ends
// before the first answer for one that wants TLS, before the second for one that wants SASL, and gives up instead of asking another agent.
func (c *conn) kill() {
	if tcp, ok := c.nc.(interface{ SetLinger(int) error }); ok && c.answered.Load() < 2 && (c.draining.Load() || c.ctx.Err() != nil) {
		_ = tcp.SetLinger(0)
	}
	c.cancel()
	c.ring.kill()
	_ = c.nc.Close()
}

// drain stops the reading; serve goes on until what is in flight is answered.
func (c *conn) drain() {
	c.draining.Store(true)
	c.shut()
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	c.nudge()
}

// read admits requests until something ends the connection.
func (c *conn) read() (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.s.metrics.panics.Inc()
			c.s.log.Error("panic in a request", "client", c.nc.RemoteAddr(), "panic", v, "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	for {
		if err := c.awaitFrame(); err != nil {
			return err
		}
		if err := c.request(); err != nil {
			if c.draining.Load() {
				return errDrained
			}
			return err
		}
	}
}

// awaitFrame waits for the first byte of a frame.
func (c *conn) awaitFrame() error {
	for {
		if err := c.deadline(c.s.cfg.Idle); err != nil {
			return err
		}
		_, err := c.br.Peek(1)
		switch {
		case err == nil:
			return nil
		case c.draining.Load():
			return errDrained
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case c.ring.idle():
			return errIdle
		}
	}
}

// left reports whether the connection is over, or the client has closed it, as far as that can be told at once. Of the reader, after a wait
// in which it did not read.
func (c *conn) left() bool {
	if c.ctx.Err() != nil {
		return true
	}
	if c.deadline(time.Millisecond) != nil {
		return false // it is drained: what is admitted is answered
	}
	_, err := c.br.Peek(min(c.br.Buffered()+1, c.br.Size()))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// deadline sets the read deadline, unless the connection drains: then the one that drain set stands.
func (c *conn) deadline(d time.Duration) error {
	if err := c.nc.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	if c.draining.Load() {
		return errDrained
	}
	return nil
}

// request reads one frame and admits it. Nothing is allocated before its size, key and version are known to be good.
func (c *conn) request() error {
	if err := c.deadline(c.s.cfg.FrameTime); err != nil {
		return err
	}
	b, err := c.br.Peek(sizeLen)
	if err != nil {
		return err
	}
	if n := parseSize(b); n < minFrame || n > c.s.cfg.MaxRequestBytes {
		return fmt.Errorf("%w: %d bytes", errSize, n)
	}
	if b, err = c.br.Peek(preambleLen); err != nil {
		return err
	}
	h := parsePreamble(b)
	a := c.s.lookup(h.key)
	if a == nil || h.key != keyProduce && h.size > c.s.cfg.MaxOtherBytes {
		return c.refuse(h, a)
	}
	start := time.Now()
	if h.version < a.floor || h.version > a.max {
		if h.key == keyAPIVersions && h.version > a.max {
			return c.newerAPIVersions(h, a, start)
		}
		return c.refuse(h, a)
	}
	c.nudge()
	sl := c.admit(h, a, start)
	if sl == nil {
		return errOver
	}
	buf, err := c.body(h, a)
	if err == nil {
		err = c.dispatch(sl, buf)
	}
	if err != nil {
		c.ring.finish(sl) // without an answer
	}
	return err
}

func (c *conn) admit(h preamble, a *api, start time.Time) *slot {
	sl := c.ring.take()
	if sl != nil {
		sl.hdr, sl.api, sl.start = h, a, start
		a.m.inFlight.Inc()
		a.m.bytesIn.Add(float64(h.size + sizeLen))
	}
	return sl
}

// refuse explains why the connection closes on a frame.
func (c *conn) refuse(h preamble, a *api) error {
	if a != nil && h.version >= a.floor && h.version <= a.max {
		return fmt.Errorf("%w: %d bytes for key %d", errSize, h.size, h.key)
	}
	client := []byte(nil)
	if n := min(int(h.size)+sizeLen, c.br.Buffered()); n > sizeLen {
		if b, err := c.br.Peek(n); err == nil {
			_, client, _ = body(b[sizeLen:], false)
		}
	}
	c.s.note(slog.LevelInfo, "request refused: unknown key or version", "key", h.key, "version", h.version,
		"client", c.nc.RemoteAddr(), "client.id", printable(client))
	return fmt.Errorf("%w: key %d, version %d", errVersion, h.key, h.version)
}

// dispatch admits a request whose frame was read. It owns buf. On an error the slot is still the caller's.
func (c *conn) dispatch(sl *slot, buf *memory.Buf) error {
	cur, client, err := body(buf.Bytes(), sl.hdr.version >= sl.api.flexible)
	if err != nil {
		buf.Release()
		return fmt.Errorf("%w: header of key %d, version %d", err, sl.hdr.key, sl.hdr.version)
	}
	c.heard(client)
	if sl.hdr.key == keyProduce {
		c.produced(sl.hdr.size + sizeLen)
		defer buf.Release()
		return c.admitProduce(sl, cur, buf)
	}
	if buf.Len() > readBuffer {
		sl.body = buf
		defer sl.guard()
	} else {
		defer buf.Release()
	}
	if sl.hdr.key == keyFetch {
		var q fetchRequest
		if err := q.decode(cur, sl.hdr.version); err != nil {
			return fmt.Errorf("%w: key %d, version %d", err, sl.hdr.key, sl.hdr.version)
		}
		c.admitFetch(sl, &q)
		return nil
	}
	req, err := sl.api.decode(cur, sl.hdr.version)
	if err != nil {
		return fmt.Errorf("%w: key %d, version %d", err, sl.hdr.key, sl.hdr.version)
	}
	c.client = client
	sl.api.admit(c, sl, req)
	return nil
}

// write sends answers in the order of their requests, all that are ready at once.
func (c *conn) write() {
	for {
		first, n := c.ring.next()
		if n == 0 {
			return
		}
		ok := c.writeSlots(first, n)
		c.ring.wrote()
		if !ok {
			c.kill()
			return
		}
	}
}

// writeSlots writes the answers of n slots and lets go of them. It reports whether the connection is still good.
func (c *conn) writeSlots(first, n uint64) bool {
	ok, size := true, int64(0)
	c.out = c.out[:0]
	all := c.out
	for i := first; i < first+n && ok; i++ {
		sl := &c.ring.slots[i%inFlight]
		if sl.fatal {
			ok = false
			break
		}
		if sl.reply != nil {
			all = append(all, sl.reply.frags...)
		}
		size += sl.size
		if sl.hdr.key == keyFetch {
			c.fetched(sl.size)
		}
	}
	if len(all) > 0 {
		c.out = all
		err := c.nc.SetWriteDeadline(time.Now().Add(c.writeTime(size)))
		if err == nil {
			c.answered.Add(1)
			_, err = c.out.WriteTo(c.nc) // consumes c.out
		}
		ok = ok && err == nil
		clear(all)
	}
	c.out = all[:0]
	if cap(c.out) > 1024 {
		c.out = nil
	}
	now := time.Now()
	for i := first; i < first+n; i++ {
		sl := &c.ring.slots[i%inFlight]
		sl.api.m.observe(now.Sub(sl.start), sl.size)
		sl.release()
	}
	return ok
}

// writeTime is the longest that size bytes of answers may take; while answers that nobody reads fill the memory there is for
// them, a client has less time to begin.
func (c *conn) writeTime(size int64) time.Duration {
	d := c.frameTime(int(size))
	if c.s.unread.Load() >= c.s.cfg.ResponseBytes {
		d -= c.s.cfg.FrameTime - c.patience()
	}
	return d
}

// hold takes up to want bytes of answers for this connection, as far as its share and the server's go. unhold gives back.
func (c *conn) hold(want int64) int64 {
	room := min(c.s.cfg.ConnBytes-c.held.Load(), c.s.cfg.ResponseBytes-c.s.held.Load())
	got := max(0, min(want, room))
	c.unhold(-got)
	return got
}

func (c *conn) unhold(n int64) {
	if n != 0 {
		c.held.Add(-n)
		c.s.held.Add(-n)
	}
}
