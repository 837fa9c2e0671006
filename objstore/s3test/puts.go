package s3test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/varvelog/varve/objstore"
)

// putHeaders holds what a PUT carries: the checksum we computed, no payload hash, no chunked encoding, no handshake.
func putHeaders(t *testing.T, o opener) {
	body := []byte("some bytes")
	sum := fmt.Sprintf("%x", sha256.Sum256(body))
	crc := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))))
	for _, c := range []struct {
		name      string
		tls       bool
		change    func(*Config)
		crc, hash string
	}{
		{"http", false, func(*Config) {}, "", "UNSIGNED-PAYLOAD"},
		{"https", true, func(*Config) {}, "", "UNSIGNED-PAYLOAD"},
		{"http, checksum", false, func(c *Config) { c.Checksum = true }, crc, "UNSIGNED-PAYLOAD"},
		{"https, checksum", true, func(c *Config) { c.Checksum = true }, crc, "UNSIGNED-PAYLOAD"},
		{"http, signed", false, func(c *Config) { c.SignPayload = true }, "", sum},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := NewFake()
			srv := Serve(t, f)
			if c.tls {
				srv = httptest.NewTLSServer(f)
				t.Cleanup(srv.Close)
			}
			if c.tls {
				trust(t, srv)
			}
			s := o.with(t, srv.URL, c.change)
			if err := s.Put(t.Context(), "a/key", body); err != nil {
				t.Fatal(err)
			}
			h := f.Last().Header
			for name, want := range map[string]string{
				"X-Amz-Checksum-Crc32c": c.crc, "X-Amz-Content-Sha256": c.hash, "Expect": "", "X-Amz-Trailer": "",
				"Content-Encoding": "", "X-Amz-Checksum-Crc32": "", "If-None-Match": "", "If-Match": "",
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if f.Last().ContentLength != int64(len(body)) || !strings.Contains(h.Get("Authorization"), "eu-test-1/s3") {
				t.Errorf("length %d, %q", f.Last().ContentLength, h.Get("Authorization"))
			}
		})
	}
}

// trust makes drivers opened from now on accept the certificate of a test server.
func trust(t *testing.T, srv *httptest.Server) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CA_BUNDLE", file)
}

// putCopiesNothing checks that a big body goes out from where it lies.
func putCopiesNothing(t *testing.T, o opener) {
	srv := Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	for name, change := range map[string]func(*Config){
		"plain": func(*Config) {}, "checksum": func(c *Config) { c.Checksum = true },
	} {
		s := o.with(t, srv.URL, change)
		body := make([]byte, 8<<20)
		put := func() {
			if err := s.Put(t.Context(), "k", body); err != nil {
				t.Fatal(err)
			}
		}
		put() // dials
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 10 {
			put()
		}
		runtime.ReadMemStats(&after)
		if got := (after.TotalAlloc - before.TotalAlloc) / 10; got > 512<<10 {
			t.Errorf("%s: a put of 8 MiB allocates %d KiB", name, got>>10)
		}
	}
}

// putLetsGo checks that the body is not read once Put has returned, though the server never took it: the race detector
// sees a reader, and the bytes that still arrive must not be those of a later use of the slice.
func putLetsGo(t *testing.T, o opener) {
	release := make(chan struct{})
	var stray atomic.Int64
	srv := Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-release
		b, _ := io.ReadAll(r.Body)
		stray.Add(int64(bytes.Count(b, []byte{0xff})))
	}))
	s := o.with(t, srv.URL, func(c *Config) { c.PutTimeout = 50 * time.Millisecond })
	body := make([]byte, 900<<10) // no second for a MiB, and more than the sockets buffer
	err := s.Put(t.Context(), "k", body)
	for i := range body {
		body[i] = 0xff
	}
	close(release)
	if !errors.Is(err, objstore.ErrUnknown) || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("put: %v, want ErrUnknown with the time-out", err)
	}
	srv.Close()
	if n := stray.Load(); n > 0 {
		t.Errorf("%d bytes were sent after Put returned", n)
	}
}

// earlyAnswer checks that Put returns when the store has answered, though it does not take the body.
func earlyAnswer(t *testing.T, o opener) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Read(make([]byte, 1024))
		_, _ = io.WriteString(conn, "HTTP/1.1 503 Slow Down\r\nContent-Length: 42\r\n\r\n<Error><Code>SlowDown</Code></Error>       ")
		<-done
	})
	defer wg.Wait()
	defer listener.Close()
	defer close(done)
	s := o.at(t, "http://"+listener.Addr().String())
	if err := s.Put(t.Context(), "k", make([]byte, 16<<20)); !errors.Is(err, objstore.ErrThrottled) {
		t.Errorf("put: %v, want ErrThrottled", err)
	}
}

// callerEnds checks that the caller's own end shows in the error, and at once.
func callerEnds(t *testing.T, o opener) {
	release := make(chan struct{})
	srv := Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer close(release)
	s := o.at(t, srv.URL)
	cause := errors.New("why")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, cause)
	defer cancel()
	_, get := s.Get(ctx, "k", objstore.Range{})
	for _, err := range []error{get, s.Put(ctx, "k", nil)} {
		for _, want := range []error{objstore.ErrUnknown, context.DeadlineExceeded, cause} {
			if !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		}
	}
}

// connections checks that a burst leaves its connections for the next one, and that answers with an error cost none.
func connections(t *testing.T, o opener) {
	var dialled atomic.Int64
	f := NewFake()
	srv := httptest.NewUnstartedServer(f)
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	s := o.at(t, srv.URL)
	burst := func() int64 {
		before := dialled.Load()
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				key := fmt.Sprint(i)
				if err := s.Put(t.Context(), key, make([]byte, 1000)); err != nil {
					t.Error(err)
				}
				if _, err := s.Get(t.Context(), key, objstore.Suffix(10)); err != nil {
					t.Error(err)
				}
				if _, err := s.Get(t.Context(), "absent", objstore.Range{}); !errors.Is(err, objstore.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return dialled.Load() - before
	}
	burst()
	// A few more are dialled when a request comes just before a connection is back. With ten kept it would be 200 and more.
	if n := burst() + burst() + burst(); n > 100 {
		t.Errorf("%d connections dialled by three bursts of 64 after the first", n)
	}
}
