package main

import "testing"

// TestGCPercent: garbage is in proportion to what lives besides pooled buffers, which no collection frees.
func TestGCPercent(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ live, buffers, want int64 }{
		{0, 0, gcMost}, {8 * mib, 0, 300}, {8 * mib, 200 * mib, 200},
		{216 * mib, 200 * mib, 14},        // 16 MiB besides: 32 MiB of garbage
		{400 * mib, 200 * mib, 54},        // 200 MiB besides: 216 MiB
		{2000 * mib, 1990 * mib, gcLeast}, // not less, whatever it takes
		{1000 * mib, 10 * mib, 100},       // a heap without buffers
		{200 * mib, 400 * mib, gcLeast},   // made since: the next collection knows more
	} {
		if got := gcPercent(c.live, c.buffers); int64(got) != c.want {
			t.Errorf("%d MiB live, %d in buffers: GOGC %d, want %d", c.live/mib, c.buffers/mib, got, c.want)
		}
	}
}
