package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxDurable bounds the map of known folders. When it is full it is forgotten, which costs a few syncs.
const maxDurable = 1 << 16

// ensureDir makes dir, and makes sure that a power cut does not take it or a parent of it. Once per folder that costs a
// sync of each parent, also if the folder is there: a process that made it may have died before its sync.
func (s *Store) ensureDir(dir string) error {
	if dir == s.root || s.isDurable(dir) {
		return nil
	}
	s.mkdir.Lock()
	defer s.mkdir.Unlock()
	return s.ensureLocked(dir)
}

func (s *Store) ensureLocked(dir string) error {
	if dir == s.root || s.isDurable(dir) {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := s.ensureLocked(parent); err != nil {
		return err
	}
	s.note("mkdir", dir)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.syncDir(parent); err != nil {
		return err
	}
	s.mu.Lock()
	if len(s.mu.durable) >= maxDurable {
		clear(s.mu.durable)
	}
	s.mu.durable[dir] = struct{}{}
	s.mu.Unlock()
	return nil
}

func (s *Store) isDurable(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.mu.durable[dir]
	return ok
}

// forget makes the next ensureDir look at dir and its parents again.
func (s *Store) forget(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; dir != s.root; dir = filepath.Dir(dir) {
		delete(s.mu.durable, dir)
	}
}

// afterDelete makes the removal of files of dir durable, and removes dir and its parents as far as they are empty. A Put
// that meets a folder that is gone calls forget and tries again.
func (s *Store) afterDelete(dir string) error {
	s.mkdir.Lock()
	defer s.mkdir.Unlock()
	for ; dir != s.root; dir = filepath.Dir(dir) {
		// ENOENT: another Delete was first; its sync is done, since it held the lock. Go on, and sync what is left.
		if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break // not empty, most likely; any other reason shows in the sync
		}
		s.mu.Lock()
		delete(s.mu.durable, dir)
		s.mu.Unlock()
	}
	return s.syncDir(dir)
}

// syncDir makes the entries of a folder durable.
func (s *Store) syncDir(dir string) error {
	s.note("sync", dir)
	f, err := openFile(dir, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	err = f.Sync()
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
