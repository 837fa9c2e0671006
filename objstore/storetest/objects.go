package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/varvelog/varve/objstore"
)

func putGet(s *suite) {
	for _, n := range []int{1, 10, 4095, 4096, 4097, 1 << 20} {
		key := fmt.Sprint("size", n)
		s.put(key, random(n))
		s.want(key, random(n))
	}
}

func putReplaces(s *suite) {
	for _, n := range []int{100, 10_000, 1, 0, 50} {
		s.put("k", random(n))
		s.want("k", random(n))
	}
}

func putRepeats(s *suite) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if err := s.Put(s.Context(), s.prefix+"k", random(5000)); err != nil {
					s.Errorf("put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	s.want("k", random(5000))
	if got := s.list("", "", 0); !slices.Equal(got, []string{"k"}) {
		s.Errorf("list: %q", got)
	}
}

func putKeepsNothing(s *suite) {
	body := random(1000)
	s.put("k", body)
	clear(body)
	s.want("k", random(1000))
}

func putEmpty(s *suite) {
	s.put("nil", nil)
	s.put("empty", []byte{})
	s.want("nil", nil)
	s.want("empty", nil)
	if got := s.list("", "", 0); !slices.Equal(got, []string{"empty", "nil"}) {
		s.Errorf("list: %q", got)
	}
}

func putBig(s *suite) {
	const n = 9 << 20
	body := random(n)
	s.put("big", body)
	s.want("big", body)
	if got := s.get("big", objstore.Exact(n-(1<<20)-7, 1<<20)); !bytes.Equal(got, body[n-(1<<20)-7:n-7]) {
		s.Error("a range of a big object differs")
	}
}

// putWhole lets writers of bodies of one byte value, each with its own length, race with readers until these have seen
// enough.
func putWhole(s *suite) {
	bodyOf := func(w int) []byte { return bytes.Repeat([]byte{byte(w)}, 20_000+w*7_001) }
	s.put("k", bodyOf(0))
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 3 {
		writers.Go(func() {
			for {
				if err := s.Put(s.Context(), s.prefix+"k", bodyOf(w)); err != nil {
					s.Errorf("put: %v", err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for range 30 {
				o, err := s.Get(s.Context(), s.prefix+"k", objstore.Range{})
				if err != nil {
					s.Errorf("get: %v", err)
					return
				}
				if len(o.Body) == 0 || !bytes.Equal(o.Body, bodyOf(int(o.Body[0]))) {
					s.Errorf("a mixed or cut object of %d bytes", len(o.Body))
					return
				}
			}
		})
	}
	readers.Wait()
	close(done)
	writers.Wait()
}

func putMany(s *suite) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 10 {
				key := fmt.Sprintf("%sd%d/e%d/%d", s.prefix, i%3, i, w)
				if err := s.Put(s.Context(), key, []byte(key)); err != nil {
					s.Errorf("put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	keys := s.list("", "", 0)
	if len(keys) != 80 {
		s.Fatalf("list: %d keys, want 80", len(keys))
	}
	for _, key := range keys {
		s.want(key, []byte(s.prefix+key))
	}
}

func oddKeys(s *suite) {
	keys := []string{
		"a b", "a+b", "a%2Fb", "a%b", "ü/é/日本", "a&b=c?d#e", "...", ".hidden", "-", "_", "~", "$", "@", "a;b", "a,b", "a:b", "(a)!*'",
		"<a>\"b\"", "tmp", "x/tmp", "a.tmp", string(bytes.Repeat([]byte("s"), objstore.MaxKeySegment)),
		string(bytes.Repeat([]byte("deep/"), 20)) + "end", "UPPER/lower", "[x]{y}|^`", `back\slash`,
	}
	for _, k := range keys {
		s.put(k, []byte(k))
	}
	for _, k := range keys {
		s.want(k, []byte(k))
	}
	slices.Sort(keys)
	if got := s.list("", "", 0); !slices.Equal(got, keys) {
		s.Errorf("list:\ngot  %q\nwant %q", got, keys)
	}
	s.delete(keys...)
	if got := s.list("", "", 0); len(got) != 0 {
		s.Errorf("after delete: %q", got)
	}
}

func illegalKeys(s *suite) {
	for _, k := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../x", "storetest/../../x", "a/./b", "a\x00b", "a\nb", "a\xffb",
		string(bytes.Repeat([]byte("s"), objstore.MaxKeySegment+1)), string(bytes.Repeat([]byte("a/"), objstore.MaxKey/2)) + "b",
	} {
		s.wantErr(fmt.Sprintf("put %q", k), s.Put(s.Context(), k, []byte("x")), objstore.ErrRefused)
		_, err := s.Get(s.Context(), k, objstore.Range{})
		s.wantErr(fmt.Sprintf("get %q", k), err, objstore.ErrRefused)
		s.wantErr(fmt.Sprintf("delete %q", k), s.Delete(s.Context(), k), objstore.ErrRefused)
	}
}

func getAbsent(s *suite) {
	s.put("dir/k", []byte("x"))
	for _, k := range []string{"k", "dir", "dir/k2", "dir/k/below", "no/such/dir"} {
		s.wantAbsent(k)
		_, err := s.Get(s.Context(), s.prefix+k, objstore.Exact(0, 1))
		s.wantErr("ranged get of "+k, err, objstore.ErrNotFound)
	}
}

func getOwned(s *suite) {
	s.put("k", random(100))
	clear(s.get("k", objstore.Range{}))
	clear(s.get("k", objstore.Exact(10, 20)))
	s.want("k", random(100))
}

func rangesInside(s *suite) {
	const n = 1000
	body := random(n)
	s.put("k", body)
	for _, c := range []struct {
		r      objstore.Range
		lo, hi int
	}{
		{objstore.Exact(0, 1), 0, 1}, {objstore.Exact(0, n), 0, n}, {objstore.Exact(n-1, 1), n - 1, n},
		{objstore.Exact(1, n-1), 1, n}, {objstore.Exact(333, 77), 333, 410},
		{objstore.From(0), 0, n}, {objstore.From(1), 1, n}, {objstore.From(n - 1), n - 1, n},
		{objstore.Suffix(1), n - 1, n}, {objstore.Suffix(64), n - 64, n}, {objstore.Suffix(n), 0, n},
		{objstore.Suffix(n + 1), 0, n}, {objstore.Suffix(64 << 10), 0, n}, {objstore.Range{}, 0, n},
	} {
		o, err := s.Get(s.Context(), s.prefix+"k", c.r)
		if err != nil {
			s.Errorf("%s: %v", c.r, err)
			continue
		}
		if !bytes.Equal(o.Body, body[c.lo:c.hi]) || o.Size != n {
			s.Errorf("%s: %d bytes of %d, want [%d, %d) of %d", c.r, len(o.Body), o.Size, c.lo, c.hi, n)
		}
	}
}

func rangesOutside(s *suite) {
	const n = 1000
	s.put("k", random(n))
	for _, r := range []objstore.Range{
		objstore.Exact(0, n+1), objstore.Exact(n, 1), objstore.Exact(n-1, 2), objstore.Exact(n+1, 1), objstore.Exact(5*n, 10),
		objstore.Exact(0, 0), objstore.Exact(10, 0), objstore.Exact(10, -1), objstore.Exact(-1, 5),
		objstore.Exact(1, math.MaxInt64), objstore.Exact(math.MaxInt64, 1), objstore.Exact(math.MaxInt64, math.MaxInt64),
		objstore.From(n), objstore.From(n + 1), objstore.From(-1), objstore.From(math.MaxInt64),
		objstore.Suffix(0), objstore.Suffix(-1), objstore.Suffix(math.MinInt64),
	} {
		o, err := s.Get(s.Context(), s.prefix+"k", r)
		s.wantErr(r.String(), err, objstore.ErrRange)
		if o.Body != nil {
			s.Errorf("%s: %d bytes beside an error", r, len(o.Body))
		}
	}
}

func rangesEmpty(s *suite) {
	s.put("k", nil)
	for _, r := range []objstore.Range{{}, objstore.Suffix(1), objstore.Suffix(64 << 10)} {
		if o, err := s.Get(s.Context(), s.prefix+"k", r); err != nil || len(o.Body) != 0 || o.Size != 0 {
			s.Errorf("%s: %d bytes, size %d, %v", r, len(o.Body), o.Size, err)
		}
	}
	for _, r := range []objstore.Range{objstore.Exact(0, 1), objstore.From(0), objstore.Exact(0, 0), objstore.Suffix(0)} {
		_, err := s.Get(s.Context(), s.prefix+"k", r)
		s.wantErr(r.String(), err, objstore.ErrRange)
	}
}

// rangesInto asks for ranges in pieces of any size, and looks at the bytes beside them too.
func rangesInto(s *suite) {
	const n = 300_000
	body := random(n)
	s.put("k", body)
	for _, pieces := range [][]int{{n - 10}, {1, 0, 99, 70_000, 7, 128 << 10, 1, 1, 90_000}, {5, 5}} {
		size, space := 0, bytes.Repeat([]byte{7}, n+len(pieces))
		var dst [][]byte
		for i, piece := range pieces {
			dst = append(dst, space[size+i:size+i+piece])
			size += piece
		}
		o, err := s.Get(s.Context(), s.prefix+"k", objstore.Exact(10, int64(size)).Into(dst...))
		if err != nil || o.Body != nil || len(o.Parts) != len(dst) || o.Len() != size || o.Size != n {
			s.Errorf("into %d: %d bytes in %d parts, %d besides, of %d: %v", pieces, o.Len(), len(o.Parts), len(o.Body), o.Size, err)
		}
		if !bytes.Equal(slices.Concat(dst...), body[10:10+size]) {
			s.Errorf("into %d: other bytes", pieces)
		}
		for i := range dst {
			at := len(slices.Concat(dst[:i+1]...)) + i
			if space[at] != 7 {
				s.Errorf("into %d: written behind piece %d", pieces, i)
			}
		}
	}
	room := make([]byte, 10)
	for _, r := range []objstore.Range{
		objstore.Exact(0, 9), objstore.Exact(0, 11), objstore.Exact(n-5, 10), objstore.From(n - 10), objstore.Suffix(10), {},
	} {
		_, err := s.Get(s.Context(), s.prefix+"k", r.Into(room))
		s.wantErr(r.String()+" into 10 bytes", err, objstore.ErrRange)
	}
	if err := objstore.GetInto(s.Context(), s.Store, s.prefix+"k", 20, room); err != nil || !bytes.Equal(room, body[20:30]) {
		s.Errorf("into 10 bytes: %v", err)
	}
	s.wantErr("an absent one into 10 bytes", objstore.GetInto(s.Context(), s.Store, s.prefix+"other", 0, room), objstore.ErrNotFound)
}

func cancelled(s *suite) {
	s.put("k", []byte("x"))
	check := func(what string, err error) {
		s.wantErr(what, err, objstore.ErrUnknown)
		s.wantErr(what, err, context.Canceled)
	}
	ctx := ended()
	check("put", s.Put(ctx, s.prefix+"k", []byte("x")))
	check("delete", s.Delete(ctx, s.prefix+"other"))
	_, err := s.Get(ctx, s.prefix+"k", objstore.Range{})
	check("get", err)
	_, err = s.List(ctx, s.prefix, "", 0)
	check("list", err)
	if errors.Is(err, context.DeadlineExceeded) {
		s.Errorf("list: a cancelled context is no deadline: %v", err)
	}
	s.want("k", []byte("x"))
}
