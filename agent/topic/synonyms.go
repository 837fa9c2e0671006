// Pure.

package topic

import "slices"

// synonym is a broker config that gives a topic config its default.
type synonym struct {
	name string
	unit int64 // what one of it is in the topic config; 0: the same text
}

// synonyms are the broker configs that default a topic config, the one that wins first; as in Kafka, with Varve's own.
// Never written.
var synonyms = map[string][]synonym{
	"cleanup.policy":                  same("log.cleanup.policy"),
	"compression.gzip.level":          same("compression.gzip.level"),
	"compression.lz4.level":           same("compression.lz4.level"),
	"compression.type":                same("compression.type"),
	"compression.zstd.level":          same("compression.zstd.level"),
	"delete.retention.ms":             same("log.cleaner.delete.retention.ms"),
	"file.delete.delay.ms":            same("log.segment.delete.delay.ms"),
	"flush.messages":                  same("log.flush.interval.messages"),
	"flush.ms":                        {{"log.flush.interval.ms", 0}, {"log.flush.scheduler.interval.ms", 0}},
	"index.interval.bytes":            same("log.index.interval.bytes"),
	"local.retention.bytes":           same("log.local.retention.bytes"),
	"local.retention.ms":              same("log.local.retention.ms"),
	"max.compaction.lag.ms":           same("log.cleaner.max.compaction.lag.ms"),
	"max.message.bytes":               same("message.max.bytes"),
	"message.timestamp.after.max.ms":  same("log.message.timestamp.after.max.ms"),
	"message.timestamp.before.max.ms": same("log.message.timestamp.before.max.ms"),
	"message.timestamp.type":          same("log.message.timestamp.type"),
	"min.cleanable.dirty.ratio":       same("log.cleaner.min.cleanable.ratio"),
	"min.compaction.lag.ms":           same("log.cleaner.min.compaction.lag.ms"),
	"min.insync.replicas":             same("min.insync.replicas"),
	"preallocate":                     same("log.preallocate"),
	"retention.bytes":                 same("log.retention.bytes"),
	"retention.ms":                    {{"log.retention.ms", 0}, {"log.retention.minutes", 60_000}, {"log.retention.hours", 3_600_000}},
	"segment.bytes":                   same("log.segment.bytes"),
	"segment.index.bytes":             same("log.index.size.max.bytes"),
	"segment.jitter.ms":               {{"log.roll.jitter.ms", 0}, {"log.roll.jitter.hours", 3_600_000}},
	"segment.ms":                      {{"log.roll.ms", 0}, {"log.roll.hours", 3_600_000}},
	"unclean.leader.election.enable":  same("unclean.leader.election.enable"),
	"varve.acks.one":                  same("varve.acks.one"),
	"varve.durability":                same("varve.durability"),
}

// same is the synonym of a config that has one broker config with the same unit.
func same(name string) []synonym { return []synonym{{name, 0}} }

// withSynonyms fills in where the topic configs of a table get their defaults.
func withSynonyms(table []def) []def {
	for i := range table {
		table[i].from = synonyms[table[i].name]
	}
	return table
}

// family returns the broker configs that stand in for a broker config, itself first: those after it in a list of synonyms.
func family(name string) []string {
	for _, list := range synonyms {
		if i := slices.IndexFunc(list, func(y synonym) bool { return y.name == name }); i >= 0 {
			var out []string
			for _, y := range list[i:] {
				out = append(out, y.name)
			}
			return out
		}
	}
	return []string{name}
}

// defaults returns the topic config that a broker config defaults, empty if there is none.
func defaults(broker string) string {
	for name, list := range synonyms {
		if slices.ContainsFunc(list, func(y synonym) bool { return y.name == broker }) {
			return name
		}
	}
	return ""
}
