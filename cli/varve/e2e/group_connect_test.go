//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// connectWorker is a distributed worker of Kafka Connect.
type connectWorker struct {
	*javaProcess
	addr string // HOST:PORT of its HTTP interface, its name too
}

// startWorker starts a worker of the group "workers".
func startWorker(t *testing.T, path, kafka string) connectWorker {
	t.Helper()
	port := freePort(t)
	config := filepath.Join(t.TempDir(), "worker.properties")
	text := strings.Join([]string{
		"bootstrap.servers=" + kafka, "group.id=workers", "plugin.discovery=service_load",
		"key.converter=org.apache.kafka.connect.storage.StringConverter", "value.converter=org.apache.kafka.connect.storage.StringConverter",
		"config.storage.topic=workers-configs", "config.storage.replication.factor=1",
		"offset.storage.topic=workers-offsets", "offset.storage.replication.factor=1", "offset.storage.partitions=3",
		"status.storage.topic=workers-status", "status.storage.replication.factor=1", "status.storage.partitions=2",
		"listeners=http://127.0.0.1:" + port, "rest.advertised.host.name=127.0.0.1", "rest.advertised.port=" + port,
		"offset.flush.interval.ms=1000", "scheduled.rebalance.max.delay.ms=0", "session.timeout.ms=30000",
		"consumer.auto.offset.reset=earliest", "consumer.metadata.max.age.ms=5000",
	}, "\n")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w := connectWorker{startProcess(t, path, "varve.Worker", config), "127.0.0.1:" + port}
	eventually(t, "the worker serves", func() bool { return w.call(t, http.MethodGet, "/connectors", nil, nil) == nil })
	return w
}

// call sends and gets JSON.
func (w connectWorker) call(t *testing.T, method, path string, in, out any) error {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.addr+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	cl := http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := cl.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s is answered %s", method, path, resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// connect makes a connector; while workers rebalance it is asked again.
func (w connectWorker) connect(t *testing.T, name string, config map[string]string) {
	t.Helper()
	eventually(t, "connector "+name+" is made", func() bool {
		return w.call(t, http.MethodPut, "/connectors/"+name+"/config", config, nil) == nil
	})
}

// owners are the names of the workers that run a task, for each connector whose only task runs.
func (w connectWorker) owners(t *testing.T, connectors []string) []string {
	t.Helper()
	var owners []string
	for _, name := range connectors {
		var status struct {
			Tasks []struct {
				State  string
				Worker string `json:"worker_id"`
			}
		}
		if err := w.call(t, http.MethodGet, "/connectors/"+name+"/status", nil, &status); err == nil && len(status.Tasks) == 1 && status.Tasks[0].State == "RUNNING" {
			owners = append(owners, status.Tasks[0].Worker)
		}
	}
	return owners
}

// shares tells whether all tasks run, and each of the workers has some.
func shares(t *testing.T, workers []connectWorker, connectors []string) bool {
	t.Helper()
	owners := workers[0].owners(t, connectors)
	all := len(owners) == len(connectors)
	slices.Sort(owners)
	owners = slices.Compact(owners)
	for _, w := range workers {
		all = all && slices.Contains(owners, w.addr)
	}
	return all && len(owners) == len(workers)
}

// connectFiles are what goes in and what comes out.
type connectFiles struct {
	in   []string
	out  string
	want []string
}

// write appends lines to each file that is read, and waits until all that was ever written is in the other.
func (f *connectFiles) write(t *testing.T, n int) {
	t.Helper()
	for _, name := range f.in {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			line := fmt.Sprintf("%s line %d", filepath.Base(name), len(f.want))
			f.want = append(f.want, line)
			if _, err := fmt.Fprintln(file, line); err != nil {
				t.Fatal(err)
			}
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(f.want)
	eventually(t, fmt.Sprintf("%d lines are in %s", len(f.want), f.out), func() bool { return slices.Equal(slices.Compact(f.written(t)), f.want) })
}

// written returns the lines that came out, sorted.
func (f *connectFiles) written(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(f.out)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	slices.Sort(lines)
	return lines
}

// TestGroupConnect: two distributed workers of Kafka Connect 4.1 share connectors that read two files into a topic and write the topic to a third. One
// is stopped: the other takes its tasks, goes on where they were, and shares again with one that is new. Nothing crashes, so nothing comes twice.
func TestGroupConnect(t *testing.T) {
	t.Parallel() // as others that mostly wait
	path, ok := ecosystemPath(t)
	if !ok {
		return
	}
	a := newAgent(t, nil, "dev", "--data", t.TempDir())
	a.start(t)
	createTopic(t, a.addr, "arrived", 2)
	dir := t.TempDir()
	f := &connectFiles{in: []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}, out: filepath.Join(dir, "out")}
	one := startWorker(t, path, a.addr)
	two := startWorker(t, path, a.addr)
	connectors := []string{"from-a", "from-b", "to-out"}
	for i, name := range f.in {
		one.connect(t, connectors[i], map[string]string{
			"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "file": name, "topic": "arrived",
		})
	}
	two.connect(t, "to-out", map[string]string{
		"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "file": f.out, "topics": "arrived",
	})
	shared := func(workers ...connectWorker) {
		t.Helper()
		eventually(t, "tasks run on all workers", func() bool { return shares(t, workers, connectors) })
		checkWorkers(t, a.addr, len(workers))
	}
	shared(one, two)
	f.write(t, 50)
	if slices.Contains(one.owners(t, connectors[2:]), one.addr) { // who writes is to stop: its offsets are the group's
		one, two = two, one
	}
	two.end(t)
	shared(one)
	f.write(t, 50)
	three := startWorker(t, path, a.addr)
	shared(one, three)
	f.write(t, 50)
	three.end(t)
	one.end(t)
	if got := f.written(t); !slices.Equal(got, f.want) {
		t.Errorf("%d lines came out, %d went in, and nothing crashed", len(got), len(f.want))
	}
	checkConnectTopics(t, a.addr)
}

// checkWorkers: the group is Connect's, and stable.
func checkWorkers(t *testing.T, addr string, members int) {
	t.Helper()
	cl := dial(t, addr, kgo.ClientID("look"))
	defer cl.Close()
	groups, err := kadm.NewClient(cl).DescribeGroups(t.Context(), "workers")
	if err != nil {
		t.Fatal(err)
	}
	if g := groups["workers"]; g.State != "Stable" || g.ProtocolType != "connect" || len(g.Members) != members {
		t.Errorf("the group is %s of type %q with %d members, want Stable, connect, %d", g.State, g.ProtocolType, len(g.Members), members)
	}
}

// checkConnectTopics: Connect has made its own topics, compacted as it must have them.
func checkConnectTopics(t *testing.T, addr string) {
	t.Helper()
	all, err := kadm.NewClient(dial(t, addr)).DescribeTopicConfigs(t.Context(), "workers-configs", "workers-offsets", "workers-status")
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range all {
		for _, c := range topic.Configs {
			if c.Key == "cleanup.policy" && c.MaybeValue() != "compact" {
				t.Errorf("cleanup.policy of %s is %q", topic.Name, c.MaybeValue())
			}
		}
	}
}
