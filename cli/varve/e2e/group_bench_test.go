//go:build e2e

package e2e

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// beaters are members of groups of the newer protocol that share a connection and do nothing but speak.
type beaters struct {
	nc   net.Conn
	out  *bufio.Writer
	fmt  *kmsg.RequestFormatter
	told atomic.Int64 // answers
	bad  atomic.Int64 // answers that are errors

	mu  sync.Mutex
	all []beater
}

type beater struct {
	group, id string
	epoch     int32
	owned     []kmsg.ConsumerGroupHeartbeatRequestTopic
	says      bool // owned has changed since it said so
	waits     bool // for an answer
}

func newBeaters(b *testing.B, addr string, conn, groups int) *beaters {
	b.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = nc.Close() })
	s := &beaters{nc: nc, out: bufio.NewWriterSize(nc, 64<<10), fmt: kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench"))}
	for g := range groups {
		for m := range 3 {
			s.all = append(s.all, beater{group: fmt.Sprintf("group-%d-%d", conn, g), id: fmt.Sprintf("member-%d-%d-%d", conn, g, m)})
		}
	}
	go s.listen()
	return s
}

// beat has members from..to speak.
func (s *beaters) beat(b *testing.B, from, to int) {
	var frame []byte
	for i := from; i < to; i++ {
		s.mu.Lock()
		m := &s.all[i]
		if m.waits {
			s.mu.Unlock()
			continue
		}
		m.waits = true
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.MemberEpoch = 1, m.group, m.id, m.epoch
		if m.epoch == 0 {
			req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 60_000, []string{"bench"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		} else if m.says {
			req.Topics, m.says = m.owned, false
		}
		frame = s.fmt.AppendRequest(frame[:0], req, int32(i))
		s.mu.Unlock()
		if _, err := s.out.Write(frame); err != nil {
			b.Error(err)
			return
		}
	}
	if err := s.out.Flush(); err != nil {
		b.Error(err)
	}
}

func (s *beaters) listen() {
	in, body := bufio.NewReaderSize(s.nc, 64<<10), []byte(nil)
	for {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint32(size[:]))
		if cap(body) < n {
			body = make([]byte, n)
		}
		if _, err := io.ReadFull(in, body[:n]); err != nil {
			return
		}
		resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
		resp.Version = 1
		err := resp.ReadFrom(body[5:n]) // correlation id, no tags
		s.told.Add(1)
		s.mu.Lock()
		m := &s.all[binary.BigEndian.Uint32(body)]
		m.waits = false
		if err != nil || resp.ErrorCode != 0 {
			s.bad.Add(1)
		} else if m.epoch = resp.MemberEpoch; resp.Assignment != nil {
			m.owned, m.says = []kmsg.ConsumerGroupHeartbeatRequestTopic{}, true
			for _, t := range resp.Assignment.Topics {
				m.owned = append(m.owned, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
			}
		}
		s.mu.Unlock()
	}
}

// BenchmarkGroups is what 10,000 groups of 3 members cost that speak every 3 s over 100 connections.
func BenchmarkGroups(b *testing.B) {
	const conns, turns = 100, 30
	groups := int(benchSetting(b, "VARVE_BENCH_GROUPS", 10_000)) / conns
	a := benchAgent(b, "dev", "--data", b.TempDir(), "--memory-limit", "300MiB")
	all := make([]*beaters, conns)
	for i := range all {
		all[i] = newBeaters(b, a.addr, i, groups)
	}
	round := func() { // 3 s
		for turn := range turns {
			begun := time.Now()
			for _, s := range all {
				s.beat(b, len(s.all)*turn/turns, len(s.all)*(turn+1)/turns)
			}
			time.Sleep(time.Until(begun.Add(3 * time.Second / turns)))
		}
	}
	for range 15 { // join, and settle
		round()
	}
	told := func() (n, bad int64) {
		for _, s := range all {
			n, bad = n+s.told.Load(), bad+s.bad.Load()
		}
		return n, bad
	}
	had, _ := told()
	before := use(b, a)
	for b.Loop() {
		for range 10 {
			round()
		}
	}
	after := use(b, a)
	n, bad := told()
	took := after.at.Sub(before.at).Seconds()
	b.ReportMetric((after.cpu-before.cpu)/took, "cores")
	b.ReportMetric(float64(n-had)/took, "heartbeats/s")
	b.ReportMetric(after.peak, "peak-MiB")
	b.ReportMetric(statusMiB(b, a.cmd.Process.Pid, "VmRSS:"), "MiB")
	b.ReportMetric(float64(bad), "refused")
}
