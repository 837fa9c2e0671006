// Pure.

package wal

import (
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/objstore/bundle"
)

// Steps is what decides in a Log, without its goroutines, stores and clock: a simulation drives it event by event, so that a seed
// replays exactly. What it lays out, writes and makes of an answer is what a Log does.
type Steps struct {
	cfg    Config
	key    metastore.Key
	policy policy
	prefix *prefix
	trim   trim
}

// NewSteps returns the Steps of a session that has written nothing.
func NewSteps(cfg Config) *Steps {
	cfg.defaults()
	return &Steps{
		cfg: cfg, key: cfg.Cluster.SessionKey(cfg.Session), prefix: newPrefix(),
		policy: policy{interval: cfg.Interval, bytes: cfg.FlushBytes, inFlight: cfg.InFlight, ahead: uint64(cfg.Ahead)},
		trim:   trim{cluster: cfg.Cluster, session: cfg.Session, grace: cfg.Grace},
	}
}

// Waiting is what a Log knows when it asks whether to flush.
type Waiting struct {
	Entries   int   // batches and control operations
	Bytes     int64 // of batches
	LastFlush time.Time
	Flying    int    // PUTs under way
	Next      uint64 // sequence number of the next flush
	Hurry     bool   // a barrier waits
}

// Flush says whether to cut a bundle now, and if not, when to look again; 0: when something happens.
func (s *Steps) Flush(w Waiting, now time.Time) (flush bool, again time.Duration) {
	return s.policy.decide(buffered{
		entries: w.Entries, bytes: w.Bytes, lastFlush: w.LastFlush, flying: w.Flying, next: w.Next,
		committed: s.prefix.committed, hurry: w.Hurry,
	}, now)
}

// Bundle lays entries, which it sorts, and control operations out as bundle seq. object is all of it, body the length without
// the footer.
func (s *Steps) Bundle(seq uint64, entries []Entry, ops []Control) (object []byte, f *bundle.Footer, body int) {
	sortEntries(entries)
	f = layOut(entries)
	for _, c := range ops {
		addOp(f, c)
	}
	object = bundle.AppendHeader(nil, s.header(seq))
	for i := range entries {
		object = append(object, entries[i].Batch...)
	}
	body = len(object)
	return bundle.AppendFooter(object, bundle.WAL, f), f, body
}

func (s *Steps) header(seq uint64) bundle.Header {
	return bundle.Header{Kind: bundle.WAL, Cluster: s.cfg.ClusterID, Session: s.cfg.Session, Seq: seq}
}

// Snapshot lays f out as a snapshot of the state after bundle seq.
func (s *Steps) Snapshot(seq uint64, f *bundle.Footer) []byte {
	h := s.header(seq)
	h.Kind = bundle.SNAP
	return bundle.AppendFooter(bundle.AppendHeader(nil, h), bundle.SNAP, f)
}

// Landed notes that bundle seq is durable.
func (s *Steps) Landed(seq uint64) { s.prefix.landed(seq) }

// Committed is the last bundle that is known to be in the log.
func (s *Steps) Committed() uint64 { return s.prefix.committed }

// Commit returns the write that commits the durable prefix, up to target; ok is false if there is nothing to commit.
func (s *Steps) Commit() (op metastore.Op, target uint64, ok bool) {
	target = s.prefix.durable
	return commitOp(s.key, target), target, target > s.prefix.committed
}

// Heartbeat returns the write that is a sign of life.
func (s *Steps) Heartbeat() metastore.Op { return heartbeatOp(s.key) }

// Outcome is what the answer to a commit or heartbeat means.
type Outcome uint8

// The outcomes. After Unknown the write is repeated, with the same or a larger target.
const (
	Unknown = Outcome(unknown)
	Success = Outcome(success)
	Fenced  = Outcome(fenced)
)

// Judge says what an answer to Commit, or to Heartbeat (target 0), means, and which bundle is the last one in the log.
func (s *Steps) Judge(err error, target uint64) (o Outcome, committed uint64) {
	v, committed := s.prefix.judge(err, target)
	return Outcome(v), committed
}

// Applied notes that bundle seq, the next one, was told to everybody.
func (s *Steps) Applied(seq uint64) { s.prefix.committed = seq }

// Name returns the write that names a durable snapshot in the session item, and JudgeName what its answer means.
func (s *Steps) Name(seq uint64, id uuid.UUID) metastore.Op { return snapOp(s.key, seq, id) }

// JudgeName returns nil if the item names the snapshot, else as Log.Snapshot.
func (s *Steps) JudgeName(err error, id uuid.UUID) error { return judgeSnap(err, id) }

// Trim returns the transaction that says that nobody needs bundles below seq; none if that is known.
func (s *Steps) Trim(seq uint64, pins int64, now time.Time) []metastore.Op {
	return s.trim.ops(seq, pins, now)
}

// JudgeTrim returns nil if the item says so, else as Log.Trim.
func (s *Steps) JudgeTrim(err error, seq uint64) error { return s.trim.judge(err, seq) }
