//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/localstack/servers"
)

// fleet is the agents of a cluster on one bucket and one table.
type fleet struct {
	agents []*agent
	facts  servers.Endpoint
}

// newFleet starts n agents on MinIO and DynamoDB Local, one after the other.
func newFleet(t *testing.T, n int, args ...string) *fleet {
	t.Helper()
	objects, facts := servers.MinIO(t), servers.DynamoDB(t)
	f := &fleet{facts: facts}
	for i := range n {
		a := newAgent(t, objects.Env(), append([]string{
			"agent", "--name", fmt.Sprintf("a%d", i+1), "--store", objects.StoreURL, "--meta", facts.MetaURL, "--slots", "32",
		}, args...)...)
		a.start(t)
		f.agents = append(f.agents, a)
	}
	return f
}

// largestSlot returns the bytes of the largest slot item, as DynamoDB counts them.
func (f *fleet) largestSlot(t *testing.T) (most int) {
	t.Helper()
	slots := dynamodb.NewQueryPaginator(tableClient(f.facts), &dynamodb.QueryInput{
		TableName: &f.facts.Name, ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("pk = :pk"),
		ExpressionAttributeValues: map[string]ddb.AttributeValue{":pk": &ddb.AttributeValueMemberS{Value: "varve/M"}},
	})
	for slots.HasMorePages() {
		page, err := slots.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			size := 0
			for name, v := range item {
				size += len(name)
				switch v := v.(type) {
				case *ddb.AttributeValueMemberS:
					size += len(v.Value)
				case *ddb.AttributeValueMemberB:
					size += len(v.Value)
				case *ddb.AttributeValueMemberN:
					size += (len(v.Value)+1)/2 + 1
				}
			}
			most = max(most, size)
		}
	}
	return most
}

// seeds are the addresses of all agents.
func (f *fleet) seeds() []string {
	var all []string
	for _, a := range f.agents {
		all = append(all, a.addr)
	}
	return all
}

// story prints what the agents' logs say of a fail-over since begun: detect, fence, seal, assign, open.
func (f *fleet) story(t *testing.T, begun time.Time) {
	t.Helper()
	for _, a := range f.agents {
		log, err := os.ReadFile(a.log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(log)) {
			var at time.Time
			for field := range strings.FieldsSeq(line) {
				if text, ok := strings.CutPrefix(field, "time="); ok {
					at, _ = time.Parse(time.RFC3339Nano, text)
				}
			}
			for _, step := range []string{"seems to be dead", "fenced a session", "sealed a session", "every slot has a leader", "opened slots"} {
				if strings.Contains(line, step) && at.After(begun) {
					_, rest, _ := strings.Cut(line, "msg=")
					t.Logf("%8v %s %s", at.Sub(begun).Round(time.Millisecond), a.name(), strings.TrimSpace(rest))
				}
			}
		}
	}
}

// outage waits until every partition has acked a record that was produced after the call, and returns how long the last
// took. It fails the test after limit.
func (l *load) outage(t *testing.T, limit time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	from := l.produced.Load()
	for {
		l.mu.Lock()
		late := slices.IndexFunc(l.last, func(n int64) bool { return n <= from })
		l.mu.Unlock()
		if late < 0 {
			return time.Since(begun)
		}
		if time.Since(begun) > limit {
			t.Fatalf("partition %d has acked nothing for %v", late, limit)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func percentile(all []time.Duration, p float64) time.Duration {
	s := slices.Sorted(slices.Values(all))
	return s[min(len(s)-1, int(p*float64(len(s))))].Round(time.Millisecond)
}

// TestClusterSurvivesKills: three agents, one idempotent producer, one agent after the other is killed. Another takes over its
// slots; nothing is lost, doubled or out of order, and no error reaches the client.
func TestClusterSurvivesKills(t *testing.T) {
	f := newFleet(t, 3)
	createTopic(t, f.agents[0].addr, "kill", 12)
	l := startLoad(t, f.agents[0].addr, "kill", 12, kgo.SeedBrokers(f.seeds()...))
	rounds := int(setting(t, "VARVE_CLUSTER_KILLS", 2))
	var took []time.Duration
	for round := range rounds {
		time.Sleep(4 * time.Second)
		a := f.agents[round%len(f.agents)]
		a.kill(t)
		d := l.outage(t, 30*time.Second)
		took = append(took, d)
		t.Logf("round %d: every partition acked again %v after the kill of %s", round, d.Round(time.Millisecond), a.name())
		a.start(t)
	}
	t.Logf("%d kills: p50 %v, p99 %v, worst %v", rounds, percentile(took, 0.5), percentile(took, 0.99), slices.Max(took).Round(time.Millisecond))
	l.finish(t)
	l.check(t, f.agents[0].addr, "kill")
	t.Logf("%d records acknowledged", l.count())
}

func (a *agent) name() string {
	i := slices.Index(a.args, "--name")
	return a.args[i+1]
}
