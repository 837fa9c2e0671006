//go:build e2e

package e2e

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// beaters are members of groups that share a connection and do nothing but speak.
type beaters struct {
	nc   net.Conn
	out  *bufio.Writer
	fmt  *kmsg.RequestFormatter
	told atomic.Int64 // answers
	bad  atomic.Int64 // answers that are errors

	mu  sync.Mutex
	all []beater
}

// speaker is a member of either protocol.
type speaker interface {
	// next is the member's next request.
	next() kmsg.Request
	// hear takes the answer to it, after its correlation id; false: it is an error.
	hear(body []byte) bool
}

type beater struct {
	speaker
	waits bool // for an answer
}

// newerBeater speaks ConsumerGroupHeartbeat.
type newerBeater struct {
	group, id string
	epoch     int32
	owned     []kmsg.ConsumerGroupHeartbeatRequestTopic
	says      bool // owned has changed since it said so
}

func (m *newerBeater) next() kmsg.Request {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch = 1, m.group, m.id, m.epoch
	if m.epoch == 0 {
		req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 60_000, []string{"bench"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	} else if m.says {
		req.Topics, m.says = m.owned, false
	}
	return req
}

func (m *newerBeater) hear(body []byte) bool {
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.Version = 1
	if err := resp.ReadFrom(body[1:]); err != nil || resp.ErrorCode != 0 { // no tags
		return false
	}
	if m.epoch = resp.MemberEpoch; resp.Assignment != nil {
		m.owned, m.says = []kmsg.ConsumerGroupHeartbeatRequestTopic{}, true
		for _, t := range resp.Assignment.Topics {
			m.owned = append(m.owned, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
	return true
}

// classicBeater joins with versions of before KIP-394 and without an assignor that anybody knows, syncs, and beats.
type classicBeater struct {
	group, id  string
	generation int32
	members    []string // of the leader, who assigns
	last       kmsg.Request
	joined     bool
	synced     bool
}

func (m *classicBeater) next() kmsg.Request {
	switch {
	case !m.joined:
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.Group, req.MemberID, req.ProtocolType = 3, m.group, m.id, "consumer"
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 900_000, 60_000 // none may be over before the last member has joined
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: make([]byte, 30)}}
		m.last = req
	case !m.synced:
		req := kmsg.NewPtrSyncGroupRequest()
		req.Version, req.Group, req.MemberID, req.Generation = 2, m.group, m.id, m.generation
		for _, id := range m.members {
			req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: make([]byte, 40)})
		}
		m.last = req
	default:
		req := kmsg.NewPtrHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.Generation = 3, m.group, m.id, m.generation
		m.last = req
	}
	return m.last
}

func (m *classicBeater) hear(body []byte) bool {
	resp := m.last.ResponseKind()
	resp.SetVersion(m.last.GetVersion())
	if resp.ReadFrom(body) != nil {
		return false
	}
	code := int16(0)
	switch resp := resp.(type) {
	case *kmsg.JoinGroupResponse:
		code, m.joined, m.synced, m.members = resp.ErrorCode, resp.ErrorCode == 0, false, nil
		m.id, m.generation = resp.MemberID, resp.Generation
		for _, o := range resp.Members {
			m.members = append(m.members, o.MemberID)
		}
	case *kmsg.SyncGroupResponse:
		code, m.synced = resp.ErrorCode, resp.ErrorCode == 0
	case *kmsg.HeartbeatResponse:
		code = resp.ErrorCode
	}
	if code != 0 {
		m.joined = false
	}
	if code == kerr.UnknownMemberID.Code {
		m.id = ""
	}
	return code == 0
}

// joinAtOnce is how many members join on connections of their own at once: on one that they share the first that waits for others would keep
// all behind it from their answers.
const joinAtOnce = 600

// enter has a classic member join and sync.
func (m *classicBeater) enter(addr string) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return err
	}
	f := kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench"))
	for !m.synced {
		if _, err := nc.Write(f.AppendRequest(nil, m.next(), 0)); err != nil {
			return err
		}
		var size [4]byte
		if _, err := io.ReadFull(nc, size[:]); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(nc, body); err != nil {
			return err
		}
		m.hear(body[4:])
	}
	return nil
}

// enterAll has all classic members join, group by group.
func enterAll(b *testing.B, addr string, all []*beaters) {
	b.Helper()
	var members []*classicBeater
	for _, s := range all {
		for i := range s.all {
			if m, ok := s.all[i].speaker.(*classicBeater); ok {
				members = append(members, m)
			}
		}
	}
	for some := range slices.Chunk(members, joinAtOnce) {
		errs := make([]error, len(some))
		var wg sync.WaitGroup
		for i, m := range some {
			wg.Go(func() { errs[i] = m.enter(addr) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			b.Fatal(err)
		}
	}
}

func newBeaters(b *testing.B, addr string, conn, groups int, newer bool) *beaters {
	b.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = nc.Close() })
	s := &beaters{nc: nc, out: bufio.NewWriterSize(nc, 64<<10), fmt: kmsg.NewRequestFormatter(kmsg.FormatterClientID("bench"))}
	for g := range groups {
		for m := range 3 {
			name := fmt.Sprintf("group-%d-%d", conn, g)
			if newer {
				s.all = append(s.all, beater{speaker: &newerBeater{group: name, id: fmt.Sprintf("member-%d-%d-%d", conn, g, m)}})
			} else {
				s.all = append(s.all, beater{speaker: &classicBeater{group: name}})
			}
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
		frame = s.fmt.AppendRequest(frame[:0], m.next(), int32(i))
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
		s.told.Add(1)
		s.mu.Lock()
		m := &s.all[binary.BigEndian.Uint32(body)]
		m.waits = false
		if !m.hear(body[4:n]) {
			s.bad.Add(1)
		}
		s.mu.Unlock()
	}
}

// BenchmarkGroups is what 10,000 groups of 3 members cost that speak every 3 s over 100 connections.
func BenchmarkGroups(b *testing.B) {
	b.Run("classic", func(b *testing.B) { benchGroups(b, false) })
	b.Run("consumer", func(b *testing.B) { benchGroups(b, true) })
}

func benchGroups(b *testing.B, newer bool) {
	const conns, turns = 100, 30
	groups := int(benchSetting(b, "VARVE_BENCH_GROUPS", 10_000)) / conns
	a := benchAgent(b, "dev", "--data", b.TempDir(), "--memory-limit", "300MiB", "--set", "group.initial.rebalance.delay.ms=1000")
	all := make([]*beaters, conns)
	for i := range all {
		all[i] = newBeaters(b, a.addr, i, groups, newer)
	}
	enterAll(b, a.addr, all)
	round := func() { // 3 s
		for turn := range turns {
			begun := time.Now()
			for _, s := range all {
				s.beat(b, len(s.all)*turn/turns, len(s.all)*(turn+1)/turns)
			}
			time.Sleep(time.Until(begun.Add(3 * time.Second / turns)))
		}
	}
	for range 15 { // members of the newer protocol join, and settle
		round()
	}
	told := func() (n, bad int64) {
		for _, s := range all {
			n, bad = n+s.told.Load(), bad+s.bad.Load()
		}
		return n, bad
	}
	had, refused := told()
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
	b.ReportMetric(float64(bad-refused), "refused")
}
