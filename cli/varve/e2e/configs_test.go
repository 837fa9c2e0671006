//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// configAnswers is how each line begins that java/src/main/java/varve/Configs.java prints.
var configAnswers = []string{
	"set done",
	"retention.ms 7 LONG DYNAMIC_TOPIC_CONFIG sensitive=false synonyms=2 ",
	"cleanup.policy compact,delete LIST DYNAMIC_TOPIC_CONFIG sensitive=false synonyms=2 delete: ",
	"max.message.bytes 1048588 INT DEFAULT_CONFIG sensitive=false synonyms=1 Largest batch",
	"flush.ms 9223372036854775807 LONG DEFAULT_CONFIG sensitive=false synonyms=1 No effect: ",
	"delete done",
	"retention.ms 604800000 LONG DEFAULT_CONFIG sensitive=false synonyms=1 ",
	`unknown InvalidConfigurationException: invalid config: there is no topic config "retention.mss"; did you mean retention.ms?`,
	"value InvalidConfigurationException: invalid config: retention.ms: -2 is less than -1",
	`codec InvalidConfigurationException: invalid config: compression.type: "gzip" is refused, use "producer": `,
	"num.io.threads 8 INT DEFAULT_CONFIG sensitive=false synonyms=1 No effect: ",
	"log.retention.hours 168 INT DEFAULT_CONFIG sensitive=false synonyms=1 ",
	"ssl.key.password null PASSWORD DEFAULT_CONFIG sensitive=true synonyms=0 Fixed: ",
	"broker InvalidRequestException: read-only config: num.io.threads is read-only; ",
	"defaults 0",
	"root INFO STRING DYNAMIC_BROKER_LOGGER_CONFIG sensitive=false synonyms=0 ",
	"directories [object-store]",
	"scram SecurityDisabledException: ",
	"features [group.version, metadata.version]",
	"keyed done",
	"keyless InvalidRecordException: Compacted topic cannot accept message without key.",
}

// TestConfigsByJava: what admin tools that are built on Kafka's own client do with configs, by the client of today and by one
// of 2021.
func TestConfigsByJava(t *testing.T) {
	t.Parallel()
	need(t, "mvn", "the Java client", "install Maven and a JDK 17 or newer")
	clients := map[string]string{"4.1": filepath.Join("java", "target"), "2.8": filepath.Join("java", "target", "old")}
	for version, made := range clients {
		var flags []string
		if version == "2.8" {
			flags = []string{"-P", "old"}
		}
		if err := buildJava("java", made, flags...); err != nil {
			t.Fatal(err)
		}
	}
	onStores(t, func(t *testing.T, a *agent) {
		for version, made := range clients {
			t.Run(version, func(t *testing.T) {
				checkAnswers(t, runConfigs(t, made, a.addr, "configs-"+version))
			})
		}
	})
}

// runConfigs runs the program over the client in made, on a topic that it makes.
func runConfigs(t *testing.T, made, addr, topic string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	path := filepath.Join(made, "e2e-client.jar") + string(os.PathListSeparator) + filepath.Join(made, "lib", "*")
	cmd := exec.CommandContext(ctx, "java", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", path, "varve.Configs", addr, topic)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, errs.Bytes())
	}
	return out
}

func checkAnswers(t *testing.T, out []byte) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(out))
	n := 0
	for ; lines.Scan(); n++ {
		if n >= len(configAnswers) || !strings.HasPrefix(lines.Text(), configAnswers[n]) {
			t.Errorf("line %d: %s\nwant one of %d that begins: %s", n, lines.Text(), len(configAnswers), configAnswers[min(n, len(configAnswers)-1)])
		}
	}
	if n != len(configAnswers) {
		t.Errorf("%d lines, want %d", n, len(configAnswers))
	}
}

// TestConfigsByKadm: the same as tools on franz-go do it, and the features, which few others alter.
func TestConfigsByKadm(t *testing.T) {
	onStores(t, func(t *testing.T, a *agent) {
		cl := dial(t, a.addr)
		admin, ctx := kadm.NewClient(cl), t.Context()
		createTopic(t, a.addr, "kadm", 1)
		seven := "7"
		for _, op := range []kadm.IncrementalOp{kadm.SetConfig, kadm.DeleteConfig} {
			answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: op, Name: "retention.ms", Value: &seven}}, "kadm")
			if err != nil || answers[0].Err != nil {
				t.Fatalf("alter: %v, %+v", err, answers)
			}
			found, err := admin.DescribeTopicConfigs(ctx, "kadm")
			if err != nil || len(found) != 1 || len(found[0].Configs) < 35 {
				t.Fatalf("describe: %v, %+v", err, found)
			}
			for _, c := range found[0].Configs {
				if want := map[kadm.IncrementalOp]string{kadm.SetConfig: "7", kadm.DeleteConfig: "604800000"}[op]; c.Key == "retention.ms" && c.MaybeValue() != want {
					t.Errorf("retention.ms is %s, want %s", c.MaybeValue(), want)
				}
			}
		}
		brokers, err := admin.DescribeBrokerConfigs(ctx, 1)
		if err != nil || len(brokers) != 1 || len(brokers[0].Configs) < 340 {
			t.Errorf("brokers: %v, %d", err, len(brokers))
		}
		for level, want := range map[int16]error{25: nil, 26: kerr.InvalidUpdateVersion} {
			req := kmsg.NewPtrUpdateFeaturesRequest()
			req.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: "metadata.version", MaxVersionLevel: level, UpgradeType: 1}}
			resp, err := req.RequestWith(ctx, cl)
			if err != nil || !errors.Is(kerr.ErrorForCode(resp.ErrorCode), want) {
				t.Errorf("metadata.version %d: %v, %+v, want %v", level, err, resp, want)
			}
		}
	})
}
