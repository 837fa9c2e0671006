package kafka

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/cluster"
)

// maxMetadataCache bounds the bytes of the answers in a metadataCache; 1,000,000 partitions take 26 MB in one version. What
// does not fit beside others takes their place; what is larger is made anew each time.
const maxMetadataCache = 32 << 20

// metadataEntryCost is what an entry takes besides its bytes, about.
const metadataEntryCost = 256

// metadataCache keeps encoded answers to Metadata for as long as what they say is so: clients ask for the same few sets of
// topics again and again, and most do when something changes. An answer is a function of the view, the topics and the
// request, if all topics that it names are known.
type metadataCache struct {
	limit int64
	made  atomic.Int64 // answers encoded, for the tests
	mu    struct {
		sync.Mutex
		state   metadataState
		entries map[string]*metadataEntry // by metadataKey
		bytes   int64                     // of complete entries, at most limit
	}
}

// metadataState is what all entries are about. A view is never changed, so that it is its own version.
type metadataState struct {
	view   *cluster.View
	topics int64 // topic.Catalog.Changes, taken before the topics were read
}

// metadataEntry is one answer.
type metadataEntry struct {
	get  func() *metadataAnswer // encodes once, for whoever comes first; the others wait
	kept int64                  // bytes of it in metadataCache.mu.bytes, 0 before it is complete; under metadataCache.mu
}

// metadataAnswer is never changed: the connections that send it share it.
type metadataAnswer struct {
	body    []byte       // without the header
	codes   []int16      // errors of topics, for the metrics
	holders atomic.Int64 // answers that are made of it and not written
}

func newMetadataCache(limit int64) *metadataCache {
	m := &metadataCache{limit: limit}
	m.mu.entries = map[string]*metadataEntry{}
	return m
}

// entry returns one that encode completes, for lookup to put in place.
func (m *metadataCache) entry(encode func() *metadataAnswer) *metadataEntry {
	return &metadataEntry{get: sync.OnceValue(func() *metadataAnswer {
		m.made.Add(1)
		return encode()
	})}
}

// lookup returns the entry of key. Entries of another state are let go of. If there is none, e is put in its place.
func (m *metadataCache) lookup(now metadataState, key string, e *metadataEntry) *metadataEntry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.state != now {
		clear(m.mu.entries)
		m.mu.state, m.mu.bytes = now, 0
	}
	if have := m.mu.entries[key]; have != nil {
		return have
	}
	if e != nil {
		m.mu.entries[key] = e
	}
	return e
}

// answer returns the answer of e, and counts its bytes once they are there.
func (m *metadataCache) answer(key string, e *metadataEntry) *metadataAnswer {
	a := e.get()
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.kept > 0 || m.mu.entries[key] != e {
		return a
	}
	size := int64(len(key) + cap(a.body) + metadataEntryCost)
	if size > m.limit {
		delete(m.mu.entries, key)
		return a
	}
	for k, other := range m.mu.entries { // in no order: clients ask for what they ask for about equally often
		if m.mu.bytes+size <= m.limit {
			break
		}
		if other.kept > 0 {
			delete(m.mu.entries, k)
			m.mu.bytes -= other.kept
		}
	}
	e.kept = size
	m.mu.bytes += size
	return a
}

// metadataKey is what the answer to a request depends on, beside the state.
func metadataKey(req *kmsg.MetadataRequest) string {
	b := []byte{byte(req.Version), bit(req.IncludeClusterAuthorizedOperations) | bit(req.IncludeTopicAuthorizedOperations)<<1}
	if allTopics(req) {
		return string(append(b, 'a'))
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		b = append(b, t.TopicID[:]...)
		if t.Topic == nil {
			b = append(b, 'i')
			continue
		}
		b = binary.AppendUvarint(append(b, 'n'), uint64(len(*t.Topic)))
		b = append(b, *t.Topic...)
	}
	return string(b)
}

// allTopics: v0 says so by an empty list, the others by none (ME1).
func allTopics(req *kmsg.MetadataRequest) bool {
	return req.Topics == nil || req.Version == 0 && len(req.Topics) == 0
}
