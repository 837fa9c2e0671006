package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
)

// tempName is the folder below the root that holds the folders of temporary files.
const tempName = ".varve-tmp"

// tempDir is the folder for the temporary files of one open store. Its lock says that the store lives.
type tempDir struct {
	path  string
	lock  *os.File
	files atomic.Uint64 // names files
}

// newTempDir makes and locks a folder below root.
func newTempDir(root string) (*tempDir, error) {
	parent, err := lockTemp(root)
	if err != nil {
		return nil, err
	}
	defer parent.Close() // which unlocks
	path, err := os.MkdirTemp(parent.Name(), "")
	if err != nil {
		return nil, err
	}
	lock, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &tempDir{path: path, lock: lock}, nil
}

// create makes a new file.
func (t *tempDir) create() (*os.File, error) {
	name := filepath.Join(t.path, strconv.FormatUint(t.files.Add(1), 36))
	return openFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
}

// close removes the folder and unlocks it.
func (t *tempDir) close() error {
	err := os.RemoveAll(t.path)
	if e := t.lock.Close(); err == nil {
		err = e
	}
	return err
}

// createTemp makes a new temporary file, and the folder for it at the first call, or after somebody removed it.
func (s *Store) createTemp() (*os.File, error) {
	for try := 1; ; try++ {
		t, err := s.temp()
		if err != nil {
			return nil, err
		}
		f, err := t.create()
		if err == nil || !errors.Is(err, fs.ErrNotExist) || try == 3 {
			return f, err
		}
		s.mu.Lock()
		if s.mu.temp == t {
			s.mu.temp = nil
			t.lock.Close()
		}
		s.mu.Unlock()
	}
}

func (s *Store) temp() (*tempDir, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.temp == nil {
		t, err := newTempDir(s.root)
		if err != nil {
			return nil, err
		}
		s.mu.temp = t
	}
	return s.mu.temp, nil
}

// lockTemp makes the parent of all temporary folders and waits for its lock, which is held only while one of them is made
// or looked at. Closing the file unlocks it.
func lockTemp(root string) (*os.File, error) {
	path := filepath.Join(root, tempName)
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return f, nil
		}
		if err != syscall.EINTR {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}

// cleanTemp removes the temporary folders below root that no living process holds.
func cleanTemp(root string) error {
	entries, err := os.ReadDir(filepath.Join(root, tempName))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	parent, err := lockTemp(root)
	if err != nil {
		return err
	}
	defer parent.Close()
	for _, e := range entries {
		path := filepath.Join(parent.Name(), e.Name())
		lock, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			err = os.RemoveAll(path)
		} else if errors.Is(err, syscall.EWOULDBLOCK) {
			err = nil // its store lives
		}
		lock.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
