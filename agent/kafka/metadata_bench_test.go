package kafka

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// cpuTime is what this process took of the processors so far.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	must(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMetadata is an answer of 10,000 partitions in 100 topics over loopback, in the last version before the flexible
// ones and in the newest.
func BenchmarkMetadata(b *testing.B) {
	for _, version := range []int16{8, 13} {
		b.Run(fmt.Sprintf("v%d", version), func(b *testing.B) {
			w := newWorld(b, option{})
			for i := range 100 {
				w.topic(fmt.Sprintf("topic-%d", i), 100)
			}
			c := w.dial()
			req := kmsg.NewPtrMetadataRequest()
			req.Version = version
			frame := encode(req, 1)
			buf := make([]byte, 1<<20)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpuTime(b)
			for range b.N {
				if _, err := c.nc.Write(frame); err != nil {
					b.Fatal(err)
				}
				c.discard(buf)
			}
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op") // the client's too
		})
	}
}
