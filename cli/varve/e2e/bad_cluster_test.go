//go:build e2e

package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/varvelog/varve/localstack/servers"
)

// TestBadCluster: an agent that must not join a cluster is told so in one line, and whoever is there notices nothing.
func TestBadCluster(t *testing.T) {
	objects, facts := servers.MinIO(t), servers.DynamoDB(t)
	config := configFile(t, "heartbeat = 300ms", "ttl = 2s")
	args := func(name, store, meta string, more ...string) []string {
		return append([]string{"agent", "--name", name, "--store", store, "--meta", meta, "--config", config, "--slots", "8"}, more...)
	}
	a := newAgent(t, objects.Env(), args("a1", objects.StoreURL, facts.MetaURL)...)
	a.start(t)
	createTopic(t, a.addr, "t", 2)
	l := startLoad(t, a.addr, "t", 2)
	bad := func(name string, argv []string, words ...string) {
		t.Run(name, func(t *testing.T) {
			code, text := refused(t, objects.Env(), append(slices.Clone(argv), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")...)
			oneLine(t, text, code, 1, words...)
		})
	}
	bad("an address that another one advertises", args("a2", objects.StoreURL, facts.MetaURL, "--advertise", a.addr),
		"agent a1 advertises "+a.addr+" already", "--advertise or --listen")
	other := servers.DynamoDB(t)
	bad("a table that knows nothing of the bucket", args("a2", objects.StoreURL, other.MetaURL), "the table is older than the bucket", "--cluster")
	l.finish(t)
	l.check(t, a.addr, "t")
	acked := l.count()
	a.stop(t)

	empty := servers.MinIO(t)
	t.Run("a bucket that was emptied", func(t *testing.T) {
		code, text := refused(t, objects.Env(), append(args("a1", empty.StoreURL, facts.MetaURL), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")...)
		lines := strings.Split(strings.TrimSpace(text), "\n") // what failed is logged before
		oneLine(t, lines[len(lines)-1], code, 1, "the table names an object that the bucket does not have", "restore the bucket", "--cluster")
	})
	setFormat(t, facts, "99")
	bad("a format of another version", args("a1", objects.StoreURL, facts.MetaURL), "the table has format 99", "use the program that fits")
	setFormat(t, facts, "1")
	a.start(t) // nothing was spoilt
	l.check(t, a.addr, "t")
	t.Logf("%d records acked", acked)
}

// setFormat changes the format version that stands in the table, behind everybody's back.
func setFormat(t *testing.T, facts servers.Endpoint, format string) {
	t.Helper()
	endpoint := facts.HTTP
	client := dynamodb.NewFromConfig(aws.Config{
		Region: servers.Region, Credentials: credentials.NewStaticCredentialsProvider(servers.AccessKey, servers.SecretKey, ""),
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}, func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint })
	_, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &facts.Name, Key: map[string]ddb.AttributeValue{"pk": &ddb.AttributeValueMemberS{Value: "varve/C"}, "sk": &ddb.AttributeValueMemberS{Value: "CFG"}},
		UpdateExpression: aws.String("SET #f = :f"), ConditionExpression: aws.String("attribute_exists(pk)"),
		ExpressionAttributeNames:  map[string]string{"#f": "format"},
		ExpressionAttributeValues: map[string]ddb.AttributeValue{":f": &ddb.AttributeValueMemberN{Value: format}},
	})
	if err != nil {
		t.Fatal(err)
	}
}
