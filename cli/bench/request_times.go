package bench

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The keys of the requests that are timed.
const (
	produceKey = 0
	fetchKey   = 1
)

// requestTimes times requests of one key, from the first byte written to the last byte of the answer. It is a hook of kgo.
type requestTimes struct {
	key    int16
	counts func(time.Time) bool
	mu     sync.Mutex // requests to several servers end at once
	h      Histogram
}

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (r *requestTimes) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if key != r.key || e.Err() != nil || !r.counts(time.Now()) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Observe(e.TimeToWrite + e.ReadWait + e.TimeToRead)
}
