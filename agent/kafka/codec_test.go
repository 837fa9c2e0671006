package kafka

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/fetch"
)

// TestProduceDecode compares the decoder with kmsg, version by version.
func TestProduceDecode(t *testing.T) {
	var p produceRequest
	for version := int16(3); version <= 13; version++ {
		r := rand.New(rand.NewPCG(1, uint64(version)))
		for range 300 {
			req := randomRequest(r, keyProduce, version).(*kmsg.ProduceRequest)
			if r.IntN(4) == 0 && len(req.Topics) > 0 && len(req.Topics[0].Partitions) > 0 {
				req.Topics[0].Partitions[0].Records = nil
			}
			b := req.AppendTo(nil)
			if err := p.decode(cursor{b: b, flex: version >= 9}, version); err != nil {
				t.Fatalf("v%d: %v", version, err)
			}
			compareProduce(t, &p, req)
			for cut := range b {
				if err := p.decode(cursor{b: b[:cut], flex: version >= 9}, version); err == nil && kmsgDecode(0, version, b[:cut]) != nil {
					t.Fatalf("v%d: cut at %d of %d is taken", version, cut, len(b))
				}
			}
		}
	}
}

func compareProduce(t *testing.T, p *produceRequest, req *kmsg.ProduceRequest) {
	t.Helper()
	if p.transactional != (req.TransactionID != nil) || p.transactional && string(p.txnID) != *req.TransactionID {
		t.Fatalf("transactional id %q", p.txnID)
	}
	if p.acks != req.Acks || p.timeout != req.TimeoutMillis || len(p.topics) != len(req.Topics) {
		t.Fatalf("acks %d, time-out %d, %d topics; want %+v", p.acks, p.timeout, len(p.topics), req)
	}
	parts := p.parts
	for i, rt := range req.Topics {
		name := rt.Topic
		if req.Version >= 13 {
			name = string(rt.TopicID[:])
		}
		if string(p.topics[i].name) != name || p.topics[i].parts != len(rt.Partitions) {
			t.Fatalf("topic %q with %d partitions, want %q with %d", p.topics[i].name, p.topics[i].parts, name, len(rt.Partitions))
		}
		for j, rp := range rt.Partitions {
			if parts[j].index != rp.Partition || !bytes.Equal(parts[j].records, rp.Records) || (parts[j].records == nil) != (rp.Records == nil) {
				t.Fatalf("partition %d differs", j)
			}
		}
		parts = parts[len(rt.Partitions):]
	}
	if len(parts) != 0 {
		t.Fatalf("%d partitions too many", len(parts))
	}
}

func text255(r *rand.Rand) string { return string(bytes.Repeat([]byte("n"), r.IntN(255))) }

// TestProduceEncode compares the encoder with kmsg, version by version.
func TestProduceEncode(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		r := rand.New(rand.NewPCG(2, uint64(version)))
		for range 300 {
			var topics []producedTopic
			var results []produceResult
			resp := kmsg.NewPtrProduceResponse()
			resp.Version = version
			for range r.IntN(4) {
				rt := kmsg.NewProduceResponseTopic()
				n, told := r.IntN(4), producedTopic{name: text255(r)}
				if version >= 13 {
					told = producedTopic{id: uuid.UUID{byte(r.Uint32()), 15: byte(r.Uint32())}}
				}
				rt.Topic, rt.TopicID, told.parts = told.name, told.id, n
				topics = append(topics, told)
				for range n {
					res, rp := randomResult(r, version)
					results = append(results, res)
					rt.Partitions = append(rt.Partitions, rp)
					if res.node != nil && version >= 10 {
						addBroker(resp, res.node)
					}
				}
				resp.Topics = append(resp.Topics, rt)
			}
			got := appendProduceEnd(appendProduce(nil, version, topics, results), version, results)
			if want := resp.AppendTo(nil); !bytes.Equal(got, want) {
				t.Fatalf("v%d:\n%x\nwant\n%x", version, got, want)
			}
		}
	}
}

func addBroker(resp *kmsg.ProduceResponse, n *cluster.Node) {
	for _, b := range resp.Brokers {
		if b.NodeID == n.ID {
			return
		}
	}
	b := kmsg.NewProduceResponseBroker()
	b.NodeID, b.Host, b.Port, b.Rack = n.ID, n.Host, n.Port, nullable(n.Zone)
	resp.Brokers = append(resp.Brokers, b)
}

