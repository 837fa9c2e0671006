//go:build e2e

package s3test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/varvelog/varve/localstack/servers"
)

// BenchmarkPut measures an upload; cpu-s/GiB is what this process used, the server aside.
func BenchmarkPut(b *testing.B, open Open) {
	for _, size := range []int{64 << 10, 8 << 20} {
		for name, change := range map[string]func(*Config){
			"unsigned":        func(*Config) {},
			"unsigned,crc32c": func(c *Config) { c.Checksum = true },
			"signed":          func(c *Config) { c.SignPayload = true },
		} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, name), func(b *testing.B) {
				s, _ := Bucket(b, open, servers.MinIO(b).HTTP, change)
				body := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				runtime.GC()
				b.ResetTimer()
				start := cpu(b)
				for range b.N {
					if err := s.Put(b.Context(), "k", body); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric((cpu(b)-start).Seconds()/(float64(size)*float64(b.N)/(1<<30)), "cpu-s/GiB")
			})
		}
	}
}

// cpu returns the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
