package kafka

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/varvelog/varve/agent/memory"
)

// intake reads the body of one frame. Its bytes are taken from a budget first: of Produce from that of the agent, of all
// others from the server's reserve, so that a full agent answers everything but Produce.
//
// What a client announces costs it nothing to say, so it is believed only while at least half of the budget is free. Else a
// frame takes room for an eighth of itself (of an eighth, ...) and more once that is full: who sends little holds little.
type intake struct {
	c      *conn
	budget *memory.Budget
	size   int         // of the body
	got    int         // bytes read
	buf    *memory.Buf // nil at first
	began  time.Time   // less the time that was spent waiting for the budget
	waited time.Duration
	summed bool      // CRCs are computed on the way
	closed time.Time // since when the client is known to send no more; zero: not known
}

const (
	fillStep   = 256 << 10 // how much of a frame is read under one deadline
	firstStage = 8 << 10   // a stage of a frame has more bytes than this
	stageRatio = 8         // between two stages
)

// errSlow: the client sends a frame so slowly that others should not wait for the room it takes.
var errSlow = errors.New("frame comes too slowly while others wait")

// body reads the frame after its size into a buffer of its own. Who announces a large frame takes none before the first of
// it is here.
func (c *conn) body(h preamble, a *api) (*memory.Buf, error) {
	if _, err := c.br.Peek(min(sizeLen+int(h.size), readBuffer)); err != nil {
		return nil, err
	}
	if _, err := c.br.Discard(sizeLen); err != nil {
		return nil, err
	}
	in := &c.in
	*in = intake{c: c, budget: c.s.reserve, size: int(h.size), began: time.Now()}
	defer func() { *in = intake{} }()
	if h.key == keyProduce {
		in.budget = c.s.deps.Budget
		c.sums.forget()
		if in.summed = in.size >= sumFrame; in.summed {
			c.sums.begin(h.version, h.version >= a.flexible)
		}
	}
	var err error
	if h.key != keyProduce && sizeLen+h.size <= readBuffer {
		in.budget.Take(int64(memory.Capacity(in.size))) // it is here already, and gone in a moment: it waits for nobody
		in.move(in.size)
	} else {
		err = in.grow()
	}
	for err == nil && in.got < in.size {
		if in.got == in.buf.Len() {
			err = in.grow()
		} else {
			err = in.fill()
		}
	}
	if err == nil && h.key != keyProduce && in.size > readBuffer {
		err = in.decoded()
	}
	a.m.held(in.waited)
	if err != nil {
		if in.buf != nil {
			in.buf.Release()
		}
		return nil, err
	}
	return in.buf, nil
}

// stage returns how large the buffer becomes that follows one of have bytes, when n are wanted in the end.
func stage(n, have int) int {
	for n/stageRatio > max(have, firstStage) {
		n = (n + stageRatio - 1) / stageRatio
	}
	return n
}

// grow takes room for the next stage, waiting for it if it must.
func (in *intake) grow() error {
	have := 0
	held := int64(0)
	if in.buf != nil {
		have = in.buf.Len()
		held = int64(memory.Capacity(have))
	}
	if in.budget.Spare(int64(memory.Capacity(in.size))) {
		in.move(in.size)
		return nil
	}
	next := stage(in.size, have)
	if err := in.wait(held, int64(memory.Capacity(next))); err != nil {
		return err
	}
	in.move(next)
	return nil
}

// wait takes n bytes besides the held ones.
func (in *intake) wait(held, n int64) error {
	before := time.Now()
	err := in.budget.Grow(in.c.intake, held, n, in.present)
	d := time.Since(before)
	in.waited += d
	in.began = in.began.Add(d)
	switch {
	case errors.Is(err, memory.ErrGone):
		return fmt.Errorf("client left while its request waited: %w", io.EOF)
	case err != nil:
		return errOver
	}
	return nil
}

// decodeFactor is how many bytes a byte of a request may become when it is decoded and answered; few do more.
const decodeFactor = 8

// decoded charges a request for what it will be decoded to, until it is answered.
func (in *intake) decoded() error {
	held := int64(memory.Capacity(in.size))
	more := (decodeFactor - 1) * int64(in.size)
	if err := in.wait(held, more); err != nil {
		return err
	}
	in.buf.Charge(in.budget, held+more)
	return nil
}

// move makes the buffer one of n bytes, whose charge was taken already.
func (in *intake) move(n int) {
	buf := in.c.s.deps.Pool.Get(n)
	buf.Charge(in.budget, int64(memory.Capacity(n)))
	if in.buf != nil {
		copy(buf.Bytes(), in.buf.Bytes()[:in.got])
		in.buf.Release()
	}
	in.buf = buf
}

// present reports whether a client may still want what waits for the budget: its reader looks at nothing else meanwhile.
// One that has said that it sends no more may have left or not; it is not waited for much longer.
func (in *intake) present() bool {
	switch peer(in.c.nc) {
	case peerGone:
		return false
	case peerDone:
		if in.closed.IsZero() {
			in.closed = time.Now()
		}
		return time.Since(in.closed) < in.c.patience()
	}
	return true
}

// fill reads a step of what the buffer has room for. It must come at bytesPerSec or faster, after Config.FrameTime; a client
// that stops in the middle is noticed after one step, not after the time that the whole frame may take. When others wait for
// the budget, patience takes the place of FrameTime.
func (in *intake) fill() error {
	c := in.c
	step := in.buf.Bytes()[in.got:min(in.got+fillStep, in.buf.Len())]
	end := time.Now().Add(c.frameTime(len(step)))
	if whole := in.began.Add(c.frameTime(in.size)); whole.Before(end) {
		end = whole
	}
	for len(step) > 0 {
		if err := c.deadline(min(time.Until(end), c.patience())); err != nil {
			return err
		}
		n, err := io.ReadFull(c.br, step)
		in.got += n
		step = step[n:]
		if in.summed {
			c.sums.advance(in.buf.Bytes()[:in.got])
		}
		if in.got < in.size && in.late() && in.budget.Contended() {
			return errSlow
		}
		if err != nil && (!errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(end)) {
			return err
		}
	}
	return nil
}

// late reports whether a frame is behind what it must be at when others wait.
func (in *intake) late() bool {
	return time.Since(in.began) > in.c.patience()+time.Duration(in.got/bytesPerSec)*time.Second
}

// frameTime is the longest that n bytes may take.
func (c *conn) frameTime(n int) time.Duration {
	return c.s.cfg.FrameTime + time.Duration(n/bytesPerSec)*time.Second
}

// patience is FrameTime for clients that hold what others wait for.
func (c *conn) patience() time.Duration { return c.s.cfg.FrameTime / 6 }
