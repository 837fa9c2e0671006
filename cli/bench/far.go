package bench

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// What two zones of a region are apart, one way: a round trip of 0.8 to 1.2 ms.
const (
	zoneDelay  = 400 * time.Microsecond
	zoneJitter = 200 * time.Microsecond
)

// Bounds of what is under way in each direction between zones: farParcels of farBytes each.
const (
	farParcels = 256
	farBytes   = 64 << 10
)

// farFlush bounds how long Close waits for what was written and has not left.
const farFlush = time.Second

// farConn is a connection between two zones: all bytes arrive later, in their order, and no fewer a second.
type farConn struct {
	net.Conn
	out, in chan parcel
	gone    chan struct{} // closed by Close
	once    sync.Once
	both    sync.WaitGroup // send and receive
	failed  atomic.Pointer[error]

	writing sync.Mutex // guards rng, and keeps the parcels of one Write together
	rng     *rand.Rand
	reading sync.Mutex // guards rest
	rest    parcel     // what the last Read has left
}

// parcel is bytes, or what came instead of them, and when they arrive.
type parcel struct {
	due   time.Time
	bytes []byte
	err   error
}

// Far returns conn as it is between two zones, and owns it. Deadlines count where conn is, so that they are late by the delay; what
// can't be written is told by a later Write.
func Far(conn net.Conn, seed uint64) net.Conn {
	c := &farConn{
		Conn: conn, out: make(chan parcel, farParcels), in: make(chan parcel, farParcels), gone: make(chan struct{}),
		rng: rand.New(rand.NewPCG(seed, 3)),
	}
	back := rand.New(rand.NewPCG(seed, 4))
	c.both.Go(c.send)
	c.both.Go(func() { c.receive(back) })
	return c
}

// arrival is when what leaves now arrives.
func arrival(rng *rand.Rand) time.Time {
	return time.Now().Add(zoneDelay + time.Duration(rng.Int64N(int64(zoneJitter))))
}

// Write implements net.Conn.
func (c *farConn) Write(b []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if failed := c.failed.Load(); failed != nil {
		return 0, *failed
	}
	select {
	case <-c.gone:
		return 0, net.ErrClosed
	default:
	}
	due := arrival(c.rng)
	for n < len(b) {
		part := b[n:min(n+farBytes, len(b))]
		select {
		case c.out <- parcel{due: due, bytes: append([]byte(nil), part...)}:
		case <-c.gone:
			return n, net.ErrClosed
		}
		n += len(part)
	}
	return n, nil
}

// send writes what is due until Close, and then what is left.
func (c *farConn) send() {
	for {
		select {
		case p := <-c.out:
			c.deliver(p)
			continue
		case <-c.gone:
		}
		for len(c.out) > 0 {
			c.deliver(<-c.out)
		}
		_ = c.Conn.Close() // it is what receive waits for
		return
	}
}

// deliver writes a parcel when it is due. After an error what follows is dropped.
func (c *farConn) deliver(p parcel) {
	if c.failed.Load() != nil {
		return
	}
	nap(time.Until(p.due))
	if _, err := c.Conn.Write(p.bytes); err != nil {
		c.failed.Store(&err)
	}
}

// receive reads until there is nothing more.
func (c *farConn) receive(rng *rand.Rand) {
	buf := make([]byte, farBytes)
	for {
		n, err := c.Conn.Read(buf)
		p := parcel{due: arrival(rng), bytes: append([]byte(nil), buf[:n]...), err: err}
		select {
		case c.in <- p:
		case <-c.gone:
			return
		}
		if err != nil {
			return
		}
	}
}

// Read implements net.Conn. An error stays.
func (c *farConn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.rest.bytes) == 0 && c.rest.err == nil {
		select {
		case c.rest = <-c.in:
			nap(time.Until(c.rest.due))
		case <-c.gone:
			return 0, net.ErrClosed
		}
	}
	if len(c.rest.bytes) == 0 {
		return 0, c.rest.err
	}
	n := copy(b, c.rest.bytes)
	c.rest.bytes = c.rest.bytes[n:]
	return n, nil
}

// Close implements net.Conn. What was written leaves first.
func (c *farConn) Close() error {
	c.once.Do(func() {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(farFlush)) // if it fails, so will the write
		close(c.gone)
	})
	c.both.Wait()
	return nil
}
