package minio

import (
	"bytes"
	"context"
	"crypto/sha256"
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

	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) objstore.Store { return open(t, serve(t, &fake{objects: mem.New()})) })
}

// TestConformanceSmallPages runs on a store that answers lists a few keys at a time.
func TestConformanceSmallPages(t *testing.T) {
	storetest.Run(t, func(t *testing.T) objstore.Store { return open(t, serve(t, &fake{objects: mem.New(), page: 3})) })
}

// TestPutHeaders holds what a PUT carries: the checksum we computed, no payload hash, no chunked encoding, no handshake.
func TestPutHeaders(t *testing.T) {
	body := []byte("some bytes")
	sum := fmt.Sprintf("%x", sha256.Sum256(body))
	for _, c := range []struct {
		name      string
		tls       bool
		change    func(*Config)
		crc, hash string
	}{
		{"http", false, func(*Config) {}, "", "UNSIGNED-PAYLOAD"},
		{"https", true, func(*Config) {}, "", "UNSIGNED-PAYLOAD"},
		{"http, checksum", false, func(c *Config) { c.Checksum = ChecksumAlways }, crc32cHeader(body), "UNSIGNED-PAYLOAD"},
		{"https, checksum", true, func(c *Config) { c.Checksum = ChecksumAlways }, crc32cHeader(body), "UNSIGNED-PAYLOAD"},
		{"http, signed", false, func(c *Config) { c.SignPayload = true }, "", sum},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{objects: mem.New()}
			srv := serve(t, f)
			if c.tls {
				srv = httptest.NewTLSServer(f)
				t.Cleanup(srv.Close)
			}
			if c.tls {
				trust(t, srv)
			}
			s := open(t, srv, c.change)
			if err := s.Put(t.Context(), "a/key", body); err != nil {
				t.Fatal(err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			h := f.last.Header
			for name, want := range map[string]string{
				"X-Amz-Checksum-Crc32c": c.crc, "X-Amz-Content-Sha256": c.hash, "Expect": "", "X-Amz-Trailer": "",
				"Content-Encoding": "", "X-Amz-Checksum-Crc32": "", "If-None-Match": "", "If-Match": "",
			} {
				if got := h.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if f.last.ContentLength != int64(len(body)) || !strings.Contains(h.Get("Authorization"), "eu-test-1/s3") {
				t.Errorf("length %d, %q", f.last.ContentLength, h.Get("Authorization"))
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

func TestCRC32CHeader(t *testing.T) {
	// "123456789" is the check input of CRC catalogues; its CRC-32C is e3069283.
	if got := crc32cHeader([]byte("123456789")); got != "4waSgw==" {
		t.Errorf("got %s (%08x)", got, crc32.Checksum([]byte("123456789"), castagnoli))
	}
}

func TestChecksumAuto(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"": true, "https://s3.eu-central-1.amazonaws.com": true, "https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com": true,
		"https://s3.cn-north-1.amazonaws.com.cn": true, "http://127.0.0.1:9000": false, "https://amazonaws.com.example.org": false,
	} {
		s, err := New(t.Context(), Config{Bucket: "bucket", Region: "r", Endpoint: endpoint})
		if err != nil {
			t.Fatal(err)
		}
		if s.checksum != want {
			t.Errorf("%q: checksum %v, want %v", endpoint, s.checksum, want)
		}
	}
}

// TestPutCopiesNothing checks that a big body goes out from where it lies.
func TestPutCopiesNothing(t *testing.T) {
	srv := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	for name, change := range map[string]func(*Config){
		"plain": func(*Config) {}, "checksum": func(c *Config) { c.Checksum = ChecksumAlways },
	} {
		s := open(t, srv, change)
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

// TestPutLetsGo checks that the body is not read once Put has returned, though the server never took it: the race detector
// sees a reader, and the bytes that still arrive must not be those of a later use of the slice.
func TestPutLetsGo(t *testing.T) {
	release := make(chan struct{})
	var stray atomic.Int64
	srv := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-release
		b, _ := io.ReadAll(r.Body)
		stray.Add(int64(bytes.Count(b, []byte{0xff})))
	}))
	s := open(t, srv, func(c *Config) { c.PutTimeout = 50 * time.Millisecond })
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

// TestEarlyAnswer checks that Put returns when the store has answered, though it does not take the body.
func TestEarlyAnswer(t *testing.T) {
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
	s := open(t, &httptest.Server{URL: "http://" + listener.Addr().String()})
	if err := s.Put(t.Context(), "k", make([]byte, 16<<20)); !errors.Is(err, objstore.ErrThrottled) {
		t.Errorf("put: %v, want ErrThrottled", err)
	}
}

// TestCallerEnds checks that the caller's own end shows in the error, and at once.
func TestCallerEnds(t *testing.T) {
	release := make(chan struct{})
	srv := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer close(release)
	s := open(t, srv)
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

// TestConnections checks that a burst leaves its connections for the next one, and that answers with an error cost none.
func TestConnections(t *testing.T) {
	var dialled atomic.Int64
	f := &fake{objects: mem.New()}
	srv := httptest.NewUnstartedServer(f)
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	s := open(t, srv)
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

func TestNewRefuses(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} {
		t.Setenv(name, "")
	}
	for _, c := range []struct {
		word string
		cfg  Config
	}{
		{"no bucket", Config{Region: "r"}},
		{"bucket \"B!\"", Config{Bucket: "B!", Region: "r"}},
		{"region", Config{Bucket: "bucket"}},
		{"endpoint", Config{Bucket: "bucket", Endpoint: "127.0.0.1:9000"}},
		{"endpoint", Config{Bucket: "bucket", Endpoint: "http://127.0.0.1:9000/path"}},
	} {
		if _, err := New(t.Context(), c.cfg); !errors.Is(err, objstore.ErrRefused) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%v, want an error about %s", err, c.word)
		}
	}
	t.Setenv("AWS_CA_BUNDLE", "/dev/null")
	if _, err := New(t.Context(), Config{Bucket: "bucket", Region: "r"}); !errors.Is(err, objstore.ErrRefused) || !strings.Contains(err.Error(), "AWS_CA_BUNDLE") {
		t.Errorf("%v, want an error about AWS_CA_BUNDLE", err)
	}
}

// TestEnvironment checks that region, endpoint and credentials come from where AWS users keep them.
func TestEnvironment(t *testing.T) {
	f := &fake{objects: mem.New()}
	srv := serve(t, f)
	for name, value := range map[string]string{
		"AWS_REGION": "eu-env-1", "AWS_ENDPOINT_URL_S3": srv.URL, "AWS_ACCESS_KEY_ID": "id-of-env", "AWS_SECRET_ACCESS_KEY": "secret",
	} {
		t.Setenv(name, value)
	}
	s, err := New(t.Context(), Config{Bucket: "bucket", PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Put(t.Context(), "k", nil); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := f.last.Header.Get("Authorization"); !strings.Contains(got, "id-of-env") || !strings.Contains(got, "eu-env-1/s3") {
		t.Errorf("signed %q", got)
	}
}

// TestOneAttempt checks that each call is one request, whatever the answer: the library by itself makes ten.
func TestOneAttempt(t *testing.T) {
	var requests atomic.Int64
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		fail(w, 503, "SlowDown", "later")
	}))
	s := open(t, srv)
	for _, op := range []string{"put", "get", "list", "delete", "deletes", "check"} {
		requests.Store(0)
		if err := do(t.Context(), s, op); err == nil || requests.Load() != 1 {
			t.Errorf("%s: %d requests, %v", op, requests.Load(), err)
		}
	}
}

// TestListCutShort checks that a listing whose time ends between two pages is no short list.
func TestListCutShort(t *testing.T) {
	f := &fake{objects: mem.New(), page: 1}
	for _, key := range []string{"a", "b", "c"} {
		if err := f.objects.Put(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	pages := 0
	s := open(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pages++; pages == 2 {
			cancel()
			<-r.Context().Done()
		}
		f.ServeHTTP(w, r)
	})))
	if page, err := s.List(ctx, "", "", 0); !errors.Is(err, context.Canceled) || page != nil {
		t.Errorf("%v, %v", page, err)
	}
}

// TestNoSleepAfterRefusal checks that a refusal ends the call's context: it would sit out the library's back-off otherwise.
func TestNoSleepAfterRefusal(t *testing.T) {
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fail(w, 503, "SlowDown", "later") }))
	s := open(t, srv)
	c := s.begin(t.Context(), time.Minute)
	defer c.end()
	_, _ = s.client.BucketExists(c.ctx, "bucket")
	if cause := context.Cause(c.ctx); cause != errHeard {
		t.Errorf("the context ended with %v, want errHeard", cause)
	}
}

func TestBodyReaderLetsGo(t *testing.T) {
	r := newBodyReader([]byte("some bytes"))
	if n, err := r.Read(make([]byte, 4)); n != 4 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	r.release()
	if n, err := r.Read(make([]byte, 4)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("read %d, %v after release, want an error", n, err)
	}
}
