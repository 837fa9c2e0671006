package s3test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/varvelog/varve/objstore"
)

// shortBodies checks that no answer with other bytes than asked for passes.
func shortBodies(t *testing.T, o opener) {
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
		srv := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", c.length)
			if c.crange != "" {
				w.Header().Set("Content-Range", c.crange)
			}
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		got, err := o.at(t, srv.URL).Get(t.Context(), "k", c.r)
		WantOnly(t, name, err, c.want)
		if got.Body != nil {
			t.Errorf("%s: %q beside an error", name, got.Body)
		}
		if c.r.IsExact() {
			_, n, _ := c.r.Resolve(1 << 20)
			WantOnly(t, name+", into memory", getInto(o.at(t, srv.URL), c.r, make([]byte, n)), c.want)
		}
	}
}

func getInto(s Store, r objstore.Range, dst ...[]byte) error {
	_, err := s.Get(context.Background(), "k", r.Into(dst...))
	return err
}

// rangeIgnored checks that a store without ranges still gives the right bytes.
func rangeIgnored(t *testing.T, o opener) {
	srv := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "0123456789") }))
	got, err := o.at(t, srv.URL).Get(t.Context(), "k", objstore.Exact(3, 4))
	if err != nil || string(got.Body) != "3456" || got.Size != 10 {
		t.Errorf("got %q of %d, %v", got.Body, got.Size, err)
	}
	into := make([]byte, 4)
	if err := getInto(o.at(t, srv.URL), objstore.Exact(3, 4), into[:1], into[1:]); err != nil || string(into) != "3456" {
		t.Errorf("got %q, %v", into, err)
	}
}

// emptySuffix checks the two ways in which stores answer a request for the end of an empty object.
func emptySuffix(t *testing.T, o opener) {
	for status, crange := range map[int]string{416: "bytes */0", 206: "bytes 0--1/0"} {
		srv := Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", crange)
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(status)
		}))
		if got, err := o.at(t, srv.URL).Get(t.Context(), "k", objstore.Suffix(9)); err != nil || len(got.Body) != 0 || got.Size != 0 {
			t.Errorf("%d: %q of %d, %v", status, got.Body, got.Size, err)
		}
	}
}
