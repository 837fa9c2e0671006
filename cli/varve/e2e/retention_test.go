//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// alter sets configs of a topic while the agent runs; an empty value takes one back.
func alter(t *testing.T, addr, topic string, configs ...string) {
	t.Helper()
	cl := dial(t, addr)
	defer cl.Close()
	var all []kadm.AlterConfig
	for i := 0; i < len(configs); i += 2 {
		c := kadm.AlterConfig{Op: kadm.SetConfig, Name: configs[i], Value: &configs[i+1]}
		if configs[i+1] == "" {
			c.Op = kadm.DeleteConfig
		}
		all = append(all, c)
	}
	if _, err := kadm.NewClient(cl).AlterTopicConfigs(t.Context(), all, topic); err != nil {
		t.Fatal(err)
	}
}

// kept reads a topic that startLoad writes from its start on, and checks that every record from there is there, at its offset.
func kept(t *testing.T, addr, topic string, from []int64) {
	t.Helper()
	got := byPartition(kgoClient{}.consume(t, addr, topic))
	for p, start := range from {
		next := int64(-1)
		for _, r := range got[int32(p)] {
			if next < 0 && r.offset < start || next >= 0 && r.offset != next {
				t.Fatalf("partition %d: offset %d, want %d; the log began at %d", p, r.offset, next, start)
			}
			if want := fmt.Sprintf("%d %d ", p, r.offset); !strings.HasPrefix(string(r.value), want) {
				t.Fatalf("partition %d: offset %d holds %.20q", p, r.offset, r.value)
			}
			next = r.offset + 1
		}
	}
}

// TestRetention: old records go while new ones come, through kills; the start never moves back, nothing behind it is lost, and what is
// gone leaves the bucket. Limits change while the agent runs.
func TestRetention(t *testing.T) {
	t.Parallel()
	onHurried(t, func(t *testing.T, a *agent) {
		const partitions = 2
		createTopic(t, a.addr, "ret", partitions)
		l := startLoad(t, a.addr, "ret", partitions)
		await(t, "segments", func() bool { return a.metric(t, "varve_extents_linked_total") >= 2*partitions })
		for p, at := range offsets(t, a.addr, "ret", false) {
			if at != 0 {
				t.Fatalf("partition %d begins at %d, and keeps everything", p, at)
			}
		}
		alter(t, a.addr, "ret", "retention.ms", "3000")
		was := make([]int64, partitions)
		for range 3 {
			await(t, "old records to go", func() bool {
				is := offsets(t, a.addr, "ret", false)
				for p := range is {
					if is[p] <= was[p] {
						return false
					}
				}
				was = is
				return true
			})
			a.kill(t)
			a.start(t)
			for p, at := range offsets(t, a.addr, "ret", false) {
				if at < was[p] {
					t.Fatalf("partition %d began at %d, after a kill at %d", p, was[p], at)
				}
			}
			kept(t, a.addr, "ret", was)
		}
		l.finish(t)
		ends := offsets(t, a.addr, "ret", true)
		await(t, "everything to go", func() bool { return fmt.Sprint(offsets(t, a.addr, "ret", false)) == fmt.Sprint(ends) })
		// A kill may leave a segment that was not linked yet, of each partition: those are swept once the session has ended.
		await(t, "the bucket to lose the segments", func() bool { return a.objectsOf(t, "t") <= 3*partitions })
		a.stop(t)
		a.sound(t)
		if n := a.objectsOf(t, "t"); n > 0 {
			t.Errorf("%d segments are left of a log that is empty", n)
		}
		a.start(t)

		alter(t, a.addr, "ret", "retention.ms", "-1", "retention.bytes", "200000")
		records := numbered(500, partitions) // 25 KB and more in each partition
		for i := range records {
			records[i].value = fmt.Appendf(nil, "%0100d", i)
		}
		await(t, "the largest part to go", func() bool {
			kgoClient{}.produce(t, a.addr, "ret", "none", records)
			return offsets(t, a.addr, "ret", false)[0] > ends[0]
		})
		if from, to := offsets(t, a.addr, "ret", false)[0], offsets(t, a.addr, "ret", true)[0]; (to-from)*130 < 200_000 {
			t.Errorf("only the records from %d to %d are left", from, to)
		}
		await(t, "all that is left to be in segments", func() bool { return a.metric(t, "varve_unsegmented_bytes") == 0 })
		a.stop(t)
		a.sound(t)
	})
}
