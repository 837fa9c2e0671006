package bench

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// TestFar: what is written arrives whole, in order, not before its time in either direction, and also if it was written last.
func TestFar(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	sent := bytes.Repeat([]byte("zone to zone "), 30_000) // more than a parcel
	last := make(chan string, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			last <- err.Error()
			return
		}
		_, _ = io.CopyN(conn, conn, int64(len(sent)))
		rest, err := io.ReadAll(conn)
		last <- fmt.Sprint(string(rest), err)
		_ = conn.Close()
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far := Far(conn, 1)
	for _, part := range [][]byte{sent[:10], sent[10:]} {
		began := time.Now()
		if _, err := far.Write(part); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(part))
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, part) {
			t.Fatalf("%v, %d bytes came back otherwise", err, len(part))
		}
		if took := time.Since(began); took < 2*zoneDelay {
			t.Errorf("there and back in %v", took)
		}
	}
	if _, err := far.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-last; got != "last<nil>" {
		t.Errorf("the other side: %s", got)
	}
	if _, err := far.Write([]byte("more")); err == nil {
		t.Error("a closed connection takes bytes")
	}
	if _, err := far.Read(make([]byte, 1)); err == nil {
		t.Error("a closed connection has bytes")
	}
}

// TestFarTellsOfTheEnd: the end of the stream, or its failure, is seen behind the last byte.
func TestFarTellsOfTheEnd(t *testing.T) {
	here, there := net.Pipe()
	far := Far(here, 1)
	go func() {
		_, _ = there.Write([]byte("end"))
		_ = there.Close()
	}()
	if got, err := io.ReadAll(far); err != nil || string(got) != "end" {
		t.Errorf("%q, %v", got, err)
	}
	for try := 0; ; try++ {
		if _, err := far.Write([]byte("x")); err != nil {
			break
		}
		if try == 1000 {
			t.Fatal("nobody is told that the other side is gone")
		}
		time.Sleep(time.Millisecond)
	}
	_ = far.Close()
}
