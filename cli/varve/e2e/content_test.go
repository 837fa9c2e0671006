//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// TestEveryClientReadsWhatEveryOtherWrote: each client writes the sample in every codec to a topic of its own; each
// client reads each topic back, byte for byte.
func TestEveryClientReadsWhatEveryOtherWrote(t *testing.T) {
	t.Parallel()
	onBrokers(t, crossRead)
}

func crossRead(t *testing.T, addr string) {
	const partitions = 3
	for _, writer := range clients(t) {
		topic := "from-" + writer.name()
		createTopic(t, addr, topic, partitions)
		var want []record
		for i, codec := range codecs() {
			records := writable(writer, sample(uint64(i), partitions, time.Now().Add(-time.Hour).Add(time.Duration(i)*time.Minute)))
			offsets := writer.produce(t, addr, topic, codec, records)
			checkOffsets(t, offsets, records, len(want)/partitions)
			want = append(want, records...)
		}
		for _, reader := range clients(t) {
			t.Run(writer.name()+" to "+reader.name(), func(t *testing.T) {
				compare(t, readable(reader, reader.consume(t, addr, topic)), readable(reader, want))
			})
		}
	}
}

// checkOffsets wants the offsets a writer was told to rise by one per partition.
func checkOffsets(t *testing.T, offsets []int64, records []record, first int) {
	t.Helper()
	if offsets == nil {
		return
	}
	next := map[int32]int64{}
	for i, r := range records {
		if want := next[r.partition] + int64(first); offsets[i] != want {
			t.Fatalf("record %d of partition %d was acknowledged at offset %d, want %d", i, r.partition, offsets[i], want)
		}
		next[r.partition]++
	}
}

// writable leaves out what a client cannot say: kcat has no empty key, and its timestamps are its own.
func writable(c client, records []record) []record {
	if _, ok := c.(kcatClient); !ok {
		return records
	}
	var out []record
	for _, r := range records {
		if r.key == nil || len(r.key) > 0 {
			r.millis = 0
			out = append(out, r)
		}
	}
	return out
}

// readable blurs what a client does not show: kcat prints an empty key as none.
func readable(c client, records []record) []record {
	if _, ok := c.(kcatClient); !ok {
		return records
	}
	var out []record
	for _, r := range records {
		if len(r.key) == 0 {
			r.key = nil
		}
		out = append(out, r)
	}
	return out
}

// TestTopicsAreMadeOnFirstUse: Kafka's default; kcat has no other way to make one.
func TestTopicsAreMadeOnFirstUse(t *testing.T) {
	onStores(t, func(t *testing.T, a *agent) {
		want := []record{{value: []byte("first")}}
		kcatClient{}.produce(t, a.addr, "made-by-kcat", "none", want)
		compare(t, kgoClient{}.consume(t, a.addr, "made-by-kcat"), want)
	})
}

// TestJavaCreatesATopic: the Java admin client, and the same topic twice.
func TestJavaCreatesATopic(t *testing.T) {
	onStores(t, func(t *testing.T, a *agent) {
		java := javaClient{sharedJava(t)}
		java.create(t, a.addr, "made-by-java", 5)
		if ends := java.ends(t, a.addr, "made-by-java"); len(ends) != 5 {
			t.Errorf("%d partitions, want 5", len(ends))
		}
		if _, err := java.try(t, "create "+a.addr+" made-by-java 5"); err == nil || !strings.Contains(err.Error(), "TopicExistsException") {
			t.Errorf("creating it again: %v, want TopicExistsException", err)
		}
	})
}
