// Pure.

package topic

import (
	"fmt"
	"math"
)

const forever = "9223372036854775807" // Kafka's Long.MAX_VALUE

// refusedCodec is said about a compression.type other than producer.
const refusedCodec = "Varve stores and serves batches as producers send them and never compresses anew; set the codec in the producer"

// topicDefs is every topic config of Kafka 4, and Varve's own, sorted by name. It is never written.
var topicDefs = []def{
	{name: "cleanup.policy", typ: TypeList, def: "delete", check: someOf("delete", "compact"), from: same("log.cleanup.policy"),
		doc: "delete: records go by age or size. compact: the last record of each key stays, and every record needs a key."},
	{name: "compression.gzip.level", typ: TypeInt, def: "-1", check: minusOneOr(1, 9), from: same("compression.gzip.level"), effect: echo,
		doc: "Kept and shown. Varve never compresses."},
	{name: "compression.lz4.level", typ: TypeInt, def: "9", check: between(1, 17), from: same("compression.lz4.level"), effect: echo,
		doc: "Kept and shown. Varve never compresses."},
	{name: "compression.type", typ: TypeString, def: "producer", from: same("compression.type"),
		check: only("producer", refusedCodec, "uncompressed", "gzip", "snappy", "lz4", "zstd"),
		doc:   "Only producer: batches keep the codec they came with."},
	{name: "compression.zstd.level", typ: TypeInt, def: "3", check: between(-131072, 22), from: same("compression.zstd.level"), effect: echo,
		doc: "Kept and shown. Varve never compresses."},
	{name: "delete.retention.ms", typ: TypeLong, def: "86400000", check: atLeast(0), from: same("log.cleaner.delete.retention.ms"),
		doc: "How long a compacted topic keeps a tombstone after it was first compacted."},
	{name: "file.delete.delay.ms", typ: TypeLong, def: "60000", check: atLeast(0), from: same("log.segment.delete.delay.ms"), effect: echo,
		doc: "Kept and shown. Objects have a grace period of their own."},
	{name: "flush.messages", typ: TypeLong, def: forever, check: atLeast(1), from: same("log.flush.interval.messages"), effect: echo,
		doc: "Kept and shown. Flushes are the agent's, see its option --flush."},
	{name: "flush.ms", typ: TypeLong, def: forever, check: atLeast(0), from: same("log.flush.interval.ms"), effect: echo,
		doc: "Kept and shown. Flushes are the agent's, see its option --flush."},
	{name: "follower.replication.throttled.replicas", typ: TypeList, check: throttled, effect: echo,
		doc: "Kept and shown. There are no followers that copy data."},
	{name: "index.interval.bytes", typ: TypeInt, def: "4096", check: atLeast(0), from: same("log.index.interval.bytes"), effect: echo,
		doc: "Kept and shown. Segments index every 64 KiB."},
	{name: "leader.replication.throttled.replicas", typ: TypeList, check: throttled, effect: echo,
		doc: "Kept and shown. There are no followers that copy data."},
	{name: "local.retention.bytes", typ: TypeLong, def: "-2", check: atLeast(-2), from: same("log.local.retention.bytes"), effect: echo,
		doc: "Kept and shown. Agents have no disks to hold anything."},
	{name: "local.retention.ms", typ: TypeLong, def: "-2", check: atLeast(-2), from: same("log.local.retention.ms"), effect: echo,
		doc: "Kept and shown. Agents have no disks to hold anything."},
	{name: "max.compaction.lag.ms", typ: TypeLong, def: forever, check: atLeast(1), from: same("log.cleaner.max.compaction.lag.ms"),
		doc: "A record waits no longer than this before it may be compacted."},
	{name: "max.message.bytes", typ: TypeInt, def: "1048588", check: atLeast(0), from: same("message.max.bytes"),
		doc: "Largest batch, as it comes from the producer: compressed, with its header of 61 bytes."},
	{name: "message.timestamp.after.max.ms", typ: TypeLong, def: "3600000", check: atLeast(0), from: same("log.message.timestamp.after.max.ms"),
		doc: "A batch whose timestamp lies farther in the future is refused. Does not apply to LogAppendTime."},
	{name: "message.timestamp.before.max.ms", typ: TypeLong, def: forever, check: atLeast(0), from: same("log.message.timestamp.before.max.ms"),
		doc: "A batch whose timestamp lies farther in the past is refused. Does not apply to LogAppendTime."},
	{name: "message.timestamp.type", typ: TypeString, def: "CreateTime", check: oneOf("CreateTime", "LogAppendTime"), from: same("log.message.timestamp.type"),
		doc: "CreateTime: the producer's timestamps. LogAppendTime: the agent's, when it takes the batch."},
	{name: "min.cleanable.dirty.ratio", typ: TypeDouble, def: "0.5", check: ratio, from: same("log.cleaner.min.cleanable.ratio"),
		doc: "Share of a compacted log that has to be new before it is compacted again."},
	{name: "min.compaction.lag.ms", typ: TypeLong, def: "0", check: atLeast(0), from: same("log.cleaner.min.compaction.lag.ms"),
		doc: "A record stays at least this long before it may be compacted."},
	{name: "min.insync.replicas", typ: TypeInt, def: "1", check: atLeast(1), from: same("min.insync.replicas"), effect: echo,
		doc: "Kept and shown, never a reason to refuse: an object in the store counts as a full set."},
	{name: "preallocate", typ: TypeBool, def: "false", from: same("log.preallocate"), effect: echo,
		doc: "Kept and shown. There are no files."},
	{name: "remote.log.copy.disable", typ: TypeBool, def: "false", effect: echo,
		doc: "Kept and shown. All data is in the object store."},
	{name: "remote.log.delete.on.disable", typ: TypeBool, def: "false", effect: echo,
		doc: "Kept and shown. All data is in the object store."},
	{name: "remote.storage.enable", typ: TypeBool, def: "false", effect: echo,
		check: only("false", "all data is in the object store already; there is no tier to switch on", "true"),
		doc:   "Only false: all data is in the object store anyway."},
	{name: "retention.bytes", typ: TypeLong, def: "-1", check: atLeast(-1), from: same("log.retention.bytes"),
		doc: "Bytes that a partition keeps at least before the oldest records go. -1: no limit."},
	{name: "retention.ms", typ: TypeLong, def: "604800000", check: atLeast(-1),
		from: []synonym{{"log.retention.ms", 0}, {"log.retention.minutes", 60_000}, {"log.retention.hours", 3_600_000}},
		doc:  "How long records are kept. -1: for ever."},
	{name: "segment.bytes", typ: TypeInt, def: "1073741824", check: atLeast(14), from: same("log.segment.bytes"), effect: echo,
		doc: "Kept and shown. Segments are objects of 64 to 256 MiB."},
	{name: "segment.index.bytes", typ: TypeInt, def: "10485760", check: atLeast(4), from: same("log.index.size.max.bytes"), effect: echo,
		doc: "Kept and shown. An index is part of its object."},
	{name: "segment.jitter.ms", typ: TypeLong, def: "0", check: atLeast(0),
		from: []synonym{{"log.roll.jitter.ms", 0}, {"log.roll.jitter.hours", 3_600_000}}, effect: echo,
		doc: "Kept and shown. Agents spread their work themselves."},
	{name: "segment.ms", typ: TypeLong, def: "604800000", check: atLeast(1),
		from: []synonym{{"log.roll.ms", 0}, {"log.roll.hours", 3_600_000}},
		doc:  "Records become part of a segment after this time at the latest; six hours in effect if more."},
	{name: "unclean.leader.election.enable", typ: TypeBool, def: "false", from: same("unclean.leader.election.enable"), effect: echo,
		doc: "Kept and shown. A leader always has all that was committed."},
	{name: "varve.acks.one", typ: TypeString, def: "memory", check: oneOf("memory", "commit"), from: same("varve.acks.one"),
		doc: "When acks=1 is answered. memory: the leader holds the batch, which a fail-over may lose. commit: as acks=all."},
	{name: "varve.durability", typ: TypeString, def: "object", from: same("varve.durability"),
		check: only("object", "agents of this version do not copy records to each other's memory yet", "replicated"),
		doc:   "What acks=all waits for. object: the batch is in the object store and committed."},
}

