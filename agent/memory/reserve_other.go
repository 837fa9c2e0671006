//go:build !linux

package memory

// reserve returns nil: large buffers come from the Go heap.
func reserve(int64) []byte { return nil }

func giveBack([]byte) {}
