package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
	"github.com/varvelog/varve/agent/topic"
)

// Metadata (key 3): v0-13.
//
//	v1: racks, controller. v2: cluster id. v4: auto-creation by a flag. v5: offline replicas. v7: leader epochs.
//	v8: authorized operations. v9: flexible. v10: topic ids. v12: look-up by id. v13: an error for the whole.
//
// Answers are kept encoded while the view and the topics stay as they are: see metadataCache.
//
// Differs from Kafka: a topic that is created on the way has its leaders at once; replicas and ISR are the leader alone,
// since a committed object counts as a full set; a topic that is not there has no authorized operations; names beside ids are
// answered too, where Kafka passes over them.

// metadataWaits: a topic that is not known here is looked for in the store, and perhaps created.
func metadataWaits(s *Server, req *kmsg.MetadataRequest) bool {
	for i := range req.Topics {
		t := &req.Topics[i]
		if t.TopicID != [16]byte{} {
			if req.Version >= 12 && s.deps.Topics.LookupID(t.TopicID) == nil {
				return true
			}
		} else if t.Topic != nil && s.deps.Topics.Lookup(*t.Topic) == nil && topic.CheckName(*t.Topic) == nil {
			return true
		}
	}
	return false
}

// admitMetadata answers from the cache, or fills it. What has to wait does so beside the reader: for the other agents' word, and for the
// next leaders of slots, see awaitLeaders; for the store, and that answer is not kept. One of a connection waits for those two at a time:
// what is admitted meanwhile is admitted before the answers are there that nobody may read.
func admitMetadata(c *conn, sl *slot, r kmsg.Request) {
	req, s := r.(*kmsg.MetadataRequest), c.s
	v := s.deps.Cluster.View()
	alone := s.alone(v)
	if alone && patience(v, time.Now(), s.metadataSlots(v, req), s.leaders.longest) <= 0 {
		if !c.answerMetadata(sl, req) {
			c.spawn(func() {
				defer sl.guard()
				run(c, sl, req, (*Server).metadata)
			})
		}
		return
	}
	select {
	case c.news <- struct{}{}:
	case <-c.ctx.Done():
		sl.fatal = true
		c.ring.finish(sl)
		return
	}
	c.spawn(func() {
		defer sl.guard()
		if !c.answerNews(sl, req, alone) {
			run(c, sl, req, (*Server).metadata)
		}
	})
}

// answerNews is answerMetadata once it is known who is there, and who leads. It ends the turn that was taken in c.news.
func (c *conn) answerNews(sl *slot, req *kmsg.MetadataRequest, alone bool) bool {
	defer func() { <-c.news }()
	if !alone {
		c.s.askPeers(c.intake)
	}
	c.s.awaitLeaders(c.intake, c.s.metadataSlots(c.s.deps.Cluster.View(), req), c.s.leaders.longest)
	return c.answerMetadata(sl, req)
}

// answerMetadata answers by the cache, unless that would have to wait for the store.
func (c *conn) answerMetadata(sl *slot, req *kmsg.MetadataRequest) bool {
	s := c.s
	now, key := metadataState{s.deps.Cluster.View(), s.deps.Topics.Changes()}, metadataKey(req)
	e := s.known.lookup(now, key, nil)
	if e == nil {
		if metadataWaits(s, req) {
			return false
		}
		e = s.known.lookup(now, key, s.known.entry(func() *metadataAnswer { return s.encodeMetadata(c.ctx, now.view, req) }))
	}
	a := s.known.answer(key, e)
	for _, code := range a.codes {
		sl.api.m.fail(code)
	}
	c.share(sl, a, req.IsFlexible())
	return true
}

// share completes a slot with a body that others send too. A long one that nobody holds yet is dropped as send drops them, for the sum of
// the bodies that are held: clients that ask for the same and do not read keep one of them in memory, however many they are.
func (c *conn) share(sl *slot, a *metadataAnswer, flexible bool) {
	sl.shared = a
	if n := int64(len(a.body)); a.holders.Add(1) == 1 && c.s.shared.Add(n)-n > c.s.cfg.ResponseBytes && n > largeAnswer {
		sl.unshare()
		sl.drop(len(a.body))
		return
	}
	r := c.s.newReply()
	r.b = appendHeader(r.b, sl, flexible)
	r.frags = append(r.frags, r.b, a.body)
	sl.reply, sl.size = r, int64(len(r.b)+len(a.body))
	putSize(r.b, sl.size)
	c.ring.finish(sl)
}

