package simtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// wired runs f in a bubble with a connection from b to a.
func wired(t *testing.T, f func(t *testing.T, n *network, a, b net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(time.Millisecond)
		ln, err := n.host("a").Listen(t.Context(), "a:1")
		if err != nil {
			t.Fatal(err)
		}
		b, err := n.host("b").Dial(t.Context(), "a:1")
		if err != nil {
			t.Fatal(err)
		}
		a, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		f(t, n, a, b)
		_, _, _ = a.Close(), b.Close(), ln.Close()
	})
}

// hears reads len(want) bytes and returns how long they took.
func hears(t *testing.T, c net.Conn, want string) time.Duration {
	t.Helper()
	begun := time.Now()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
	return time.Since(begun)
}

func says(t *testing.T, c net.Conn, what string) {
	t.Helper()
	if _, err := io.WriteString(c, what); err != nil {
		t.Fatal(err)
	}
}

func TestNetworkLatency(t *testing.T) {
	wired(t, func(t *testing.T, n *network, a, b net.Conn) {
		says(t, b, "one ")
		says(t, b, "two")
		if took := hears(t, a, "one two"); took < time.Millisecond || took > 2*time.Millisecond {
			t.Errorf("arrived after %v", took)
		}
		n.delay("b", "a", time.Second)
		says(t, b, "three")
		if took := hears(t, a, "three"); took < time.Second {
			t.Errorf("arrived after %v", took)
		}
		says(t, a, "back")
		if took := hears(t, b, "back"); took > 2*time.Millisecond {
			t.Errorf("arrived after %v", took)
		}
	})
}

// A cut one way holds bytes and ends of connections until it is mended, and lets the other way pass.
func TestNetworkCut(t *testing.T) {
	wired(t, func(t *testing.T, n *network, a, b net.Conn) {
		n.cut("b", "a")
		says(t, b, "held")
		says(t, a, "passes")
		hears(t, b, "passes")
		time.AfterFunc(time.Minute, func() { n.mend("b", "a") })
		if took := hears(t, a, "held"); took < 59*time.Second {
			t.Errorf("arrived after %v", took)
		}
		n.cut("b", "a")
		_ = b.Close()
		_ = a.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %v", err)
		}
		_ = a.SetReadDeadline(time.Time{})
		n.mend("b", "a")
		if _, err := a.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read %v", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("wrote: %v", err)
		}
	})
}

func TestNetworkFreeze(t *testing.T) {
	wired(t, func(t *testing.T, n *network, a, b net.Conn) {
		n.freeze("a")
		says(t, b, "ping")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := n.host("b").Dial(ctx, "a:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialled: %v", err)
		}
		time.AfterFunc(time.Minute, func() { n.thaw("a") })
		if took := hears(t, a, "ping"); took < time.Minute {
			t.Errorf("arrived after %v", took)
		}
	})
}

// Refused, reset and killed are told apart from silence.
func TestNetworkErrors(t *testing.T) {
	wired(t, func(t *testing.T, n *network, a, b net.Conn) {
		if _, err := n.host("b").Dial(t.Context(), "a:2"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialled: %v", err)
		}
		if _, err := n.host("a").Listen(t.Context(), "a:1"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listened twice: %v", err)
		}
		n.reset("b", "a")
		for _, c := range []net.Conn{a, b} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
		}
		again, err := n.host("b").Dial(t.Context(), "a:1")
		if err != nil {
			t.Fatal(err)
		}
		n.kill("a")
		if _, err := again.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
		if _, err := n.host("b").Dial(t.Context(), "a:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialled the dead: %v", err)
		}
		_ = again.Close()
		if _, err := again.Write(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("wrote: %v", err)
		}
	})
}

// A writer waits once the window is full, until somebody reads, or its deadline.
func TestNetworkWindow(t *testing.T) {
	wired(t, func(t *testing.T, _ *network, a, b net.Conn) {
		big := strings.Repeat("x", 3*window+5)
		_ = b.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := io.WriteString(b, big)
		if !errors.Is(err, os.ErrDeadlineExceeded) || n != window {
			t.Fatalf("wrote %d, %v", n, err)
		}
		_ = b.SetWriteDeadline(time.Time{})
		done := make(chan error)
		go func() {
			_, err := io.WriteString(b, big[n:])
			done <- err
		}()
		hears(t, a, big)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
