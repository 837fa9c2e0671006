package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Requests of few bytes whose answers would be long.

// TestAnswersDoNotRepeat: who names one thing a thousand times is told of it once.
func TestAnswersDoNotRepeat(t *testing.T) {
	w := newWorld(t, option{})
	top := w.topic("t", 1)
	c := w.dial()
	joined := call[*kmsg.JoinGroupResponse](c, joining("g", "", bytes.Repeat([]byte("m"), 100_000)))
	call[*kmsg.SyncGroupResponse](c, syncing("g", joined.MemberID, joined.Generation, nil))
	commit := committing(8, "offsets", "", -1, top)
	commit.Topics[0].Partitions[0].Metadata = ptr(strings.Repeat("m", 4000))
	if code := call[*kmsg.OffsetCommitResponse](c, commit).Topics[0].Partitions[0].ErrorCode; code != codeNone {
		t.Fatalf("commit: code %d", code)
	}
	const n = 5000
	groups, consumers, some, all := kmsg.NewPtrDescribeGroupsRequest(), kmsg.NewPtrConsumerGroupDescribeRequest(), kmsg.NewPtrOffsetFetchRequest(), kmsg.NewPtrOffsetFetchRequest()
	groups.Version, consumers.Version, some.Version, all.Version = 5, 1, 9, 9
	part := kmsg.NewOffsetFetchRequestGroupTopic()
	part.Topic = "t"
	for range n {
		groups.Groups, consumers.Groups = append(groups.Groups, "g"), append(consumers.Groups, "g")
		part.Partitions = append(part.Partitions, 0)
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = "offsets"
		all.Groups = append(all.Groups, g)
	}
	one := kmsg.NewOffsetFetchRequestGroup()
	one.Group, one.Topics = "offsets", []kmsg.OffsetFetchRequestGroupTopic{part, part}
	some.Groups = append(some.Groups, one)
	for _, req := range []kmsg.Request{groups, consumers, some, all} {
		resp := receive[kmsg.Response](c, req, c.send(req))
		if size := len(resp.AppendTo(nil)); size > 200_000 {
			t.Errorf("%s v%d: an answer of %d bytes", kmsg.NameForKey(req.Key()), req.GetVersion(), size)
		}
		if r, ok := resp.(*kmsg.OffsetFetchResponse); ok && (r.Groups[0].ErrorCode != codeNone || r.Groups[0].Topics[0].Partitions[0].Offset != 3) {
			t.Errorf("the first is not told: %+v", r.Groups[0])
		}
	}
}

// TestLongAnswersThatNobodyReads: clients ask for the configs of many agents, with documentation, megabytes each, and read nothing. No
// more answers are kept than there is room for; a client that reads is served.
func TestLongAnswersThatNobodyReads(t *testing.T) {
	const clients, room = 5, 2 << 20
	w := newWorld(t, option{cfg: Config{ResponseBytes: room, ConfigBytes: 64 << 20}})
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version, req.IncludeDocumentation, req.IncludeSynonyms = 4, true, true
	for i := range 60 / raceFactor {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, fmt.Sprint(i)
		req.Resources = append(req.Resources, r)
	}
	size := int64(len(call[*kmsg.DescribeConfigsResponse](w.dial(), req).AppendTo(nil)))
	var deaf []net.Conn
	for range clients {
		near, far := socketpair(t)
		t.Cleanup(func() { _ = far.Close() })
		w.s.accept(t.Context(), near)
		_, err := far.Write(encode(req, 1))
		must(t, err)
		deaf = append(deaf, far)
	}
	eventually(t, "all are answered or cut off", func() bool {
		all, waiting := w.s.conns(), 0
		for _, c := range all {
			c.ring.mu.Lock()
			if c.ring.unread > 0 {
				waiting++
			}
			c.ring.mu.Unlock()
		}
		return waiting == len(all)-1
	})
	kept := w.s.unread.Load()
	if most := room + int64(cap(w.s.long))*size; kept > most || kept == 0 {
		t.Errorf("%d bytes wait for who does not read, in answers of %d; at most %d", kept, size, most)
	}
	t.Logf("answers of %d bytes; %d bytes kept of %d", size, kept, clients*size)
	call[*kmsg.MetadataResponse](w.dial(), metadataOf(9))
	for _, far := range deaf {
		_ = far.Close()
	}
}

