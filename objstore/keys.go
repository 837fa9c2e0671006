// Pure.

package objstore

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// The kinds of keys, as the letter (or word) that follows the root.
const (
	KindWAL      = "w"      // <h>/<session>/<seq>
	KindSnapshot = "s"      // <h>/<session>/<seq>-<id>
	KindPack     = "k"      // <h>/<id>
	KindSegment  = "t"      // <h>/<topic>/<partition>/<base>-<id>
	KindData     = "d"      // <h>/<session>/<seq>
	KindStart    = "_start" // <n>
	KindProbe    = "_probe" // <id>
)

// Limits of a key. 1,024 bytes is what S3 takes; a file system takes 255 bytes a segment, of which disk keeps some back.
const (
	MaxKey        = 1024
	MaxKeySegment = 240
)

// ErrKey says that a string is not a key of this cluster, or of Varve at all. Leave the object alone.
var ErrKey = errors.New("not a key of this cluster")

// Keys builds and parses the keys of one cluster in one bucket:
//
//	<prefix>/<cluster>/<kind>/<h>/...
//
// <h> is four hex digits of a hash of what follows it, so that keys spread over the request partitions of S3, which splits
// by key prefix. Numbers are fixed-width hex, so that byte order is number order. Two Keys are equal if they are ==.
type Keys struct {
	Prefix  string // in front of everything, without a slash at either end; may be empty, may hold slashes
	Cluster string // the cluster's name, without slashes
}

// Validate reports whether keys built with k can be stored and parsed. It matches ErrRefused if not.
func (k Keys) Validate() error {
	if k.Cluster == "" || strings.Contains(k.Cluster, "/") {
		return fmt.Errorf("%w: cluster name %q is empty or has a slash", ErrRefused, k.Cluster)
	}
	// The longest of our keys is a segment's.
	return CheckKey(k.Segment(uuid.Nil, 0, 0, uuid.Nil))
}

// Root returns what all keys of the cluster start with, a slash at its end.
func (k Keys) Root() string {
	if k.Prefix == "" {
		return k.Cluster + "/"
	}
	return k.Prefix + "/" + k.Cluster + "/"
}

// WAL returns the key of bundle seq of a session's WAL.
func (k Keys) WAL(session uuid.UUID, seq uint64) string {
	return k.WALPrefix(session) + hex16(seq)
}

// WALPrefix returns what the WAL keys of a session start with, and no other keys.
func (k Keys) WALPrefix(session uuid.UUID) string { return k.dir(KindWAL, session) }

// Snapshot returns the key of a snapshot of a session's state after WAL bundle seq. The id tells tries apart.
func (k Keys) Snapshot(session uuid.UUID, seq uint64, id uuid.UUID) string {
	return k.SnapshotPrefix(session) + hex16(seq) + "-" + id.String()
}

// SnapshotPrefix returns what the snapshot keys of a session start with, and no other keys.
func (k Keys) SnapshotPrefix(session uuid.UUID) string { return k.dir(KindSnapshot, session) }

// Data returns the key of zone-ingest object seq of a session.
func (k Keys) Data(session uuid.UUID, seq uint64) string { return k.DataPrefix(session) + hex16(seq) }

// DataPrefix returns what the zone-ingest keys of a session start with, and no other keys.
func (k Keys) DataPrefix(session uuid.UUID) string { return k.dir(KindData, session) }

// Pack returns the key of a pack.
func (k Keys) Pack(id uuid.UUID) string {
	return k.Root() + KindPack + "/" + hash4(id[:]) + "/" + id.String()
}

// Segment returns the key of a segment of a partition whose first offset is base >= 0. The id tells rewrites apart.
func (k Keys) Segment(topic uuid.UUID, partition int32, base int64, id uuid.UUID) string {
	return k.SegmentPrefix(topic, partition) + hex16(uint64(base)) + "-" + id.String()
}

// MergedID marks the id of a segment that is written to take the place of several that the table names: such a one may be linked below
// where a partition's extents end, and whoever finds it without a name has to know that. It is a UUID of version 8 (RFC 9562, 5.8) then;
// all other ids are random, of version 4.
func MergedID(id uuid.UUID) uuid.UUID {
	id[6] = id[6]&0x0f | 0x80
	return id
}

// Merged reports whether p is a segment whose id MergedID has marked.
func (p Parsed) Merged() bool { return p.Kind == KindSegment && p.ID.Version() == 8 }

// SegmentPrefix returns what the segment keys of a partition start with, and no other keys.
func (k Keys) SegmentPrefix(topic uuid.UUID, partition int32) string {
	var b [20]byte
	copy(b[:], topic[:])
	binary.BigEndian.PutUint32(b[16:], uint32(partition))
	return k.Root() + KindSegment + "/" + hash4(b[:]) + "/" + topic.String() + "/" + hex.EncodeToString(b[16:]) + "/"
}

// Start returns the key of the mark that session start n >= 0 leaves, by which a table older than its bucket is noticed.
func (k Keys) Start(n int64) string { return k.Root() + KindStart + "/" + hex16(uint64(n)) }

// Probe returns the key of an object that a start-up probe writes and removes.
func (k Keys) Probe(id uuid.UUID) string { return k.Root() + KindProbe + "/" + id.String() }

func (k Keys) dir(kind string, session uuid.UUID) string {
	return k.Root() + kind + "/" + hash4(session[:]) + "/" + session.String() + "/"
}

