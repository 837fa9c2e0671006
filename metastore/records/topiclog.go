// Pure.

package records

import (
	"fmt"

	"github.com/varvelog/varve/metastore"
)

// TopicLogTTL is how long a TopicLog item is kept, in seconds: 7 days. An agent that missed more reads all topics.
const TopicLogTTL = 7 * 24 * 3600

// TopicLog lists the topics that were created, changed or removed when Version.Topic became Version.
type TopicLog struct {
	Version int64
	Names   []string
	TTL     int64 // seconds since 1970
}

// TopicLogPK is the partition key of all TopicLog items.
func (c Cluster) TopicLogPK() string { return c.pk("TL") }

// TopicLogKey is the key of the TopicLog item of version, which must not be negative. Sort keys have the order of versions.
func (c Cluster) TopicLogKey(version int64) metastore.Key {
	return metastore.Key{PK: c.TopicLogPK(), SK: fmt.Sprintf("%016x", uint64(version))}
}

// Item encodes l.
func (l TopicLog) Item() metastore.Item {
	p := newPacker(32 * len(l.Names))
	for _, n := range l.Names {
		p.str(n)
	}
	return metastore.Item{
		AttrVersion: metastore.N(l.Version),
		AttrNames:   metastore.B(p.b),
		AttrTTL:     metastore.N(l.TTL),
	}
}

// DecodeTopicLog decodes it. Error: ErrBadItem.
func DecodeTopicLog(it metastore.Item) (TopicLog, error) {
	f := fields{kind: "topic log", item: it}
	l := TopicLog{
		Version: f.count(AttrVersion),
		Names:   packed(&f, AttrNames, parseNames),
		TTL:     f.count(AttrTTL),
	}
	if f.err != nil {
		return TopicLog{}, f.err
	}
	return l, nil
}

// Expired reports whether the item counts as absent at now, in seconds since 1970: stores delete late.
func (l TopicLog) Expired(now int64) bool { return l.TTL < now }

func parseNames(b []byte) ([]string, error) {
	var names []string
	u := unpack(b)
	for !u.done() {
		names = append(names, u.str())
	}
	return names, u.err
}
