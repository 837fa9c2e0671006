//go:build !race

package memory

// poison is on under the race detector only.
const poison = false
