package memory

import "syscall"

// reserve returns n bytes of address space outside of the Go heap, all zero, or nil. They take memory of the system when they are touched, by
// 2 MiB where it can be: that costs less to clear and to find.
func reserve(n int64) []byte {
	if n <= 0 {
		return nil
	}
	b, err := syscall.Mmap(-1, 0, int(n), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) // an advice: without it, it goes by 4 KiB
	return b
}

// giveBack gives the pages of b back to the system. The addresses stay valid, and read zero: who still looks at a buffer after its last
// release sees wrong bytes, as with any other that was used again.
func giveBack(b []byte) {
	_ = syscall.Madvise(b, syscall.MADV_DONTNEED) // fails only for what is not mapped
}
