package bench

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// echoed is a server that sends back what it gets. all returns what it got over each connection, once all have ended.
func echoed(t *testing.T) (address string, all func() []string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	var got []string
	running.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				var heard []byte
				buf := make([]byte, 100)
				for {
					n, err := conn.Read(buf)
					heard = append(heard, buf[:n]...)
					if err != nil {
						break
					}
					_, _ = conn.Write(buf[:n])
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, string(heard))
			})
		}
	})
	t.Cleanup(running.Wait)
	t.Cleanup(func() { _ = ln.Close() })
	return ln.Addr().String(), func() []string {
		_ = ln.Close()
		running.Wait()
		return got
	}
}

// end is a client's end of a connection.
type end struct {
	t *testing.T
	net.Conn
}

func dialEnd(t *testing.T, address string) end {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return end{t, conn}
}

func (e end) say(text string) {
	e.t.Helper()
	if _, err := e.Write([]byte(text)); err != nil {
		e.t.Error(err)
	}
}

// hears wants text from the other side.
func (e end) hears(text string) {
	e.t.Helper()
	got := make([]byte, len(text))
	_ = e.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(e, got); err != nil || string(got) != text {
		e.t.Fatalf("%q, %v; want %q", got, err, text)
	}
}

// silent wants neither bytes nor an end for a while.
func (e end) silent() {
	e.t.Helper()
	_ = e.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := e.Read(make([]byte, 9)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		e.t.Fatalf("%d bytes, %v", n, err)
	}
}

// ended wants no bytes and an end.
func (e end) ended() {
	e.t.Helper()
	_ = e.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := e.Read(make([]byte, 9)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		e.t.Fatalf("%d bytes, %v", n, err)
	}
}

func lead(t *testing.T, c *Cable, target string, caller func([]byte) *Cable) string {
	t.Helper()
	address, err := c.Lead(target, caller)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// TestCableIsCut: nothing passes while it is cut, no end of a connection either; when it is mended all that was there ends, what was held
// is lost, and who dials anew gets through.
func TestCableIsCut(t *testing.T) {
	server, all := echoed(t)
	c := NewCable()
	defer c.Close()
	at := lead(t, c, server, nil)
	c.Mend() // which was not cut: nothing ends
	old, leaving := dialEnd(t, at), dialEnd(t, at)
	old.say("old")
	old.hears("old")
	leaving.say("by")
	leaving.hears("by")
	c.Mend()
	c.Cut()
	old.say("held")
	leaving.say("e")
	late := dialEnd(t, at)
	late.say("late")
	for _, e := range []end{old, leaving, late} {
		e.silent()
	}
	c.Mend()
	for _, e := range []end{old, leaving, late} {
		e.ended()
	}
	fresh := dialEnd(t, at)
	fresh.say("new")
	fresh.hears("new")
	_ = fresh.Close()
	got := all()
	if len(got) != 3 || len(got[0])+len(got[1])+len(got[2]) != len("oldbynew") {
		t.Errorf("the server got %q", got)
	}
}

// TestCableHoldsAnEnd: a server that closes while the cable is cut is not seen to.
func TestCableHoldsAnEnd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := NewCable()
	defer c.Close()
	near := dialEnd(t, lead(t, c, ln.Addr().String(), nil))
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Cut()
	_, _ = far.Write([]byte("last words"))
	_ = far.Close()
	near.silent()
	c.Mend()
	near.ended()
}

// TestCableOfTheCaller: what comes in from somebody who is cut off is held too, and nothing else.
func TestCableOfTheCaller(t *testing.T) {
	server, _ := echoed(t)
	mine, theirs := NewCable(), NewCable()
	defer mine.Close()
	defer theirs.Close()
	at := lead(t, mine, server, func(first []byte) *Cable {
		if string(first) == "them" {
			return theirs
		}
		return nil
	})
	them, others := dialEnd(t, at), dialEnd(t, at)
	for text, e := range map[string]end{"them": them, "others": others} {
		e.say(text)
		e.hears(text)
	}
	theirs.Cut()
	them.say("held")
	others.say("on")
	others.hears("on")
	them.silent()
	theirs.Mend()
	them.ended()
	others.say("on")
	others.hears("on")
}

// TestCableOfNobody: where nobody listens a connection ends; a cable that is cut can be closed.
func TestCableOfNobody(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	c := NewCable()
	at := lead(t, c, ln.Addr().String(), nil)
	dialEnd(t, at).ended()
	c.Cut()
	held := dialEnd(t, at)
	held.silent()
	c.Close()
	held.ended()
}
