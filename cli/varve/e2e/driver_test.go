//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/localstack/servers"
)

// TestTheOtherDriver runs an agent on minio:// instead of s3://: what kcat and kgo write each of them reads back, also after
// a kill, when everything comes from the bucket.
func TestTheOtherDriver(t *testing.T) {
	t.Parallel()
	objects, facts := servers.MinIO(t), servers.DynamoDB(t)
	url := strings.Replace(objects.StoreURL, "s3://", "minio://", 1)
	a := newAgent(t, objects.Env(), "agent", "--name", "a1", "--store", url, "--meta", facts.MetaURL)
	a.start(t)
	pair := []client{kgoClient{}}
	if have(t, "kcat", "kcat", "Debian: apt-get install kcat; macOS: brew install kcat") {
		pair = append(pair, kcatClient{})
	}
	written := map[string][]record{}
	for _, writer := range pair {
		topic := "from-" + writer.name()
		createTopic(t, a.addr, topic, 3)
		for i, codec := range []string{"none", "zstd"} {
			records := writable(writer, sample(uint64(i), 3, time.Now().Add(-time.Hour).Add(time.Duration(i)*time.Minute)))
			writer.produce(t, a.addr, topic, codec, records)
			written[topic] = append(written[topic], records...)
		}
	}
	readBack := func(t *testing.T) {
		for topic, want := range written {
			for _, reader := range pair {
				compare(t, readable(reader, reader.consume(t, a.addr, topic)), readable(reader, want))
			}
		}
	}
	t.Run("read back", readBack)
	a.kill(t)
	a.start(t)
	t.Run("after a kill", readBack)
}
