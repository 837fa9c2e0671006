package minio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/mem"
	"github.com/varvelog/varve/objstore/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestChecksumAuto: checksums go where they are known to be understood; s3answer.OnAWS says where.
func TestChecksumAuto(t *testing.T) {
	for endpoint, want := range map[string]bool{"": true, "http://127.0.0.1:9000": false} {
		s, err := New(t.Context(), Config{Bucket: "bucket", Region: "r", Endpoint: endpoint})
		if err != nil {
			t.Fatal(err)
		}
		if s.checksum != want {
			t.Errorf("%q: checksum %v, want %v", endpoint, s.checksum, want)
		}
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
	f := s3test.NewFake()
	srv := s3test.Serve(t, f)
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
	if got := f.Last().Header.Get("Authorization"); !strings.Contains(got, "id-of-env") || !strings.Contains(got, "eu-env-1/s3") {
		t.Errorf("signed %q", got)
	}
}

// TestOneAttempt checks that each call is one request, whatever the answer: the library by itself makes ten.
func TestOneAttempt(t *testing.T) {
	var requests atomic.Int64
	srv := s3test.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		s3test.Fail(w, 503, "SlowDown", "later")
	}))
	s := open(t, srv)
	for _, op := range []string{"put", "get", "list", "delete", "deletes", "check"} {
		requests.Store(0)
		if err := s3test.Do(t.Context(), s, op); err == nil || requests.Load() != 1 {
			t.Errorf("%s: %d requests, %v", op, requests.Load(), err)
		}
	}
}

// TestListCutShort checks that a listing whose time ends between two pages is no short list.
func TestListCutShort(t *testing.T) {
	f := &s3test.Fake{Objects: mem.New(), Page: 1}
	for _, key := range []string{"a", "b", "c"} {
		if err := f.Objects.Put(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	pages := 0
	s := open(t, s3test.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	srv := s3test.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s3test.Fail(w, 503, "SlowDown", "later") }))
	s := open(t, srv)
	c := s.begin(t.Context(), time.Minute)
	defer c.End()
	_, _ = s.client.BucketExists(c.Ctx, "bucket")
	if cause := context.Cause(c.Ctx); cause != errHeard {
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