// unshare ends what share began.
func (sl *slot) unshare() {
	if a := sl.shared; a != nil && a.holders.Add(-1) == 0 {
		sl.c.s.shared.Add(-int64(len(a.body)))
	}
	sl.shared = nil
}

func (s *Server) encodeMetadata(ctx context.Context, v *cluster.View, req *kmsg.MetadataRequest) *metadataAnswer {
	resp := s.metadataIn(ctx, v, req)
	resp.SetVersion(req.Version)
	size, a := 0, &metadataAnswer{}
	for i := range resp.Topics {
		size += 40 + len(resp.Topics[i].Partitions)*metadataPartition
		if code := resp.Topics[i].ErrorCode; code != codeNone {
			a.codes = append(a.codes, code)
		}
	}
	r := s.newReply()
	defer s.recycleReply(r)
	r.b = resp.AppendTo(slices.Grow(r.b, size))
	a.body = slices.Clone(r.b) // no longer than it must be: it stays
	return a
}

// metadataPartition is the most bytes of a partition with one replica, in the versions before the flexible ones.
const metadataPartition = 2 + 4 + 4 + 4 + 2*(4+4) + 4

func (s *Server) metadata(ctx context.Context, req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	return s.metadataIn(ctx, s.deps.Cluster.View(), req)
}

func (s *Server) metadataIn(ctx context.Context, v *cluster.View, req *kmsg.MetadataRequest) *kmsg.MetadataResponse {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	resp := kmsg.NewPtrMetadataResponse()
	for i := range v.Nodes {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = v.Nodes[i].ID, v.Nodes[i].Host, v.Nodes[i].Port, nullable(v.Nodes[i].Zone)
		resp.Brokers = append(resp.Brokers, b)
	}
	id := clusterID(v)
	resp.ClusterID, resp.ControllerID, resp.AuthorizedOperations = &id, v.Controller, math.MinInt32
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	if allTopics(req) {
		all := s.deps.Topics.List()
		resp.Topics = make([]kmsg.MetadataResponseTopic, 0, len(all))
		for _, t := range all {
			resp.Topics = append(resp.Topics, s.describeTopic(v, req, t))
		}
		return resp
	}
	s.namedTopics(ctx, v, req, resp)
	return resp
}

// namedTopics answers for the topics that a request names, each once.
func (s *Server) namedTopics(ctx context.Context, v *cluster.View, req *kmsg.MetadataRequest, resp *kmsg.MetadataResponse) {
	names, ids := map[string]bool{}, map[uuid.UUID]bool{}
	for i := range req.Topics {
		q := &req.Topics[i]
		switch {
		case q.Topic == nil || q.TopicID != [16]byte{}:
			if ids[q.TopicID] {
				continue
			}
			ids[q.TopicID] = true
			resp.Topics = append(resp.Topics, s.topicByID(ctx, v, req, q))
		case !names[*q.Topic]:
			names[*q.Topic] = true
			resp.Topics = append(resp.Topics, s.topicByName(ctx, v, req, *q.Topic))
		}
	}
}

func (s *Server) topicByID(ctx context.Context, v *cluster.View, req *kmsg.MetadataRequest, q *kmsg.MetadataRequestTopic) kmsg.MetadataResponseTopic {
	r := kmsg.NewMetadataResponseTopic()
	r.Topic, r.TopicID, r.AuthorizedOperations = q.Topic, q.TopicID, math.MinInt32
	if req.Version < 12 {
		r.ErrorCode = codeInvalidRequest
		if r.Topic == nil {
			r.Topic = new(string)
		}
		return r
	}
	if t := s.findID(ctx, q.TopicID); t != nil {
		return s.describeTopic(v, req, t)
	}
	r.Topic, r.ErrorCode = nil, codeUnknownTopicID
	return r
}