// TestLongMetadataThatNobodyReads: clients that ask for the same long Metadata and read nothing keep one body; those that each ask for
// another one are cut off when there is no more room for theirs, and nothing of all that stays.
func TestLongMetadataThatNobodyReads(t *testing.T) {
	const clients, room = 6, 2 << 20
	w := newWorld(t, option{cfg: Config{ResponseBytes: room}})
	for n := range 5 {
		w.topic(fmt.Sprint("t", n), 9_000)
	}
	all := func(version int16) *kmsg.MetadataRequest {
		req := metadataOf(version)
		req.Topics = nil
		return req
	}
	size := int64(len(call[*kmsg.MetadataResponse](w.dial(), all(9)).AppendTo(nil)))
	if size <= largeAnswer {
		t.Fatalf("%d bytes are no long answer", size)
	}
	deaf := func(version func(n int) int16) (far []net.Conn) {
		for n := range clients {
			near, f := socketpair(t)
			t.Cleanup(func() { _ = f.Close() })
			w.s.accept(t.Context(), near)
			_, err := f.Write(encode(all(version(n)), 1))
			must(t, err)
			far = append(far, f)
		}
		return far
	}
	waiting := func() (n int) {
		for _, c := range w.s.conns() {
			c.ring.mu.Lock()
			if c.ring.unread > 0 {
				n++
			}
			c.ring.mu.Unlock()
		}
		return n
	}
	leave := func(all []net.Conn) {
		for _, f := range all {
			_ = f.Close()
		}
		eventually(t, "nothing is kept", func() bool { return w.s.shared.Load() == 0 && w.s.unread.Load() == 0 })
	}
	same := deaf(func(int) int16 { return 9 })
	eventually(t, "all have an answer that waits", func() bool { return waiting() == clients })
	if got := w.s.shared.Load(); got <= largeAnswer || got > size {
		t.Errorf("%d bytes for one body of %d", got, size)
	}
	leave(same)
	others := deaf(func(n int) int16 { return int16(n + 7) })
	eventually(t, "some are cut off", func() bool { return len(w.s.conns()) < clients+1 && waiting() == len(w.s.conns())-1 })
	if got := w.s.shared.Load(); got > room+2*size || waiting() == 0 {
		t.Errorf("%d bytes are kept, of %d who wait", got, waiting())
	}
	leave(others)
}

// TestNobodyMakesTurnsLongByLeaving: a client has left when the turn of its request comes. The request is not done; those of clients that are
// there are, whether they have sent more meanwhile, more than is read ahead, or nothing.
func TestNobodyMakesTurnsLongByLeaving(t *testing.T) {
	w := newWorld(t, option{})
	for range cap(w.s.long) {
		w.s.long <- struct{}{}
	}
	in := w.s.lookup(19).m.inFlight
	for i, who := range []string{"left-", "quiet-", "more-", "much-"} {
		create := creating(7)
		for n := range 101 {
			create.Topics = append(create.Topics, newTopic(fmt.Sprint(who, n), 1, 1))
		}
		c := w.dial()
		c.send(create)
		eventually(t, "it waits", func() bool { return counterValue(in) == float64(i+1) })
		switch who {
		case "left-":
			must(t, c.nc.Close())
		case "more-":
			c.send(metadataOf(9))
		case "much-":
			for range 2 * readBuffer / 20 {
				c.send(metadataOf(9))
			}
		}
	}
	for range cap(w.s.long) {
		<-w.s.long
	}
	eventually(t, "nothing waits", func() bool { return counterValue(in) == 0 })
	for _, who := range []string{"left-", "quiet-", "more-", "much-"} {
		if made := w.topics.Lookup(who+"0") != nil; made != (who != "left-") {
			t.Errorf("%s0 was made: %v", who, made)
		}
	}
}

