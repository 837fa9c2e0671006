//go:build race

package memory

// poison overwrites buffers at their last release, so that a test under the race detector sees a use after it.
const poison = true