func (s *Server) topicByName(ctx context.Context, v *cluster.View, req *kmsg.MetadataRequest, name string) kmsg.MetadataResponseTopic {
	t, err := s.findOrCreate(ctx, name, req.Version < 4 || req.AllowAutoTopicCreation)
	if err == nil {
		return s.describeTopic(v, req, t)
	}
	r := kmsg.NewMetadataResponseTopic()
	r.Topic, r.AuthorizedOperations = &name, math.MinInt32
	if r.ErrorCode = codeOf(err, codeLeaderNotAvailable); r.ErrorCode == codeRequestTimedOut {
		r.ErrorCode = codeLeaderNotAvailable // what every client asks again on
	}
	return r
}

// findOrCreate returns a topic, and creates it if the client and the settings allow (ME2).
func (s *Server) findOrCreate(ctx context.Context, name string, create bool) (*topic.Topic, error) {
	if t := s.deps.Topics.Lookup(name); t != nil {
		return t, nil
	}
	if err := topic.CheckName(name); err != nil {
		return nil, err
	}
	t, err := s.deps.Topics.Find(ctx, name)
	if !errors.Is(err, topic.ErrUnknown) || !create || !s.deps.Topics.Settings().AutoCreate() {
		return t, err
	}
	t, err = s.deps.Topics.Create(ctx, topic.Spec{Name: name, Partitions: -1})
	if errors.Is(err, topic.ErrExists) { // somebody else was faster
		return s.deps.Topics.Find(ctx, name)
	}
	if err == nil {
		s.log.Info("topic created for a client that asked for it", "topic", name, "partitions", t.Partitions())
	}
	return t, err
}

// findTime bounds the read for a topic that is not known here.
const findTime = 2 * time.Second

// find returns a topic that a request for its leader names; nil if there is none. One that another agent made a moment ago
// is not in memory yet: then this waits for a read of the store, at most once a second for each name.
func (s *Server) find(ctx context.Context, name string) *topic.Topic {
	if t := s.deps.Topics.Lookup(name); t != nil || topic.CheckName(name) != nil {
		return t
	}
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	t, err := s.deps.Topics.Find(ctx, name)
	if err != nil {
		return nil
	}
	return t
}

// describeTopic lists the partitions of a topic with their leaders, all from one view (ME5).
func (s *Server) describeTopic(v *cluster.View, req *kmsg.MetadataRequest, t *topic.Topic) kmsg.MetadataResponseTopic {
	r := kmsg.NewMetadataResponseTopic()
	r.Topic, r.TopicID, r.AuthorizedOperations = &t.Name, t.ID, math.MinInt32
	if req.IncludeTopicAuthorizedOperations {
		r.AuthorizedOperations = topicOperations
	}
	r.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Slots))
	leaders := make([]int32, len(t.Slots)) // one allocation for all replica lists
	for i, slot := range t.Slots {
		p := &r.Partitions[i]
		p.Default()
		l := leaderOf(v, slot)
		p.Partition, p.Leader, p.LeaderEpoch = int32(i), l.Node, l.Epoch
		if l.Node < 0 {
			p.ErrorCode = codeLeaderNotAvailable
			continue
		}
		leaders[i] = l.Node
		p.Replicas, p.ISR = leaders[i:i+1:i+1], leaders[i:i+1:i+1]
	}
	return r
}

// leaderOf returns who leads a slot, Node -1 if nobody does who can be reached; the epoch is then the last one known, or -1
// (ME3).
func leaderOf(v *cluster.View, slot uint16) cluster.Leader {
	if int(slot) >= len(v.Slots) {
		return cluster.Leader{Node: -1, Epoch: -1}
	}
	l := v.Slots[slot]
	if _, ok := v.Node(l.Node); !ok {
		l.Node = -1
	}
	return l
}

// What a client may do when nobody asks for permission: the operations that Kafka has for a cluster and for a topic, as a
// bit field by their numbers (KIP-430).
const (
	clusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	topicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
)

// clusterID is the cluster's UUID in the form in which Kafka prints UUIDs.
func clusterID(v *cluster.View) string {
	return base64.RawURLEncoding.EncodeToString(v.ClusterID[:])
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
