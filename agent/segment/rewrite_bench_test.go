package segment

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	objmem "github.com/varvelog/varve/objstore/mem"
)

// cpu returns the CPU time of this process, in user mode and in the system.
func cpu(tb testing.TB) (user, system time.Duration) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano()), time.Duration(u.Stime.Nano())
}

// BenchmarkRewrite is what packs and segments cost in CPU, for each GiB that was written, with a store in memory that copies what it gives. 16
// partitions go through packs, one does not.
func BenchmarkRewrite(b *testing.B) {
	for _, partitions := range []int{16, 1} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			var spent, kernel time.Duration
			var bytes int64
			var kept, keptKernel time.Duration // of the iterations before
			var sum int64
			for b.Loop() {
				r := newRig(b)
				r.inner = objmem.NewReserved(3 << 29) // for packs: the store's pages are not what is measured
				r.brief = true
				r.cfg = Config{}
				names := r.topic("a", partitions)
				store := &countingStore{Store: r.inner, keys: r.keys}
				r.objects = store
				r.open()
				first := uint64(1)
				round := func(d time.Duration) {
					user, system := cpu(b)
					r.round(d)
					u, s := cpu(b)
					spent, kernel = spent+u-user+s-system, kernel+s-system
					r.seq-- // it commits by itself
					r.dropPacked(&first)
				}
				for i := range 24 + 128 {
					for k := range 64 {
						r.again(names[k%len(names)], 128<<10)
					}
					r.flush()
					if i == 24 { // what comes first pays for its memory, and is left out
						spent, kernel, bytes = kept, keptKernel, sum
					}
					bytes += 8 << 20
					if i%12 == 11 {
						round(time.Second)
					}
				}
				round(time.Minute)
				round(6 * time.Hour)
				kept, keptKernel, sum = spent, kernel, bytes
			}
			b.ReportMetric(spent.Seconds()/(float64(bytes)/(1<<30)), "cpu-s/GiB")
			b.ReportMetric(kernel.Seconds()/(float64(bytes)/(1<<30)), "sys-s/GiB")
		})
	}
}
