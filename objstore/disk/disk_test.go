package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) objstore.Store { return open(t, t.TempDir()) })
}

// TestEscape checks that no key reaches a file outside of the directory, or a temporary one.
func TestEscape(t *testing.T) {
	outer := t.TempDir()
	s := open(t, filepath.Join(outer, "store"))
	victim := filepath.Join(outer, "victim")
	if err := os.WriteFile(victim, []byte("v"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"../victim", "a/../../victim", "..", ".", "./x", "/etc/x", "a//b", "a/", "", "a\x00b", victim,
		".varve-tmp", ".varve-tmp/x", ".Varve-TMP/x",
	} {
		ctx := t.Context()
		_, get := s.Get(ctx, key, objstore.Range{})
		for op, err := range map[string]error{"put": s.Put(ctx, key, []byte("x")), "get": get, "delete": s.Delete(ctx, key)} {
			if !errors.Is(err, objstore.ErrRefused) {
				t.Errorf("%s %q: %v, want ErrRefused", op, key, err)
			}
		}
	}
	for _, prefix := range []string{"../", "../v", "/", "a//", "./"} {
		if page, err := s.List(t.Context(), prefix, "", 0); err != nil || len(page) > 0 {
			t.Errorf("list %q: %v, %v", prefix, page, err)
		}
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "v" {
		t.Errorf("the victim: %q, %v", b, err)
	}
}

// TestTemp checks that leftovers of the dead are removed at open and never listed, and that the living keep theirs.
func TestTemp(t *testing.T) {
	dir := t.TempDir()
	living := open(t, dir)
	f, err := living.createTemp() // a Put that is under way
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dead := filepath.Join(dir, tempName, "dead")
	if err := os.Mkdir(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead, "1"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"", ".", tempName, tempName + "/"} {
		if page, err := living.List(t.Context(), prefix, "", 0); err != nil || len(page) > 0 {
			t.Errorf("list %q: %v, %v", prefix, page, err)
		}
	}
	open(t, dir)
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
	if _, err := os.Stat(f.Name()); err != nil {
		t.Errorf("a living store lost its file: %v", err)
	}
	if err := living.Close(); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, tempName)); err != nil || len(entries) > 0 {
		t.Errorf("after Close: %v, %v", entries, err)
	}
}

// TestSteps holds the order of what durability rests on. Without one of the syncs, or with one too late, everything works
// until the power fails.
func TestSteps(t *testing.T) {
	dir := t.TempDir()
	steps := func(s *Store, call func() error) string {
		var got []string
		s.trace = func(step, path string) {
			path, err := filepath.Rel(dir, path)
			if err != nil {
				t.Error(err)
			}
			if strings.HasPrefix(path, tempName) {
				path = "temp"
			}
			got = append(got, step+" "+filepath.ToSlash(path))
		}
		defer func() { s.trace = nil }()
		if err := call(); err != nil {
			t.Error(err)
		}
		return strings.Join(got, ", ")
	}
	s, second := open(t, dir), open(t, dir)
	put := func(s *Store, key string) func() error {
		return func() error { return s.Put(t.Context(), key, []byte("x")) }
	}
	for _, c := range []struct{ what, got, want string }{
		{"first put", steps(s, put(s, "a/b/1")), "sync temp, mkdir a, sync ., mkdir a/b, sync a, rename to a/b/1, sync a/b"},
		{"next put", steps(s, put(s, "a/b/2")), "sync temp, rename to a/b/2, sync a/b"},
		// Another store made the folders; it may have died before its syncs.
		{"put of another store", steps(second, put(second, "a/b/3")), "sync temp, mkdir a, sync ., mkdir a/b, sync a, rename to a/b/3, sync a/b"},
		{"put without a folder", steps(s, put(s, "top")), "sync temp, rename to top, sync ."},
		{"delete", steps(s, func() error { return s.Delete(t.Context(), "a/b/1", "a/b/2") }), "unlink a/b/1, unlink a/b/2, sync a/b"},
		{"delete of the last", steps(s, func() error { return s.Delete(t.Context(), "a/b/3") }), "unlink a/b/3, sync ."},
		{"put after it", steps(s, put(s, "a/b/1")), "sync temp, mkdir a, sync ., mkdir a/b, sync a, rename to a/b/1, sync a/b"},
	} {
		if c.got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.what, c.got, c.want)
		}
	}
}