func randomResult(r *rand.Rand, version int16) (produceResult, kmsg.ProduceResponseTopicPartition) {
	res := produceResult{index: r.Int32(), code: int16(r.IntN(100)), base: r.Int64(), appendTime: r.Int64(), logStart: r.Int64(), leader: noLeader}
	if r.IntN(2) == 0 {
		res.message = "m" + text255(r)
	}
	for range r.IntN(3) {
		res.records = append(res.records, r.Int32())
	}
	rp := kmsg.NewProduceResponseTopicPartition()
	if r.IntN(2) == 0 {
		res.code = codeNotLeaderOrFollower
		res.leader = toldLeader{r.Int32N(3), r.Int32()}
		res.node = &cluster.Node{ID: res.leader.node, Host: "h", Port: 9092, Zone: []string{"", "z"}[res.leader.node%2]}
		if version >= 10 {
			rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = res.leader.node, res.leader.epoch
		}
	}
	rp.Partition, rp.ErrorCode, rp.BaseOffset, rp.LogAppendTime, rp.LogStartOffset = res.index, res.code, res.base, res.appendTime, res.logStart
	rp.ErrorMessage = nullable(res.message)
	for _, at := range res.records {
		er := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		er.RelativeOffset = at
		rp.ErrorRecords = append(rp.ErrorRecords, er)
	}
	return res, rp
}

// TestFetchEncode compares the encoder with kmsg, version by version, and holds it to the size it foresees.
func TestFetchEncode(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		r := rand.New(rand.NewPCG(3, uint64(version)))
		for range 300 {
			a := fetchAnswer{version: version, code: int16(r.IntN(100)), session: r.Int32(), committed: r.IntN(2) == 0}
			resp := kmsg.NewPtrFetchResponse()
			resp.Version, resp.ErrorCode, resp.SessionID = version, a.code, a.session
			for n := range r.IntN(5) {
				rt := kmsg.NewFetchResponseTopic()
				key := partKey{topic: text255(r) + string(rune('a'+n))}
				if version >= 13 {
					key = partKey{id: uuid.UUID{byte(n), byte(r.Uint32()), 15: 1}}
				}
				rt.Topic, rt.TopicID = key.topic, key.id
				for range 1 + r.IntN(4) {
					rt.Partitions = append(rt.Partitions, randomFetched(r, &a, key))
				}
				resp.Topics = append(resp.Topics, rt)
			}
			for _, n := range a.nodes {
				b := kmsg.NewFetchResponseBroker()
				b.NodeID, b.Host, b.Port, b.Rack = n.ID, n.Host, n.Port, nullable(n.Zone)
				resp.Brokers = append(resp.Brokers, b)
			}
			head := []byte("head")
			dst := make([]byte, 0, len(head)+a.most())
			dst, frags := a.appendTo(append(dst, head...), nil)
			if cap(dst) != len(head)+a.most() {
				t.Fatalf("v%d: %d bytes, more than the %d foreseen", version, len(dst), a.most())
			}
			got, want := bytes.Join(frags, nil), append(head, resp.AppendTo(nil)...)
			if !bytes.Equal(got, want) {
				t.Fatalf("v%d:\n%x\nwant\n%x", version, got, want)
			}
		}
	}
}

func randomFetched(r *rand.Rand, a *fetchAnswer, key partKey) kmsg.FetchResponseTopicPartition {
	key.index = r.Int32()
	res := fetchResult{key: key, hw: r.Int64(), stable: r.Int64(), start: r.Int64(), from: len(a.slices), divergent: divergence{epoch: -1}, leader: noLeader}
	rp := kmsg.NewFetchResponseTopicPartition()
	rp.RecordBatches = []byte{}
	if r.IntN(3) == 0 {
		res.code = int16(1 + r.IntN(100))
	}
	if r.IntN(3) == 0 && a.version >= 12 {
		res.divergent = divergence{r.Int32(), r.Int64()}
		rp.DivergingEpoch.Epoch, rp.DivergingEpoch.EndOffset = res.divergent.epoch, res.divergent.end
	}
	if r.IntN(3) == 0 && a.version >= 16 {
		res.leader = toldLeader{r.Int32N(3), r.Int32()}
		rp.CurrentLeader.LeaderID, rp.CurrentLeader.LeaderEpoch = res.leader.node, res.leader.epoch
		a.nodes = addNode(a.nodes, &cluster.Node{ID: res.leader.node, Host: strings.Repeat("h", 200), Port: 9092, Zone: []string{"", "z"}[res.leader.node%2]})
	}
	for range r.IntN(3) {
		b := bytes.Repeat([]byte("r"), 1+r.IntN(300))
		a.slices = append(a.slices, fetch.Slice{Bytes: b})
		rp.RecordBatches = append(rp.RecordBatches, b...)
	}
	res.to, res.size = len(a.slices), len(rp.RecordBatches)
	if a.committed && res.code == codeNone {
		rp.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
	}
	rp.Partition, rp.ErrorCode, rp.HighWatermark, rp.LastStableOffset, rp.LogStartOffset = key.index, res.code, res.hw, res.stable, res.start
	a.results = append(a.results, res)
	return rp
}