// TestLongAnswersAreMadeInTurn: while others make long answers, one more waits, and with it nothing but what is behind it; a short one
// does not wait. It is nothing to them that one of those that wait has left.
func TestLongAnswersAreMadeInTurn(t *testing.T) {
	w := newWorld(t, option{})
	for range cap(w.s.long) {
		w.s.long <- struct{}{}
	}
	configs := func(n int) *kmsg.DescribeConfigsRequest {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Version = 4
		for range n {
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeBroker, "1", []string{"num.partitions"}
			req.Resources = append(req.Resources, r)
		}
		return req
	}
	create := creating(7, newTopic("a", 1, 1))
	for i := range 101 {
		create.Topics = append(create.Topics, newTopic(fmt.Sprint("t", i), 1, 1))
	}
	create.ValidateOnly = true
	for _, req := range []kmsg.Request{configs(101), create} {
		waits, leaves := w.dial(), w.dial()
		id := waits.send(req)
		leaves.send(req)
		in := w.s.lookup(req.Key()).m.inFlight
		eventually(t, "both wait", func() bool { return counterValue(in) == 2 })
		_ = leaves.nc.Close()
		call[*kmsg.DescribeConfigsResponse](w.dial(), configs(100))
		eventually(t, "both wait still", func() bool { return counterValue(in) == 2 })
		<-w.s.long
		receive[kmsg.Response](waits, req, id)
		eventually(t, "nothing waits", func() bool { return counterValue(in) == 0 })
		w.s.long <- struct{}{}
	}
	for range cap(w.s.long) {
		<-w.s.long
	}
}

// TestConfigsInOneAnswerAreBounded: however many resources a request names, and with whatever they are told.
func TestConfigsInOneAnswerAreBounded(t *testing.T) {
	w := newWorld(t, option{cfg: Config{ConfigBytes: 1 << 20}})
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Version, req.IncludeDocumentation, req.IncludeSynonyms = 4, true, true
	for i := range 30 {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, fmt.Sprint(i)
		req.Resources = append(req.Resources, r)
	}
	resp := call[*kmsg.DescribeConfigsResponse](w.dial(), req)
	told := 0
	for _, r := range resp.Resources {
		switch {
		case r.ErrorCode == codeNone && len(r.Configs) > 0:
			told++
		case r.ErrorCode != codeInvalidRequest || !strings.Contains(*r.ErrorMessage, "ask for fewer"):
			t.Fatalf("%s: code %d, %d configs", r.ResourceName, r.ErrorCode, len(r.Configs))
		}
	}
	if size := len(resp.AppendTo(nil)); size > 2<<20 || told == 0 || told == 30 {
		t.Errorf("%d bytes, %d of 30 resources told", size, told)
	}
}

// TestLongestNames: names as long as the protocol has them come back in answers, beside other words, that are still well-formed.
func TestLongestNames(t *testing.T) {
	w := newWorld(t, option{auto: true})
	w.topic("t", 1)
	longest := []string{strings.Repeat("n", longestString), strings.Repeat("\x00", longestString), strings.Repeat("é", longestString/2) + "\xff"}
	answered := 0
	for _, a := range dispatch() {
		for n, name := range longest {
			for seed := range uint64(4 / raceFactor) {
				for _, version := range []int16{a.floor, a.flexible - 1, a.max} {
					if version >= a.floor {
						answered += w.longestNames(&a, version, name, rand.New(rand.NewPCG(seed, uint64(n))))
					}
				}
			}
		}
	}
	t.Logf("%d answered", answered)
	if answered == 0 {
		t.Error("nothing was answered")
	}
}

// longestNames sends a request all of whose names are the same and checks what is answered, if it is.
func (w *world) longestNames(a *api, version int16, name string, r *rand.Rand) (answered int) {
	req := named(a, version, name, r)
	if q, ok := req.(*kmsg.JoinGroupRequest); ok {
		q.Group, q.SessionTimeoutMillis, q.RebalanceTimeoutMillis, q.MemberID = uuid.NewString(), 10_000, 1, ""
		q.ProtocolType, q.Protocols = "connect", []kmsg.JoinGroupRequestProtocol{{Name: "p", Metadata: []byte("m")}}
	}
	return w.sendNamed(a, req, name)
}

// TestStringsBeyondTheProtocol: lengths of flexible versions could be larger than those of others, in which what was said would be told
// to somebody else.
func TestStringsBeyondTheProtocol(t *testing.T) {
	w := newWorld(t, option{})
	for _, long := range []int{longestString, longestString + 1} {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorKeys = 4, []string{strings.Repeat("g", long)}
		b := w.dial().exchange(encode(req, 1))
		if closed := b == nil; closed != (long > longestString) {
			t.Errorf("%d bytes: closed: %v", long, closed)
		}
		if b != nil && binary.BigEndian.Uint32(b[4:]) != 1 {
			t.Errorf("answer %x", b[:12])
		}
	}
}