// goneTopicConfigs are names that Kafka had before 4.0. It refuses them too. Never written.
var goneTopicConfigs = map[string]string{
	"message.format.version":              "Kafka 4.0 took it away; batches have format v2",
	"message.downconversion.enable":       "Kafka 4.0 took it away; batches have format v2",
	"message.timestamp.difference.max.ms": "Kafka 4.0 took it away; use message.timestamp.before.max.ms and message.timestamp.after.max.ms",
}

// same is the synonym of a config that has one broker config with the same unit.
func same(name string) []synonym { return []synonym{{name, 0}} }

// topicDef returns the definition of a topic config. The error says what is wrong with the name.
func topicDef(name string) (*def, error) {
	if d := find(topicDefs, name); d != nil {
		return d, nil
	}
	if why, gone := goneTopicConfigs[name]; gone {
		return nil, fmt.Errorf("%w: %s: %s", ErrConfig, name, why)
	}
	return nil, fmt.Errorf("%w: there is no topic config %.100q, the nearest is %s", ErrConfig, name, nearest(name, topicDefs))
}

// find looks up a definition in a sorted table.
func find(table []def, name string) *def {
	lo, hi := 0, len(table)
	for lo < hi {
		if mid := (lo + hi) / 2; table[mid].name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(table) && table[lo].name == name {
		return &table[lo]
	}
	return nil
}

// nearest returns the known name that is the fewest edits away from name.
func nearest(name string, table []def) string {
	best, at := math.MaxInt, ""
	for i := range table {
		if d := distance(name[:min(len(name), 100)], table[i].name); d < best {
			best, at = d, table[i].name
		}
	}
	return at
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
