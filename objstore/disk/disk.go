// Package disk is an object store in a local directory, for `varve dev`, small installations and tests. The object of key
// "a/b/c" is the file a/b/c below the directory, so that the usual tools can look at it.
//
// Atomic and durable: a Put writes a temporary file, syncs it, renames it into place and syncs the folder, so that a crash
// or a power cut leaves the old object or the new one. A folder is made durable in its own parent before a file enters it.
//
// Temporary files lie in .varve-tmp/<random>/, one such folder per open store, held by flock(2). The kernel lets go of the
// lock however a process ends, so New can clean up after the dead without touching the living: a tool may open the
// directory while an agent writes to it.
//
// Two keys of which one is a folder of the other ("a" and "a/b") cannot both exist; the second Put is refused. Keys whose
// first segment is .varve-tmp are refused too.
//
// Locks: mkdir is held over making and removing folders, mu over the map of known folders only. Order: mkdir, mu.
package disk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/varvelog/varve/objstore"
)

// Store is an objstore.Store in a directory.
type Store struct {
	root  string
	trace func(step, path string) // hears of each step that durability rests on; nil outside of tests
	mkdir sync.Mutex
	mu    struct {
		sync.Mutex
		temp    *tempDir            // made at the first Put
		durable map[string]struct{} // folders whose entries in all their parents were synced by this store
	}
}

// New opens a store in dir, which is made if it does not exist, and removes what crashed processes left half-written.
func New(dir string) (*Store, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("open object store: %w", err)
	}
	if err := cleanTemp(root); err != nil {
		return nil, fmt.Errorf("clean object store: %w", err)
	}
	s := &Store{root: root}
	s.mu.durable = map[string]struct{}{}
	return s, nil
}

// Close removes the store's folder of temporary files and lets go of its lock. No other call may run then or later.
// A store that is not closed leaves that to the next New.
func (s *Store) Close() error {
	s.mu.Lock()
	t := s.mu.temp
	s.mu.temp = nil
	s.mu.Unlock()
	if t == nil {
		return nil
	}
	return t.close()
}

func (s *Store) note(step, path string) {
	if s.trace != nil {
		s.trace(step, path)
	}
}

// path returns the file of a key that CheckKey took.
func (s *Store) path(key string) string { return filepath.Join(s.root, filepath.FromSlash(key)) }

// check refuses what objstore.Check refuses, and keys that would lie among the temporary files.
func check(ctx context.Context, keys ...string) error {
	if err := objstore.Check(ctx, keys...); err != nil {
		return err
	}
	for _, key := range keys {
		if first, _, _ := strings.Cut(key, "/"); strings.EqualFold(first, tempName) {
			return fmt.Errorf("%w: key %q lies in the folder of temporary files", objstore.ErrRefused, key)
		}
	}
	return nil
}

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, key); err != nil {
		return err
	}
	temp, err := s.writeTemp(body)
	if err != nil {
		return s.explain("put", key, err)
	}
	if err := s.publish(temp, s.path(key)); err != nil {
		os.Remove(temp)
		return s.explain("put", key, err)
	}
	return nil
}

// writeTemp stores body durably in a new temporary file.
func (s *Store) writeTemp(body []byte) (string, error) {
	f, err := s.createTemp()
	if err != nil {
		return "", err
	}
	_, err = f.Write(body)
	if err == nil {
		s.note("sync", f.Name())
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// publish renames temp to path and makes that durable.
func (s *Store) publish(temp, path string) error {
	dir := filepath.Dir(path)
	for try := 1; ; try++ {
		if err := s.ensureDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.note("rename to", path)
		err := rename(temp, path)
		if err == nil {
			break
		}
		// A Delete, or somebody else, may have removed the folder.
		if !errors.Is(err, fs.ErrNotExist) || try == 10 {
			return err
		}
		s.forget(dir)
	}
	if err := s.syncDir(dir); err != nil {
		return fmt.Errorf("%w: sync %s: %w", objstore.ErrUnknown, dir, err) // readers see it already
	}
	return nil
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (objstore.Object, error) {
	if err := check(ctx, key); err != nil {
		return objstore.Object{}, err
	}
	o, err := read(s.path(key), r)
	if err != nil {
		return objstore.Object{}, s.explain("get", key, err)
	}
	return o, nil
}

// read returns a range of a file. An open file keeps its bytes whatever Put and Delete do to its name.
func read(path string, r objstore.Range) (objstore.Object, error) {
	f, err := openFile(path, os.O_RDONLY, 0)
	if err != nil {
		return objstore.Object{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return objstore.Object{}, err
	}
	if st.IsDir() {
		return objstore.Object{}, fs.ErrNotExist
	}
	off, n, err := r.Resolve(st.Size())
	if err != nil {
		return objstore.Object{}, err
	}
	var src io.Reader = io.NewSectionReader(f, off, n)
	if r.IsScattered() {
		src = bufio.NewReaderSize(src, 64<<10) // a slice may be small, a system call for each would cost more than its bytes
	}
	o, err := r.Read(src, n, st.Size())
	if err != nil && errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // somebody cut the file under us
	}
	return o, err
}

// Delete implements objstore.Store. Folders that become empty are removed.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if err := objstore.CheckDelete(ctx, keys); err != nil {
		return err
	}
	if err := check(ctx, keys...); err != nil {
		return err
	}
	var failed objstore.DeleteError
	fail := func(key string, err error) {
		if len(failed.Keys) == 0 {
			failed.Reason = s.explain("delete", key, err)
		}
		failed.Keys = append(failed.Keys, key)
	}
	removed := map[string][]string{} // by folder
	for i, key := range keys {
		if err := objstore.Ended(ctx); err != nil {
			failed = objstore.DeleteError{Keys: keys[i:], Reason: err}
			break
		}
		path := s.path(key)
		s.note("unlink", path)
		switch err := syscall.Unlink(path); {
		case err == nil:
			dir := filepath.Dir(path)
			removed[dir] = append(removed[dir], key)
		case !absent(err):
			fail(key, err)
		}
	}
	for dir, keys := range removed {
		if err := s.afterDelete(dir); err != nil {
			for _, key := range keys {
				fail(key, err)
			}
		}
	}
	if len(failed.Keys) > 0 {
		return &failed
	}
	return nil
}

// absent reports whether err of a call on a key's path says that there is no such object: no file, a folder, or a file
// where the key has a folder.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)
}

// explain turns an error of the file system into one of the contract.
func (s *Store) explain(op, key string, err error) error {
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	switch {
	case is(objstore.ErrRange, objstore.ErrUnknown):
		return err
	case op == "get" && absent(err):
		return objstore.ErrNotFound
	case is(syscall.ENOSPC, syscall.EDQUOT):
		return fmt.Errorf("%w: %s %q: the disk that holds %s is full (or a quota is): %w", objstore.ErrRefused, op, key, s.root, err)
	case is(syscall.EROFS, fs.ErrPermission):
		return fmt.Errorf("%w: %s %q: no permission below %s: %w", objstore.ErrRefused, op, key, s.root, err)
	case is(syscall.EISDIR, syscall.ENOTDIR, syscall.EEXIST, syscall.ENOTEMPTY):
		return fmt.Errorf("%w: %s %q: a file and a folder of one name: %w", objstore.ErrRefused, op, key, err)
	case is(syscall.ENAMETOOLONG, syscall.EMFILE, syscall.ENFILE, syscall.EXDEV):
		return fmt.Errorf("%w: %s %q: %w", objstore.ErrRefused, op, key, err)
	}
	return fmt.Errorf("%w: %s %q: %w", objstore.ErrUnknown, op, key, err)
}
