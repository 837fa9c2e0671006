//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/localstack/servers"
)

// tableClient speaks to a table behind everybody's back.
func tableClient(facts servers.Endpoint) *dynamodb.Client {
	endpoint := facts.HTTP
	return dynamodb.NewFromConfig(aws.Config{
		Region: servers.Region, Credentials: credentials.NewStaticCredentialsProvider(servers.AccessKey, servers.SecretKey, ""),
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}, func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint })
}

// backup reads every item of a table.
func backup(t *testing.T, facts servers.Endpoint) (items []map[string]ddb.AttributeValue) {
	t.Helper()
	pages := dynamodb.NewScanPaginator(tableClient(facts), &dynamodb.ScanInput{TableName: &facts.Name, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, page.Items...)
	}
	return items
}

// restore makes a table what it was when items were read.
func restore(t *testing.T, facts servers.Endpoint, items []map[string]ddb.AttributeValue) {
	t.Helper()
	c := tableClient(facts)
	for _, item := range backup(t, facts) {
		key := map[string]ddb.AttributeValue{"pk": item["pk"], "sk": item["sk"]}
		if _, err := c.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &facts.Name, Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	for _, item := range items {
		if _, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &facts.Name, Item: item}); err != nil {
			t.Fatal(err)
		}
	}
}

// contents returns the keys of a bucket with what they hold.
func contents(t *testing.T, objects servers.Endpoint) map[string]string {
	t.Helper()
	endpoint := objects.HTTP
	c := s3.New(s3.Options{
		Region: servers.Region, BaseEndpoint: &endpoint, UsePathStyle: true, HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		Credentials: credentials.NewStaticCredentialsProvider(servers.AccessKey, servers.SecretKey, ""),
	})
	all := map[string]string{}
	pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: &objects.Name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			all[*o.Key] = *o.ETag + o.LastModified.String()
		}
	}
	return all
}

