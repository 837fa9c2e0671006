package objstore

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

// What who watches is told, is in its place then; it begins with 0, rises, and no step is larger than a cache.
func TestWatch(t *testing.T) {
	body := make([]byte, 600<<10)
	for i := range body {
		body[i] = byte(i * 7 >> 3)
	}
	n := int64(len(body))
	for name, get := range map[string]func(r Range) (Object, error){
		"copy":       func(r Range) (Object, error) { return r.Copy(body, n), nil },
		"read":       func(r Range) (Object, error) { return r.Read(bytes.NewReader(body), n, n) },
		"halves":     func(r Range) (Object, error) { return r.Read(iotest.HalfReader(bytes.NewReader(body)), n, n) },
		"with error": func(r Range) (Object, error) { return r.Read(iotest.DataErrReader(bytes.NewReader(body)), n, n) },
	} {
		into := make([]byte, n)
		told := []int64{}
		r := Exact(0, n).Into(into[:1], into[1:1], into[1:300<<10], into[300<<10:]).Watch(func(got int64) {
			told = append(told, got)
			if !bytes.Equal(into[:got], body[:got]) {
				t.Fatalf("%s: not there yet: %d bytes", name, got)
			}
		})
		o, err := get(r)
		if err != nil || !bytes.Equal(into, body) || int64(o.Len()) != n {
			t.Fatal(name, err)
		}
		if !slices.IsSorted(told) || len(told) < 4 || told[0] != 0 || told[1] == 0 || told[len(told)-1] != n {
			t.Errorf("%s: told %d times, %d at first, %d in the end", name, len(told), told[0], told[len(told)-1])
		}
		for i := range told[1:] {
			if told[i+1]-told[i] > int64(r.step()) {
				t.Errorf("%s: %d bytes at once", name, told[i+1]-told[i])
			}
		}
	}
}

// A source that ends too early, or fails, is told from one that is as long as it should be.
func TestReadTooShort(t *testing.T) {
	into := make([]byte, 10)
	for _, c := range []struct {
		src  io.Reader
		want error
	}{
		{bytes.NewReader(nil), io.EOF}, {bytes.NewReader(make([]byte, 9)), io.ErrUnexpectedEOF}, {bytes.NewReader(make([]byte, 3)), io.ErrUnexpectedEOF},
		{iotest.ErrReader(iotest.ErrTimeout), iotest.ErrTimeout},
	} {
		if _, err := Exact(0, 10).Into(into[:3], into[3:]).Read(c.src, 10, 20); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
}

// Without a place nobody is told.
func TestWatchNothing(t *testing.T) {
	r := Exact(0, 1).Watch(func(int64) { t.Error("told") })
	if o := r.Copy([]byte("x"), 1); string(o.Body) != "x" {
		t.Error(o)
	}
	if o, err := r.Read(bytes.NewReader([]byte("x")), 1, 1); err != nil || string(o.Body) != "x" {
		t.Error(o, err)
	}
}
