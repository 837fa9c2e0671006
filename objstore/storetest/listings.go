package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/varvelog/varve/objstore"
)

// ordered holds keys in byte order, which differs from a walk over folders ('-' and '.' sort before '/').
var ordered = []string{"A", "a", "a!", "a-b", "a.b", "a/b/c", "a/b1", "a/b2", "a/b2x", "a0", "aa/a", "b/a", "é"}

func (s *suite) putOrdered() {
	// "a" and "a/b" cannot both exist on a file system, nor in MinIO.
	for _, k := range slices.Backward(ordered) {
		if k != "a" && !s.skips(k) {
			s.put(k, []byte(k))
		}
	}
}

// skips tells whether a key of ordered is beyond ASCII, in a run without such keys.
func (s *suite) skips(key string) bool { return s.ascii && key[0] >= utf8.RuneSelf }

// orderedFrom returns the keys of putOrdered for which keep holds.
func (s *suite) orderedFrom(keep func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(ordered), func(k string) bool { return k == "a" || s.skips(k) || !keep(k) })
}

func (s *suite) wantKeys(what string, got, want []string) {
	s.Helper()
	if !slices.Equal(got, want) {
		s.Errorf("%s:\ngot  %q\nwant %q", what, got, want)
	}
}

func listOrder(s *suite) {
	s.wantKeys("nothing", s.list("", "", 0), []string{})
	s.putOrdered()
	s.wantKeys("all", s.list("", "", 0), s.orderedFrom(func(string) bool { return true }))
}

func listAfter(s *suite) {
	s.putOrdered()
	for _, after := range append([]string{"0", "a/", "a/b", "a/b/", "a/b/c0", "zz", "ê"}, ordered...) {
		if s.skips(after) {
			continue
		}
		s.wantKeys("after "+after, s.list("", after, 0), s.orderedFrom(func(k string) bool { return k > after }))
	}
	s.wantKeys("below a/, after a/b1", s.list("a/", "a/b1", 0), []string{"a/b2", "a/b2x"})
	s.wantKeys("below a/, after something before it", s.list("a/", "A", 0), []string{"a/b/c", "a/b1", "a/b2", "a/b2x"})
	s.wantKeys("below a/, after it", s.list("a/", "a0", 0), []string{})
}

func listLimit(s *suite) {
	s.putOrdered()
	all := s.orderedFrom(func(string) bool { return true })
	for limit := 1; limit <= len(all)+1; limit++ {
		s.wantKeys(fmt.Sprint("limit ", limit), s.list("", "", limit), all[:min(limit, len(all))])
		var paged []string
		for after := ""; ; {
			page := s.list("", after, limit)
			paged = append(paged, page...)
			if len(page) < limit {
				break
			}
			after = page[limit-1]
		}
		s.wantKeys(fmt.Sprint("pages of ", limit), paged, all)
	}
}

func listPrefix(s *suite) {
	s.putOrdered()
	for prefix, want := range map[string][]string{
		"a/":    {"a/b/c", "a/b1", "a/b2", "a/b2x"},
		"a/b2":  {"a/b2", "a/b2x"},
		"a/b":   {"a/b/c", "a/b1", "a/b2", "a/b2x"},
		"a/b/":  {"a/b/c"},
		"aa":    {"aa/a"},
		"aa/":   {"aa/a"},
		"b/a":   {"b/a"},
		"b/a/":  {},
		"b/aa":  {},
		"nope/": {},
		"A/":    {},
		"a-":    {"a-b"},
	} {
		s.wantKeys("prefix "+prefix, s.list(prefix, "", 0), want)
	}
}

func listInfo(s *suite) {
	before := time.Now()
	s.put("k", random(1234))
	page, err := s.List(s.Context(), s.prefix, "", 0)
	if err != nil || len(page) != 1 {
		s.Fatalf("list: %v, %v", page, err)
	}
	// Stores keep whole seconds, and their clock is not ours: an hour is enough to tell a time from a number gone wrong.
	if off := page[0].Modified.Sub(before); page[0].Size != 1234 || off < -time.Hour || off > time.Hour {
		s.Errorf("got %+v, want 1234 bytes of %s", page[0], before)
	}
}

// putThousands stores n keys of the form "NNNN/k", a few at a time.
func (s *suite) putThousands(n int) []string {
	keys := make([]string, n)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				keys[i] = fmt.Sprintf("%02d/k%04d", i/100, i)
				if err := s.Put(s.Context(), s.prefix+keys[i], []byte{1}); err != nil {
					s.Errorf("put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	return keys
}

func listPages(s *suite) {
	keys := s.putThousands(objstore.MaxList + 5)
	first := s.list("", "", 0)
	s.wantKeys("first page", first, keys[:objstore.MaxList])
	s.wantKeys("a limit above the most", s.list("", "", 5*objstore.MaxList), keys[:objstore.MaxList])
	s.wantKeys("last page", s.list("", first[len(first)-1], 0), keys[objstore.MaxList:])
	s.delete(keys[:objstore.MaxDelete]...)
	s.delete(keys[objstore.MaxDelete:]...)
}

func deleteRemoves(s *suite) {
	for _, k := range []string{"a/1", "a/2", "a/3", "b"} {
		s.put(k, []byte(k))
	}
	s.delete("a/2")
	s.wantAbsent("a/2")
	s.wantKeys("after one", s.list("", "", 0), []string{"a/1", "a/3", "b"})
	s.delete("a/1", "b")
	s.wantKeys("after three", s.list("", "", 0), []string{"a/3"})
	s.want("a/3", []byte("a/3"))
	s.delete("a/3")
	s.wantKeys("after all", s.list("", "", 0), []string{})
	s.put("a/3", []byte("again"))
	s.want("a/3", []byte("again"))
}

func deleteAbsent(s *suite) {
	s.put("dir/k", []byte("x"))
	s.delete()
	s.delete("nope", "no/such/dir", "dir", "dir/k2", "dir/k/below", "dir/k2", "nope")
	s.want("dir/k", []byte("x"))
	s.delete("nope", "dir/k", "nope2")
	s.wantAbsent("dir/k")
}

func deleteThousand(s *suite) {
	keys := s.putThousands(objstore.MaxDelete)
	s.put("stays", nil)
	s.delete(keys...)
	s.wantKeys("after", s.list("", "", 0), []string{"stays"})
}

func deleteTooMany(s *suite) {
	s.put("k", []byte("x"))
	keys := make([]string, objstore.MaxDelete+1)
	for i := range keys {
		keys[i] = s.prefix + "k"
	}
	err := s.Delete(s.Context(), keys...)
	s.wantErr("delete", err, objstore.ErrRefused)
	if de := (*objstore.DeleteError)(nil); errors.As(err, &de) {
		s.Errorf("a call that did nothing names keys: %v", err)
	}
	s.want("k", []byte("x"))
}
