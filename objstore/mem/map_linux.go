package mem

import "syscall"

// mapped returns n bytes of memory outside of the Go heap, all pages present, and what gives them back; from the heap when
// the system has none to give.
func mapped(n int) ([]byte, func([]byte)) {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_POPULATE)
	if err != nil {
		return make([]byte, n), nil
	}
	return b, func(b []byte) { _ = syscall.Munmap(b) } // fails only for bytes that are not mapped
}
