package minio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/varvelog/varve/objstore"
)

// do runs one operation of a store and returns its error.
func do(ctx context.Context, s *Store, op string) error {
	var err error
	switch op {
	case "put":
		err = s.Put(ctx, "k", []byte("body"))
	case "get":
		_, err = s.Get(ctx, "k", objstore.Range{})
	case "range":
		_, err = s.Get(ctx, "k", objstore.Exact(0, 10))
	case "list":
		_, err = s.List(ctx, "", "", 0)
	case "delete":
		err = s.Delete(ctx, "k")
	case "deletes":
		err = s.Delete(ctx, "k", "l", "m")
	case "check":
		err = s.Check(ctx)
	}
	return err
}

var sentinels = []error{objstore.ErrNotFound, objstore.ErrRange, objstore.ErrThrottled, objstore.ErrRefused, objstore.ErrCorrupt, objstore.ErrUnknown}

// wantOnly checks that err matches want and no other sentinel, and has all words in its text, which is one line.
func wantOnly(t *testing.T, what string, err, want error, words ...string) {
	t.Helper()
	for _, s := range sentinels {
		if errors.Is(err, s) != (s == want) {
			t.Errorf("%s: %v, want %v alone", what, err, want)
			return
		}
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not say %q", what, err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %q has several lines", what, err)
	}
}

// TestAnswers holds what each answer of a store means.
func TestAnswers(t *testing.T) {
	all := []string{"put", "get", "list", "delete", "deletes"}
	for _, c := range []struct {
		status int
		code   string
		ops    []string
		want   error
		words  []string
	}{
		{404, "NoSuchKey", []string{"get", "range"}, objstore.ErrNotFound, nil},
		{404, "NoSuchKey", []string{"put", "list"}, objstore.ErrRefused, nil},
		{404, "NoSuchBucket", all, objstore.ErrRefused, []string{`"bucket"`, "127.0.0.1", "aws s3 mb s3://bucket --region eu-test-1 --endpoint-url http://127.0.0.1"}},
		{404, "", []string{"get", "put"}, objstore.ErrRefused, nil}, // a web server that is no store
		{403, "AccessDenied", all, objstore.ErrRefused, []string{`"bucket"`, "127.0.0.1", "AWS_ACCESS_KEY_ID", "AccessDenied"}},
		{403, "InvalidAccessKeyId", all, objstore.ErrRefused, []string{"InvalidAccessKeyId"}},
		{403, "SignatureDoesNotMatch", []string{"put"}, objstore.ErrRefused, nil},
		{403, "RequestTimeTooSkewed", []string{"put"}, objstore.ErrRefused, []string{"clock"}},
		{400, "ExpiredToken", []string{"put"}, objstore.ErrRefused, []string{"credentials"}},
		{301, "PermanentRedirect", all, objstore.ErrRefused, []string{`"bucket"`, "region=", "there-1"}},
		{400, "AuthorizationHeaderMalformed", []string{"put"}, objstore.ErrRefused, []string{"region="}},
		{416, "InvalidRange", []string{"get", "range"}, objstore.ErrRange, nil},
		{503, "SlowDown", all, objstore.ErrThrottled, nil},
		{503, "SlowDownWrite", all, objstore.ErrThrottled, nil},
		{503, "ServiceUnavailable", all, objstore.ErrThrottled, nil},
		{429, "", all, objstore.ErrThrottled, nil},
		{429, "TooManyRequests", all, objstore.ErrThrottled, nil},
		{503, "", all, objstore.ErrUnknown, nil}, // a proxy that lost the answer
		{500, "InternalError", all, objstore.ErrUnknown, nil},
		{502, "", all, objstore.ErrUnknown, nil},
		{504, "", all, objstore.ErrUnknown, nil},
		{400, "BadDigest", []string{"put"}, objstore.ErrCorrupt, nil},
		{400, "XAmzContentChecksumMismatch", []string{"put"}, objstore.ErrCorrupt, nil},
		{400, "XAmzContentSHA256Mismatch", []string{"put"}, objstore.ErrCorrupt, nil},
		{400, "RequestTimeout", []string{"put"}, objstore.ErrUnknown, nil},
		{400, "IncompleteBody", []string{"put"}, objstore.ErrUnknown, nil},
		{400, "EntityTooLarge", []string{"put"}, objstore.ErrRefused, []string{"EntityTooLarge"}},
		{405, "MethodNotAllowed", all, objstore.ErrRefused, nil},
		{409, "OperationAborted", []string{"put", "delete"}, objstore.ErrRefused, []string{"conditions"}},
		{412, "PreconditionFailed", []string{"put", "delete"}, objstore.ErrRefused, []string{"conditions"}},
		{507, "XMinioStorageFull", []string{"put"}, objstore.ErrRefused, []string{"full"}},
		{501, "NotImplemented", []string{"put"}, objstore.ErrUnknown, nil},
	} {
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("X-Amz-Bucket-Region", "there-1")
			fail(w, c.status, c.code, "what it says")
		}))
		s := open(t, srv)
		for _, op := range c.ops {
			wantOnly(t, fmt.Sprintf("%s answered %d %s", op, c.status, c.code), do(t.Context(), s, op), c.want, c.words...)
		}
	}
}

