//go:build e2e && oracle

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// oracleLib is where the jars of Kafka are, once Maven has copied them.
var oracleLib = filepath.Join("target", "oracle", "lib")

// kafkaClasspath has Maven copy Kafka's jars (oracle/pom.xml) unless they are there.
func kafkaClasspath(t *testing.T) string {
	t.Helper()
	need(t, "mvn", "the oracle, a real Kafka", "install Maven and a JDK 17 or newer")
	if jars, err := filepath.Glob(filepath.Join(oracleLib, "kafka_2.13-*.jar")); err != nil || len(jars) != 1 {
		if err := maven("oracle"); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(oracleLib, "*")
}

// kafkaConfig is one node that is broker and controller, with as little of everything as works. What it says of groups is what
// varve dev has.
func kafkaConfig(data string, broker, controller string) string {
	return strings.Join([]string{
		"process.roles=broker,controller", "node.id=1",
		fmt.Sprintf("controller.quorum.voters=1@127.0.0.1:%s", controller),
		fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%s,CONTROLLER://127.0.0.1:%s", broker, controller),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://127.0.0.1:%s", broker),
		"controller.listener.names=CONTROLLER", "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		"log.dirs=" + data, "offsets.topic.num.partitions=2", "offsets.topic.replication.factor=1",
		"transaction.state.log.num.partitions=1", "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
		"group.initial.rebalance.delay.ms=0", "auto.create.topics.enable=false", "log.cleaner.dedupe.buffer.size=8000000",
	}, "\n") + "\n"
}

// startKafka runs a real Kafka until the end of the test, and returns its address. It dies with this process.
func startKafka(t *testing.T) (addr string) {
	t.Helper()
	classpath, dir := kafkaClasspath(t), t.TempDir()
	broker, controller := freePort(t), freePort(t)
	config := filepath.Join(dir, "server.properties")
	if err := os.WriteFile(config, []byte(kafkaConfig(filepath.Join(dir, "data"), broker, controller)), 0o600); err != nil {
		t.Fatal(err)
	}
	java := func(args ...string) *exec.Cmd {
		return exec.Command("java", append([]string{"-Xmx384m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath}, args...)...)
	}
	format := java("kafka.tools.StorageTool", "format", "-t", "QmVzaWRlcyB2YXJ2ZXMuLg", "-c", config)
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format Kafka's storage: %v: %s", err, out)
	}
	log, err := os.Create(filepath.Join(dir, "kafka.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	kafka := java("kafka.Kafka", config)
	kafka.Stdout, kafka.Stderr = log, log
	if err := kafka.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(guard(t, kafka))
	addr = fmt.Sprintf("127.0.0.1:%s", broker)
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if nc, err := net.Dial("tcp", addr); err == nil {
			_ = nc.Close()
			return addr
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("Kafka does not serve; its log:\n%s", text)
		}
	}
}

// guard returns what kills a process, and has it killed when this process ends in whatever way.
func guard(t *testing.T, cmd *exec.Cmd) (end func()) {
	t.Helper()
	shell := exec.Command("sh", "-c", `trap '' INT TERM HUP; cat >/dev/null; kill -9 $1 2>/dev/null`, "guard", fmt.Sprint(cmd.Process.Pid))
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = shell.Process.Kill()
		_ = shell.Wait()
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
