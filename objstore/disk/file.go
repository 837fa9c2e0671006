package disk

import (
	"os"
	"syscall"
)

// openFile is os.OpenFile without the registration with the poller, which regular files refuse after six system calls.
// A Put of a known folder takes ten: open, fcntl, write, fsync, close; rename; open, fcntl, fsync, close of the folder.
func openFile(path string, flags int, perm uint32) (*os.File, error) {
	for {
		fd, err := syscall.Open(path, flags|syscall.O_CLOEXEC, perm)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}

// rename is os.Rename without its look at the target first.
func rename(from, to string) error {
	for {
		err := syscall.Rename(from, to)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		return nil
	}
}
