package s3test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/mem"
)

// Fake speaks as much of the S3 protocol as the driver needs, path style, over a mem store. It checks no signatures.
type Fake struct {
	Objects *mem.Store
	Page    int // the most keys in one answer to a list; 0 is no limit
	mu      sync.Mutex
	last    *http.Request // the last request, its body read
}

// NewFake returns an empty one.
func NewFake() *Fake { return &Fake{Objects: mem.New()} }

// Last returns the last request; its body has been read.
func (f *Fake) Last() *http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.last = r
	f.mu.Unlock()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodHead:
	case r.Method == http.MethodGet && key == "":
		f.list(w, r)
	case r.Method == http.MethodGet:
		f.get(w, r, key)
	case r.Method == http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = f.Objects.Put(r.Context(), key, body)
		}
		if err != nil {
			Fail(w, 500, "InternalError", err.Error())
		}
	case r.Method == http.MethodPost:
		f.deleteMany(w, r)
	case r.Method == http.MethodDelete:
		_ = f.Objects.Delete(r.Context(), key)
		w.WriteHeader(http.StatusNoContent)
	default:
		Fail(w, 405, "MethodNotAllowed", r.Method)
	}
}

// Fail answers with a status and, unless code is empty, an error as S3 words it.
func Fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if code != "" {
		fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
	}
}

func (f *Fake) get(w http.ResponseWriter, r *http.Request, key string) {
	o, err := f.Objects.Get(r.Context(), key, objstore.Range{})
	if err != nil {
		Fail(w, 404, "NoSuchKey", key)
		return
	}
	lo, hi, ok := window(r.Header.Get("Range"), int64(len(o.Body)))
	if !ok {
		Fail(w, 416, "InvalidRange", "The requested range is not satisfiable")
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(hi-lo))
	if r.Header.Get("Range") != "" {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", lo, hi-1, len(o.Body)))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(o.Body[lo:hi])
}

// window resolves a Range header as S3 does: what begins inside is cut at the end, an empty object has no range at all.
func window(header string, size int64) (lo, hi int64, ok bool) {
	if header == "" {
		return 0, size, true
	}
	from, to, _ := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	a, err := strconv.ParseInt(from, 10, 64)
	b, err2 := strconv.ParseInt(to, 10, 64)
	switch {
	case err != nil: // suffix
		return max(0, size-b), size, b > 0 && size > 0
	case err2 != nil || b >= size:
		b = size - 1
	}
	return a, b + 1, a < size
}

func (f *Fake) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, _ := strconv.Atoi(q.Get("max-keys"))
	if f.Page > 0 {
		limit = min(limit, f.Page)
	}
	after := q.Get("start-after")
	if token := q.Get("continuation-token"); token != "" {
		after = token
	}
	page, err := f.Objects.List(r.Context(), q.Get("prefix"), after, limit)
	if err != nil {
		Fail(w, 500, "InternalError", err.Error())
		return
	}
	type object struct {
		Key          string
		Size         int64
		LastModified string
	}
	var out struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		IsTruncated           bool
		NextContinuationToken string
		Contents              []object
	}
	for _, i := range page {
		out.Contents = append(out.Contents, object{i.Key, i.Size, i.Modified.UTC().Format("2006-01-02T15:04:05.000Z")})
	}
	if len(page) > 0 {
		out.NextContinuationToken = page[len(page)-1].Key
		more, _ := f.Objects.List(r.Context(), q.Get("prefix"), out.NextContinuationToken, 1)
		out.IsTruncated = len(more) > 0
	}
	_ = xml.NewEncoder(w).Encode(out)
}

func (f *Fake) deleteMany(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Object []struct{ Key string }
	}
	if err := xml.NewDecoder(r.Body).Decode(&in); err != nil {
		Fail(w, 400, "MalformedXML", err.Error())
		return
	}
	_, _ = io.WriteString(w, "<DeleteResult>")
	for _, o := range in.Object {
		_ = f.Objects.Delete(r.Context(), o.Key)
		_, _ = io.WriteString(w, "<Deleted><Key>")
		_ = xml.EscapeText(w, []byte(o.Key))
		_, _ = io.WriteString(w, "</Key></Deleted>")
	}
	_, _ = io.WriteString(w, "</DeleteResult>")
}

// Serve starts a server for the test's time.
func Serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}