// TestClusterTableRestored: a table that was set back to a backup, by a night or by a moment, is refused in one line, whoever starts;
// nothing in the bucket is touched, and with the table as it was everything goes on.
func TestClusterTableRestored(t *testing.T) {
	t.Parallel()
	objects, facts := servers.MinIO(t), servers.DynamoDB(t)
	args := func(name string) []string {
		return []string{"agent", "--name", name, "--store", objects.StoreURL, "--meta", facts.MetaURL, "--slots", "8"}
	}
	a := newAgent(t, objects.Env(), args("a1")...)
	a.start(t)
	createTopic(t, a.addr, "t", 2)
	l := startLoad(t, a.addr, "t", 2)
	await(t, "acknowledgements", func() bool { return l.count() > 1000 })
	early := backup(t, facts) // while it runs
	n := l.count()
	await(t, "more of them", func() bool { return l.count() > n+1000 })
	l.finish(t)
	a.stop(t)
	a.start(t)
	a.stop(t)
	last := backup(t, facts)
	before := contents(t, objects)

	for _, name := range []string{"a1", "a2"} {
		t.Run(name, func(t *testing.T) {
			restore(t, facts, early)
			code, text := refused(t, objects.Env(), append(args(name), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")...)
			oneLine(t, text, code, 1, "the table is older than the bucket", "restore both", "--cluster")
			after := contents(t, objects)
			for key, was := range before {
				if after[key] != was {
					t.Errorf("object %s is not what it was", key)
				}
			}
			for key := range after {
				if before[key] == "" && strings.Contains(key, "/w/") {
					t.Errorf("object %s was written", key)
				}
			}
		})
	}
	restore(t, facts, last)
	a.start(t)
	l.check(t, a.addr, "t")
}

var lastModified = regexp.MustCompile(`<LastModified>([^<]*)</LastModified>`)

// skewed is a way to an object store whose clock is off: what its listings say is shifted.
func skewed(t *testing.T, objects servers.Endpoint, by time.Duration) (storeURL string) {
	t.Helper()
	target, err := url.Parse(objects.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	way := httputil.NewSingleHostReverseProxy(target)
	way.ModifyResponse = func(resp *http.Response) error {
		if resp.Request.URL.Query().Get("list-type") == "" {
			return nil
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		body = lastModified.ReplaceAllFunc(body, func(was []byte) []byte {
			at, err := time.Parse(time.RFC3339, string(lastModified.FindSubmatch(was)[1]))
			if err != nil {
				return was
			}
			return []byte("<LastModified>" + at.Add(by).UTC().Format("2006-01-02T15:04:05.000Z") + "</LastModified>")
		})
		resp.Body = io.NopCloser(bytes.NewReader(body))
		resp.ContentLength = int64(len(body))
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return nil
	}
	server := httptest.NewServer(way)
	t.Cleanup(server.Close)
	return strings.ReplaceAll(objects.StoreURL, url.QueryEscape(objects.HTTP), url.QueryEscape(server.URL))
}

// TestClusterClock: an agent whose clock is a day off, either way, says so in one line, and serves: no decision is made by it.
func TestClusterClock(t *testing.T) {
	t.Parallel()
	objects, facts := servers.MinIO(t), servers.DynamoDB(t)
	var agents []*agent
	for i, x := range []struct {
		off  time.Duration // of the store's clock
		want string
	}{{0, ""}, {24 * time.Hour, "behind the object store's"}, {-24 * time.Hour, "ahead of the object store's"}} {
		store := objects.StoreURL
		if x.off != 0 {
			store = skewed(t, objects, x.off)
		}
		a := newAgent(t, objects.Env(), "agent", "--name", fmt.Sprintf("a%d", i+1), "--slots", "8", "--store", store, "--meta", facts.MetaURL)
		a.start(t)
		agents = append(agents, a)
		var said []string
		for line := range strings.Lines(a.readLog(t)) {
			if strings.Contains(line, "clock") {
				said = append(said, line)
			}
		}
		switch {
		case x.want == "" && len(said) > 0:
			t.Errorf("with the right time it says %q", said)
		case x.want != "" && (len(said) != 1 || !strings.Contains(said[0], x.want) || !regexp.MustCompile(`by=(23h59m|24h0m)`).MatchString(said[0])):
			t.Errorf("%v off: it says %q", x.off, said)
		}
	}
	createTopic(t, agents[2].addr, "t", 8)
	l := startLoad(t, agents[1].addr, "t", 8, kgo.SeedBrokers(agents[2].addr))
	l.outage(t, 30*time.Second)
	agents[0].stop(t)
	l.outage(t, 30*time.Second)
	l.finish(t)
	l.check(t, agents[2].addr, "t")
}

// badRequests answers connections as web servers answer what is no request, and counts them.
func badRequests(t *testing.T, ln net.Listener) *atomic.Int64 {
	t.Helper()
	asked := &atomic.Int64{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				if _, err := c.Read(make([]byte, 1)); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				}
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return asked
}

// TestClusterPeerPort: a web server that answers at the address of a peer, and a web client that asks at the peer port, cost one line
// each, and no haste; the peer that is gone is fenced by its heartbeat.
func TestClusterPeerPort(t *testing.T) {
	t.Parallel()
	objects, facts := servers.MinIO(t), servers.DynamoDB(t)
	ports := []string{freePort(t), freePort(t)}
	var agents []*agent
	for i, port := range ports {
		agents = append(agents, newAgent(t, objects.Env(), "agent", "--name", fmt.Sprintf("a%d", i+1), "--slots", "8", "--store", objects.StoreURL,
			"--meta", facts.MetaURL, "--peer", "127.0.0.1:"+port))
		agents[i].start(t)
	}
	a, b := agents[0], agents[1]
	createTopic(t, a.addr, "t", 8)
	l := startLoad(t, a.addr, "t", 8, kgo.SeedBrokers(a.addr))
	await(t, "a share for a2", func() bool { return b.metric(t, `varve_cluster_slots{state="open"}`) > 0 })

	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	for range 20 {
		if resp, err := client.Get("http://127.0.0.1:" + ports[0] + "/"); err == nil {
			t.Errorf("the peer port answers HTTP: %s", resp.Status)
			_ = resp.Body.Close()
		}
	}
	_ = a.cmd.Process.Signal(syscall.SIGSTOP) // or it would be refused in between, and know
	b.kill(t)
	ln, err := net.Listen("tcp", "127.0.0.1:"+ports[1])
	if err != nil {
		t.Fatal(err)
	}
	asked := badRequests(t, ln)
	_ = a.cmd.Process.Signal(syscall.SIGCONT)
	begun := time.Now()
	a.awaitLog(t, "fenced a session", "agent=a2")
	t.Logf("fenced %v after it was killed; %d connections meanwhile", time.Since(begun).Round(time.Millisecond), asked.Load())
	if n := asked.Load(); n == 0 || n > 30 {
		t.Errorf("%d connections to a server that is no agent", n)
	}
	l.outage(t, 30*time.Second)
	l.finish(t)
	l.check(t, a.addr, "t")
	lines := map[string]int{}
	for line := range strings.Lines(a.readLog(t)) {
		for _, words := range []string{"dialled the peer port", "something that is not an agent answers"} {
			if strings.Contains(line, words) {
				lines[words]++
			}
		}
	}
	if len(lines) != 2 || lines["dialled the peer port"] != 1 || lines["something that is not an agent answers"] != 1 {
		t.Errorf("lines of the log: %v", lines)
	}
}
