package kafka

import (
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// FuzzFetches: Fetches of two connections open sessions, change, mistake and close them, by names and by ids, while records
// come in. A session answers what it was asked for and nothing else, and none outlives its connection.
func FuzzFetches(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 1, 0, 2, 0, 1, 1, 3, 7, 1})
	f.Add([]byte{1, 0, 9, 2, 5, 1, 0x41, 3, 0x42, 1, 0x80, 2, 0xff, 0, 1, 1, 1, 1})
	f.Add([]byte{2, 2, 2, 0xc3, 0xc3, 0xc3, 0x13, 0x11, 0x55, 0xaa, 0x05, 0x01, 0x02, 0x03})
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 512 {
			return
		}
		cfg := fuzzConfig
		cfg.SessionMax = 6
		w := newWorld(t, option{auto: true, cache: 1 << 20, cfg: cfg})
		tops := []uuid.UUID{w.topic("t", 3).ID, w.topic("u", 1).ID, {9}}
		w.bounded(t, func() {
			a, b := newFetcher(t, w, tops), newFetcher(t, w, tops)
			for in := (&tape{in}); len(in.b) > 0; {
				who := a
				if in.byte()%4 == 0 {
					who = b
				}
				who.step(in)
			}
			_, _ = a.c.nc.Close(), b.c.nc.Close()
		})
	})
}

// fetcher is one connection and the session that it believes to have.
type fetcher struct {
	c         *client
	tops      []uuid.UUID
	id, epoch int32
	asked     map[[2]int32]bool // topic and partition, of the session
}

func newFetcher(t *testing.T, w *world, tops []uuid.UUID) *fetcher {
	near, far := socketpair(t)
	w.s.accept(t.Context(), near)
	return &fetcher{c: &client{t: t, nc: far}, tops: tops, asked: map[[2]int32]bool{}}
}

// step sends one request and checks its answer.
func (f *fetcher) step(in *tape) {
	op := in.byte()
	if op%8 == 7 {
		p := produced(call[*kmsg.ProduceResponse](f.c, producing(9, "t", append([]byte(nil), goodBatch...))))
		if p.ErrorCode != 0 {
			f.c.t.Fatalf("produce: %+v", p)
		}
		return
	}
	byID := op&0x40 != 0
	req := fetching(11, "")
	if byID {
		req.Version = 13
	}
	req.Topics, req.SessionID, req.SessionEpoch = nil, f.id, f.epoch
	full := false
	switch op % 8 {
	case 0:
		req.SessionEpoch, full = 0, true
	case 1:
		req.SessionEpoch, full = -1, true
	case 2:
		req.SessionEpoch += int32(in.byte()) - 128
		full = req.SessionEpoch == 0 || req.SessionEpoch == -1
	case 3:
		req.SessionID = int32(in.byte())
	}
	full = full || f.epoch == 0 && req.SessionEpoch == 0
	now := map[[2]int32]bool{}
	if !full {
		for k := range f.asked {
			now[k] = true
		}
	}
	for n := in.below(5); n > 0; n-- {
		f.mention(req, in, now)
	}
	f.check(req, call[*kmsg.FetchResponse](f.c, req), now)
}

// mention adds a partition to a request, or forgets one.
func (f *fetcher) mention(req *kmsg.FetchRequest, in *tape, now map[[2]int32]bool) {
	b := in.byte()
	top, index := int32(b%3), int32(b>>2%5)-1
	name := []string{"t", "u", "nobody"}[top]
	if b&0x80 != 0 {
		ft := kmsg.NewFetchRequestForgottenTopic()
		ft.Topic, ft.TopicID, ft.Partitions = name, f.tops[top], []int32{index}
		req.ForgottenTopics = append(req.ForgottenTopics, ft)
		return
	}
	rt, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	rt.Topic, rt.TopicID = name, f.tops[top]
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = index, int64(in.byte())-1, 1<<20
	rt.Partitions = append(rt.Partitions, p)
	req.Topics = append(req.Topics, rt)
	now[[2]int32{top, index}] = true
}

// check holds an answer against what was asked for. now is that, with what the request may have forgotten.
func (f *fetcher) check(req *kmsg.FetchRequest, resp *kmsg.FetchResponse, now map[[2]int32]bool) {
	t := f.c.t
	switch resp.ErrorCode {
	case codeNone:
	case codeFetchSessionIDNotFound, codeInvalidFetchSessionEpoch, codeFetchSessionTopicID:
		if len(resp.Topics) > 0 {
			t.Fatalf("code %d with %d topics", resp.ErrorCode, len(resp.Topics))
		}
		f.id, f.epoch = 0, 0
		return
	default:
		t.Fatalf("code %d", resp.ErrorCode)
	}
	for i := range resp.Topics {
		top := int32(-1)
		for n, name := range []string{"t", "u", "nobody"} {
			if req.Version < 13 && resp.Topics[i].Topic == name || req.Version >= 13 && resp.Topics[i].TopicID == f.tops[n] {
				top = int32(n)
			}
		}
		for _, p := range resp.Topics[i].Partitions {
			if !now[[2]int32{top, p.Partition}] {
				t.Fatalf("partition %d of topic %d was not asked for", p.Partition, top)
			}
		}
	}
	f.id, f.epoch = resp.SessionID, nextEpoch(max(req.SessionEpoch, 0))
	if resp.SessionID == 0 {
		f.epoch = 0
	}
	f.asked = now
}
