// Pure.

package bench

import (
	"math/rand/v2"
	"time"
)

// schedule is when the records of one producer are to be sent: a Poisson process, as many independent senders make one.
type schedule struct {
	rng  *rand.Rand
	gap  float64 // mean time between two records, ns
	next float64 // ns after the start
}

// newSchedule draws from seed; perSecond is the rate of this producer alone.
func newSchedule(seed, producer uint64, perSecond float64) *schedule {
	s := &schedule{rng: rand.New(rand.NewPCG(seed, producer)), gap: 1e9 / perSecond}
	s.next = s.gap * s.rng.ExpFloat64()
	return s
}

// take returns when the next record is to be sent, counted from the start of the run.
func (s *schedule) take() time.Duration {
	at := s.next
	s.next += s.gap * s.rng.ExpFloat64()
	return time.Duration(at)
}
