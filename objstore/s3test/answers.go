package s3test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/varvelog/varve/objstore"
)

// allOps are the operations whose answers mean the same.
var allOps = []string{"put", "get", "list", "delete", "deletes"}

// answerTable holds what each answer of a store means.
var answerTable = []struct {
	status int
	code   string
	ops    []string
	want   error
	words  []string
}{
	{404, "NoSuchKey", []string{"get", "range"}, objstore.ErrNotFound, nil},
	{404, "NoSuchKey", []string{"put", "list"}, objstore.ErrRefused, nil},
	{404, "NoSuchBucket", allOps, objstore.ErrRefused, []string{`"bucket"`, "127.0.0.1", "aws s3 mb s3://bucket --region eu-test-1 --endpoint-url http://127.0.0.1"}},
	{404, "", []string{"get", "put"}, objstore.ErrRefused, nil}, // a web server that is no store
	{403, "AccessDenied", allOps, objstore.ErrRefused, []string{`"bucket"`, "127.0.0.1", "AWS_ACCESS_KEY_ID", "AccessDenied"}},
	{403, "InvalidAccessKeyId", allOps, objstore.ErrRefused, []string{"InvalidAccessKeyId"}},
	{403, "SignatureDoesNotMatch", []string{"put"}, objstore.ErrRefused, nil},
	{403, "RequestTimeTooSkewed", []string{"put"}, objstore.ErrRefused, []string{"clock"}},
	{400, "ExpiredToken", []string{"put"}, objstore.ErrRefused, []string{"credentials"}},
	{301, "PermanentRedirect", allOps, objstore.ErrRefused, []string{`"bucket"`, "region=", "there-1"}},
	{400, "AuthorizationHeaderMalformed", []string{"put"}, objstore.ErrRefused, []string{"region="}},
	{416, "InvalidRange", []string{"get", "range"}, objstore.ErrRange, nil},
	{503, "SlowDown", allOps, objstore.ErrThrottled, nil},
	{503, "SlowDownWrite", allOps, objstore.ErrThrottled, nil},
	{503, "ServiceUnavailable", allOps, objstore.ErrThrottled, nil},
	{429, "", allOps, objstore.ErrThrottled, nil},
	{429, "TooManyRequests", allOps, objstore.ErrThrottled, nil},
	{503, "", allOps, objstore.ErrUnknown, nil}, // a proxy that lost the answer
	{500, "InternalError", allOps, objstore.ErrUnknown, nil},
	{502, "", allOps, objstore.ErrUnknown, nil},
	{504, "", allOps, objstore.ErrUnknown, nil},
	{400, "BadDigest", []string{"put"}, objstore.ErrCorrupt, nil},
	{400, "XAmzContentChecksumMismatch", []string{"put"}, objstore.ErrCorrupt, nil},
	{400, "XAmzContentSHA256Mismatch", []string{"put"}, objstore.ErrCorrupt, nil},
	{400, "RequestTimeout", []string{"put"}, objstore.ErrUnknown, nil},
	{400, "IncompleteBody", []string{"put"}, objstore.ErrUnknown, nil},
	{400, "EntityTooLarge", []string{"put"}, objstore.ErrRefused, []string{"EntityTooLarge"}},
	{405, "MethodNotAllowed", allOps, objstore.ErrRefused, nil},
	{409, "OperationAborted", []string{"put", "delete"}, objstore.ErrRefused, []string{"conditions"}},
	{409, "ExistingObjectIsDirectory", []string{"put"}, objstore.ErrThrottled, nil}, // versitygw: two PUTs made one folder
	{412, "PreconditionFailed", []string{"put", "delete"}, objstore.ErrRefused, []string{"conditions"}},
	{507, "XMinioStorageFull", []string{"put"}, objstore.ErrRefused, []string{"full"}},
	{501, "NotImplemented", []string{"put"}, objstore.ErrUnknown, nil},
}

// answers: each answer of answerTable means what that says.
func answers(t *testing.T, o opener) {
	for _, c := range answerTable {
		srv := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("X-Amz-Bucket-Region", "there-1")
			Fail(w, c.status, c.code, "what it says")
		}))
		s := o.at(t, srv.URL)
		for _, op := range c.ops {
			WantOnly(t, fmt.Sprintf("%s answered %d %s", op, c.status, c.code), Do(t.Context(), s, op), c.want, c.words...)
		}
	}
}

// errorInside200 checks that a failure in the body of a success is none.
func errorInside200(t *testing.T, o opener) {
	srv := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { Fail(w, 200, "InternalError", "sorry") }))
	WantOnly(t, "put", Do(t.Context(), o.at(t, srv.URL), "put"), objstore.ErrUnknown)
}

// check holds the lines that a wrong set-up prints.
func check(t *testing.T, o opener) {
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
		srv := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Amz-Bucket-Region", "there-1")
			switch {
			case r.Method == http.MethodHead:
				w.WriteHeader(c.head)
			case c.list == 200:
				_, _ = io.WriteString(w, "<ListBucketResult></ListBucketResult>")
			default:
				Fail(w, c.list, c.code, "what it says")
			}
		}))
		err := o.at(t, srv.URL).Check(t.Context())
		if c.want == nil {
			if err != nil {
				t.Errorf("check: %v", err)
			}
			continue
		}
		WantOnly(t, fmt.Sprintf("check answered %d", c.head), err, c.want, c.words...)
	}
}

// noAnswer checks what a broken network means.
func noAnswer(t *testing.T, o opener) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	addr := closed.Addr().String()
	reset := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}))
	for _, op := range []string{"put", "get", "list", "delete", "deletes", "check"} {
		WantOnly(t, op+" refused", Do(t.Context(), o.at(t, "http://"+addr), op), objstore.ErrUnknown, addr)
		WantOnly(t, op+" reset", Do(t.Context(), o.at(t, reset.URL), op), objstore.ErrUnknown, reset.URL)
		if err := Do(t.Context(), o.at(t, reset.URL), op); strings.Contains(err.Error(), "endpoint of the URL") != (op == "check") {
			t.Errorf("%s: %v: only a check says what to look at", op, err)
		}
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about the handshake
	srv.StartTLS()
	defer srv.Close()
	WantOnly(t, "untrusted", Do(t.Context(), o.at(t, srv.URL), "put"), objstore.ErrRefused, "certificate")
}

// partialDelete checks that keys that a store could not remove are named, and others not.
func partialDelete(t *testing.T, o opener) {
	for code, want := range map[string]error{
		"InternalError": objstore.ErrUnknown, "SlowDown": objstore.ErrThrottled, "AccessDenied": objstore.ErrRefused,
	} {
		srv := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "<DeleteResult><Deleted><Key>k</Key></Deleted><Error><Key>m</Key><Code>NoSuchKey</Code></Error>"+
				"<Error><Key>l</Key><Code>%s</Code><Message>why</Message></Error></DeleteResult>", code)
		}))
		err := Do(t.Context(), o.at(t, srv.URL), "deletes")
		WantOnly(t, code, err, want)
		var de *objstore.DeleteError
		if !errors.As(err, &de) || len(de.Keys) != 1 || de.Keys[0] != "l" {
			t.Errorf("%s: %v, want a DeleteError for l", code, err)
		}
	}
}