// Parsed is what a key says. Fields that its kind does not have are zero.
type Parsed struct {
	Keys      Keys
	Kind      string    // one of the Kind constants
	Session   uuid.UUID // w, s, d
	Seq       uint64    // w, s, d; _start: n
	ID        uuid.UUID // s, k, t, _probe
	Topic     uuid.UUID // t
	Partition int32     // t
	Base      int64     // t
}

// Key builds the key again. Parse(p.Key()) == p for every p that Parse returned.
func (p Parsed) Key() string {
	switch p.Kind {
	case KindWAL:
		return p.Keys.WAL(p.Session, p.Seq)
	case KindSnapshot:
		return p.Keys.Snapshot(p.Session, p.Seq, p.ID)
	case KindData:
		return p.Keys.Data(p.Session, p.Seq)
	case KindPack:
		return p.Keys.Pack(p.ID)
	case KindSegment:
		return p.Keys.Segment(p.Topic, p.Partition, p.Base, p.ID)
	case KindStart:
		return p.Keys.Start(int64(p.Seq))
	case KindProbe:
		return p.Keys.Probe(p.ID)
	}
	return ""
}

// Parse takes a key of this cluster apart; ErrKey if it is none. Only what the builders above return is a key: other
// spellings of the same numbers, and a wrong <h>, are refused.
func (k Keys) Parse(key string) (Parsed, error) {
	p, err := Parse(key)
	if err != nil {
		return Parsed{}, err
	}
	if p.Keys != k {
		return Parsed{}, fmt.Errorf("%w: %q does not start with %q", ErrKey, key, k.Root())
	}
	return p, nil
}

// Parse takes a key of any cluster apart, for tools that are handed a key alone; ErrKey if it is none.
func Parse(key string) (Parsed, error) {
	p, ok := parse(key)
	// Building it again checks the hash and the spelling of every number at once.
	if !ok || p.Key() != key {
		return Parsed{}, fmt.Errorf("%w: %q", ErrKey, key)
	}
	return p, nil
}

// parse reads key from its end, since the prefix may hold anything. It accepts more spellings than are legal.
func parse(key string) (p Parsed, ok bool) {
	segs := strings.Split(key, "/")
	at := func(i int) string { // segment i from the end, 1 is the last
		if i > len(segs) {
			return ""
		}
		return segs[len(segs)-i]
	}
	num, id, _ := strings.Cut(at(1), "-")
	var root int // how many segments follow the root
	switch {
	case at(2) == KindStart:
		root, p.Seq, ok = 2, unhex(num), true
	case at(2) == KindProbe:
		root = 2
		p.ID, ok = parseUUID(at(1))
	case at(3) == KindPack:
		root = 3
		p.ID, ok = parseUUID(at(1))
	case at(4) == KindWAL || at(4) == KindData:
		root, p.Seq = 4, unhex(num)
		p.Session, ok = parseUUID(at(2))
	case at(4) == KindSnapshot:
		root, p.Seq = 4, unhex(num)
		p.Session, _ = parseUUID(at(2))
		p.ID, ok = parseUUID(id)
	case at(5) == KindSegment:
		root, p.Base, p.Partition = 5, int64(unhex(num)), int32(uint32(unhex(at(2))))
		p.Topic, _ = parseUUID(at(3))
		p.ID, ok = parseUUID(id)
		ok = ok && p.Base >= 0 && p.Partition >= 0
	}
	if !ok || len(segs) == root {
		return Parsed{}, false
	}
	p.Kind = at(root)
	p.Keys.Cluster = at(root + 1)
	p.Keys.Prefix = strings.Join(segs[:len(segs)-root-1], "/")
	return p, p.Keys.Cluster != ""
}

func parseUUID(s string) (uuid.UUID, bool) {
	u, err := uuid.Parse(s)
	return u, err == nil
}

// unhex returns 0 for what is no number; building the key again finds that out.
func unhex(s string) uint64 {
	n, _ := strconv.ParseUint(s, 16, 64)
	return n
}

// hex16 returns n as 16 hex digits.
func hex16(n uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return hex.EncodeToString(b[:])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// hash4 returns four hex digits that spread well: half of a CRC-32C. Changing it orphans every object.
func hash4(b []byte) string {
	var h [2]byte
	binary.BigEndian.PutUint16(h[:], uint16(crc32.Checksum(b, castagnoli)))
	return hex.EncodeToString(h[:])
}

// CheckKey returns an error that matches ErrRefused unless key is one that every store takes: 1 to MaxKey bytes of UTF-8
// without control characters; segments between slashes of 1 to MaxKeySegment bytes, none of them "." or "..".
// S3 takes more, but MinIO, file systems and listings in XML do not.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > MaxKey {
		return fmt.Errorf("%w: a key of %d bytes", ErrRefused, len(key))
	}
	if !utf8.ValidString(key) {
		return fmt.Errorf("%w: key %q is not UTF-8", ErrRefused, key)
	}
	start := 0
	for i := 0; i <= len(key); i++ {
		if i < len(key) && key[i] != '/' {
			if key[i] < ' ' || key[i] == 0x7f {
				return fmt.Errorf("%w: key %q has a control character", ErrRefused, key)
			}
			continue
		}
		if s := key[start:i]; s == "" || s == "." || s == ".." || len(s) > MaxKeySegment {
			return fmt.Errorf("%w: key %q has the segment %q", ErrRefused, key, s)
		}
		start = i + 1
	}
	return nil
}