// TestRemovedUnderUs checks that a Put makes again what somebody removed with rm -r.
func TestRemovedUnderUs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for range 2 {
		if err := s.Put(t.Context(), "a/b/c", []byte("x")); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", tempName} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestEmptyFolders checks that Delete takes empty folders along, and none that holds an object.
func TestEmptyFolders(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, k := range []string{"a/b/c/d", "a/x"} {
		if err := s.Put(t.Context(), k, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(t.Context(), "a/b/c/d"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a/b")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a/b is still there: %v", err)
	}
	if _, err := s.Get(t.Context(), "a/x", objstore.Range{}); err != nil {
		t.Error(err)
	}
}

// TestPutBesideDelete lets folders vanish under Puts into them.
func TestPutBesideDelete(t *testing.T) {
	s := open(t, t.TempDir())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			key := fmt.Sprintf("a/b/%d", w)
			for range 50 {
				if err := s.Put(t.Context(), key, []byte(key)); err != nil {
					t.Errorf("put: %v", err)
				}
				if o, err := s.Get(t.Context(), key, objstore.Range{}); err != nil || string(o.Body) != key {
					t.Errorf("get: %q, %v", o.Body, err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("delete: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// TestFolderAndFile checks that a key below another key is refused, and that nothing is left behind.
func TestFolderAndFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(t.Context(), "a/b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "a/b/c", "a/b/c/d"} {
		if err := s.Put(t.Context(), key, nil); !errors.Is(err, objstore.ErrRefused) {
			t.Errorf("put %q: %v, want ErrRefused", key, err)
		}
	}
	var files []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if !e.IsDir() {
			files = append(files, filepath.ToSlash(strings.TrimPrefix(path, dir)))
		}
		return err
	})
	if err != nil || !slices.Equal(files, []string{"/a/b"}) {
		t.Errorf("files: %q, %v", files, err)
	}
}

// TestExplain holds what errors of the file system mean.
func TestExplain(t *testing.T) {
	s := open(t, t.TempDir())
	for _, c := range []struct {
		err  error
		want error
		text string
	}{
		{syscall.ENOSPC, objstore.ErrRefused, "full"},
		{syscall.EDQUOT, objstore.ErrRefused, "quota"},
		{syscall.EACCES, objstore.ErrRefused, "permission"},
		{syscall.EROFS, objstore.ErrRefused, "permission"},
		{syscall.EMFILE, objstore.ErrRefused, "too many open files"},
		{syscall.EIO, objstore.ErrUnknown, "input/output"},
		{syscall.ENOENT, objstore.ErrUnknown, ""},
	} {
		got := s.explain("put", "k", &os.PathError{Op: "write", Path: "x", Err: c.err})
		if !errors.Is(got, c.want) || !errors.Is(got, c.err) || !strings.Contains(got.Error(), c.text) {
			t.Errorf("%v: %v, want %v with %q", c.err, got, c.want, c.text)
		}
	}
}

// TestCutFile checks that a file that somebody shortened is no success.
func TestCutFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(t.Context(), "k", make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "k"), 50); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "k", objstore.Exact(0, 100)); !errors.Is(err, objstore.ErrRange) {
		t.Errorf("get: %v, want ErrRange", err)
	}
}

func TestNewRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := New(file); err == nil {
		t.Error("a file passed for a directory")
	}
}

func BenchmarkPut(b *testing.B) {
	for _, n := range []int{10 << 10, 1 << 20} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := open(b, b.TempDir())
			body := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for i := range b.N {
				if err := s.Put(context.Background(), fmt.Sprintf("c/w/abcd/session/%016x", i), body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