// TestErrorInside200 checks that a failure in the body of a success is none.
func TestErrorInside200(t *testing.T) {
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fail(w, 200, "InternalError", "sorry") }))
	wantOnly(t, "put", do(t.Context(), open(t, srv), "put"), objstore.ErrUnknown)
}

// TestCheck holds the lines that a wrong set-up prints.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		head, list int
		code       string
		want       error
		words      []string
	}{
		{200, 200, "", nil, nil},
		{404, 404, "NoSuchBucket", objstore.ErrRefused, []string{"does not exist", "aws s3 mb s3://bucket"}},
		{403, 403, "InvalidAccessKeyId", objstore.ErrRefused, []string{"InvalidAccessKeyId", `"bucket"`}},
		{403, 200, "", nil, nil},
		{301, 301, "PermanentRedirect", objstore.ErrRefused, []string{`region "there-1"`}},
		{503, 503, "", objstore.ErrUnknown, nil},
	} {
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Amz-Bucket-Region", "there-1")
			switch {
			case r.Method == http.MethodHead:
				w.WriteHeader(c.head)
			case c.list == 200:
				_, _ = io.WriteString(w, "<ListBucketResult></ListBucketResult>")
			default:
				fail(w, c.list, c.code, "what it says")
			}
		}))
		err := open(t, srv).Check(t.Context())
		if c.want == nil {
			if err != nil {
				t.Errorf("check: %v", err)
			}
			continue
		}
		wantOnly(t, fmt.Sprintf("check answered %d", c.head), err, c.want, c.words...)
	}
}

// TestNoAnswer checks what a broken network means.
func TestNoAnswer(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	addr := closed.Addr().String()
	reset := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}))
	for _, op := range []string{"put", "get", "list", "delete", "deletes", "check"} {
		wantOnly(t, op+" refused", do(t.Context(), open(t, &httptest.Server{URL: "http://" + addr}), op), objstore.ErrUnknown, addr)
		wantOnly(t, op+" reset", do(t.Context(), open(t, reset), op), objstore.ErrUnknown, reset.URL)
		if err := do(t.Context(), open(t, reset), op); strings.Contains(err.Error(), "endpoint of the URL") != (op == "check") {
			t.Errorf("%s: %v: only a check says what to look at", op, err)
		}
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about the handshake
	srv.StartTLS()
	defer srv.Close()
	wantOnly(t, "untrusted", do(t.Context(), open(t, srv), "put"), objstore.ErrRefused, "certificate")
}

// nothing is a provider without credentials.
type nothing struct{}

func (nothing) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return credentials.Value{}, errors.New("nothing found")
}
func (n nothing) Retrieve() (credentials.Value, error) { return n.RetrieveWithCredContext(nil) }
func (nothing) IsExpired() bool                        { return true }

func TestNoCredentials(t *testing.T) {
	srv := serve(t, http.NotFoundHandler())
	s := open(t, srv, func(c *Config) {
		c.Credentials = credentials.New(&search{providers: []credentials.Provider{nothing{}}})
	})
	wantOnly(t, "put", do(t.Context(), s, "put"), objstore.ErrRefused, "AWS_ACCESS_KEY_ID", "nothing found")
}

