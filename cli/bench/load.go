package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Acks says what a producer waits for.
type Acks string

// The values of Acks, as producers' settings have them.
const (
	AcksAll  Acks = "all"
	AcksOne  Acks = "1"
	AcksNone Acks = "0"
)

// Spread says how records are spread over partitions.
type Spread string

// The kinds of Spread.
const (
	SpreadSticky Spread = "sticky" // a batch's worth to one partition, then to another: records without keys
	SpreadEach   Spread = "each"   // each record to any partition: records with keys
)

// Load is what a run does. Zero values are not replaced: see DefaultLoad.
type Load struct {
	Rate       float64 // records a second, of all producers together; 0: as many as are answered (closed loop)
	Size       int     // bytes of a record's value
	Partitions int
	Producers  int
	Acks       Acks
	Spread     Spread
	Linger     time.Duration // how long the client waits for a batch to fill
	BatchBytes int           // of the largest batch
	Warmup     time.Duration // not measured
	Duration   time.Duration // measured
	Limit      int64         // bytes of values after which it ends, whatever Duration says, and that a Search does not pass; 0: none
	Seed       uint64
	FanOut     int   // how many readers read everything
	Backlog    int64 // bytes of values that are there before reading begins
	Rounds     int   // how often a backlog is read beside a live tail
	Keep       bool  // leave the topic there
	Hurry      bool  // clients repeat, and look for new leaders, as soon as they can instead of as they do by default
}

// DefaultLoad is what "varve bench" does without flags.
func DefaultLoad() Load {
	return Load{
		Rate: 20_000, Size: 1 << 10, Partitions: 16, Producers: 4, Acks: AcksAll, Spread: SpreadSticky,
		Linger: 5 * time.Millisecond, BatchBytes: 1 << 20, Warmup: 5 * time.Second, Duration: 20 * time.Second,
		Seed: 1, FanOut: 1, Backlog: 256 << 20, Rounds: 1,
	}
}

// Bounds of a Load.
const (
	maxRecord    = 64 << 20
	maxClients   = 1024
	maxParts     = 100_000
	maxRounds    = 100
	maxSpan      = 24 * time.Hour
	bufferedMost = 256 << 20 // bytes that all producers together hold of records that are not answered
)

// Validate says what is wrong with l.
func (l Load) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(l.Rate >= 0 && l.Rate <= 1e8, "rate: %v is not in 0..100,000,000 records a second", l.Rate)
	check(l.Size >= MinRecord && l.Size <= maxRecord, "record size: %d is not in %d..%d bytes", l.Size, MinRecord, maxRecord)
	check(l.Partitions >= 1 && l.Partitions <= maxParts, "partitions: %d is not in 1..%d", l.Partitions, maxParts)
	check(l.Producers >= 1 && l.Producers <= maxClients, "producers: %d is not in 1..%d", l.Producers, maxClients)
	check(l.FanOut >= 1 && l.FanOut <= maxClients, "fan-out: %d is not in 1..%d", l.FanOut, maxClients)
	check(l.Rounds >= 1 && l.Rounds <= maxRounds, "rounds: %d is not in 1..%d", l.Rounds, maxRounds)
	check(l.Duration > 0 && l.Duration <= maxSpan, "duration: %v is not above 0 and at most %v", l.Duration, maxSpan)
	check(l.Warmup >= 0 && l.Warmup <= maxSpan, "warm-up: %v is not in 0..%v", l.Warmup, maxSpan)
	check(l.Limit >= 0, "limit: %d is less than 0", l.Limit)
	check(l.Backlog >= int64(l.Size), "backlog: %d bytes are less than one record", l.Backlog)
	check(l.BatchBytes >= 1<<10 && l.BatchBytes <= 1<<30, "batch size: %d is not in 1KiB..1GiB", l.BatchBytes)
	check(l.Acks == AcksAll || l.Acks == AcksOne || l.Acks == AcksNone, "acks: %q is none of all, 1, 0", l.Acks)
	check(l.Spread == SpreadSticky || l.Spread == SpreadEach, "spread: %q is none of sticky, each", l.Spread)
	return errors.Join(errs...)
}

// options are what the client of a producer is opened with.
func (l Load) options(topic string) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(l.Linger), kgo.ProducerBatchMaxBytes(int32(l.BatchBytes)),
		kgo.MaxBufferedBytes(max(bufferedMost/l.Producers, 2*l.BatchBytes)), kgo.MaxBufferedRecords(1 << 20),
	}
	if l.Hurry {
		opts = append(opts, kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.MetadataMinAge(50*time.Millisecond))
	}
	switch l.Acks {
	case AcksOne:
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case AcksNone:
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	}
	return opts
}

// batchRecords is how many records a batch holds.
func (l Load) batchRecords() int { return max(1, (l.BatchBytes-100)/(l.Size+16)) }