// TestShortBodies checks that no answer with other bytes than asked for passes.
func TestShortBodies(t *testing.T) {
	for name, c := range map[string]struct {
		r              objstore.Range
		status         int
		length, crange string
		body           string
		want           error
	}{
		"cut whole object":       {objstore.Range{}, 200, "10", "", "12345", objstore.ErrUnknown},
		"cut range":              {objstore.Exact(0, 10), 206, "10", "bytes 0-9/20", "12345", objstore.ErrUnknown},
		"range past the end":     {objstore.Exact(15, 10), 206, "5", "bytes 15-19/20", "12345", objstore.ErrRange},
		"other range":            {objstore.Exact(5, 10), 206, "10", "bytes 0-9/20", "1234567890", objstore.ErrUnknown},
		"later range":            {objstore.Exact(0, 10), 206, "10", "bytes 5-14/20", "1234567890", objstore.ErrUnknown},
		"more than it says":      {objstore.Exact(0, 5), 206, "10", "bytes 0-4/20", "1234567890", objstore.ErrUnknown},
		"range and length":       {objstore.Exact(0, 10), 206, "5", "bytes 0-9/20", "12345", objstore.ErrUnknown},
		"odd header":             {objstore.Exact(0, 10), 206, "10", "bytes x-9/20", "1234567890", objstore.ErrUnknown},
		"unknown size":           {objstore.Exact(0, 10), 206, "10", "bytes 0-9/*", "1234567890", objstore.ErrUnknown},
		"part for a whole":       {objstore.Range{}, 206, "10", "bytes 0-9/20", "1234567890", objstore.ErrUnknown},
		"range ignored, short":   {objstore.Exact(5, 10), 200, "10", "", "1234567890", objstore.ErrRange},
		"suffix, cut":            {objstore.Suffix(10), 206, "10", "bytes 10-19/20", "12345", objstore.ErrUnknown},
		"suffix, too little":     {objstore.Suffix(10), 206, "5", "bytes 15-19/20", "12345", objstore.ErrUnknown},
		"open range, too little": {objstore.From(10), 206, "5", "bytes 10-14/20", "12345", objstore.ErrUnknown},
	} {
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", c.length)
			if c.crange != "" {
				w.Header().Set("Content-Range", c.crange)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		o, err := open(t, srv).Get(t.Context(), "k", c.r)
		wantOnly(t, name, err, c.want)
		if o.Body != nil {
			t.Errorf("%s: %q beside an error", name, o.Body)
		}
	}
}

// TestRangeIgnored checks that a store without ranges still gives the right bytes.
func TestRangeIgnored(t *testing.T) {
	srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "0123456789") }))
	o, err := open(t, srv).Get(t.Context(), "k", objstore.Exact(3, 4))
	if err != nil || string(o.Body) != "3456" || o.Size != 10 {
		t.Errorf("got %q of %d, %v", o.Body, o.Size, err)
	}
}

// TestEmptySuffix checks the two ways in which stores answer a request for the end of an empty object.
func TestEmptySuffix(t *testing.T) {
	for status, crange := range map[int]string{416: "bytes */0", 206: "bytes 0--1/0"} {
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", crange)
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(status)
		}))
		if o, err := open(t, srv).Get(t.Context(), "k", objstore.Suffix(9)); err != nil || len(o.Body) != 0 || o.Size != 0 {
			t.Errorf("%d: %q of %d, %v", status, o.Body, o.Size, err)
		}
	}
}

// TestPartialDelete checks that keys that a store could not remove are named, and others not.
func TestPartialDelete(t *testing.T) {
	for code, want := range map[string]error{
		"InternalError": objstore.ErrUnknown, "SlowDown": objstore.ErrThrottled, "AccessDenied": objstore.ErrRefused,
	} {
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "<DeleteResult><Deleted><Key>k</Key></Deleted><Error><Key>m</Key><Code>NoSuchKey</Code></Error>"+
				"<Error><Key>l</Key><Code>%s</Code><Message>why</Message></Error></DeleteResult>", code)
		}))
		err := do(t.Context(), open(t, srv), "deletes")
		wantOnly(t, code, err, want)
		var de *objstore.DeleteError
		if !errors.As(err, &de) || len(de.Keys) != 1 || de.Keys[0] != "l" {
			t.Errorf("%s: %v, want a DeleteError for l", code, err)
		}
	}
}

// TestUnconfirmedDelete checks that a key counts as gone only if the store says so: the library drops a key's InvalidArgument.
func TestUnconfirmedDelete(t *testing.T) {
	for _, rest := range []string{"", "<Error><Key>l</Key><Code>InvalidArgument</Code><Message>why</Message></Error>"} {
		srv := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<DeleteResult><Deleted><Key>k</Key></Deleted><Deleted><Key>m</Key></Deleted>"+rest+"</DeleteResult>")
		}))
		err := do(t.Context(), open(t, srv), "deletes")
		wantOnly(t, "deletes", err, objstore.ErrUnknown)
		var de *objstore.DeleteError
		if !errors.As(err, &de) || len(de.Keys) != 1 || de.Keys[0] != "l" {
			t.Errorf("%v, want a DeleteError for l", err)
		}
	}
}
