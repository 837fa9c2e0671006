//go:build e2e

package e2e

import (
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/varvelog/varve/localstack/servers"
)

// badStart is a start that is refused: with which words, besides "varve ".
type badStart struct {
	name  string
	env   []string
	args  []string
	code  int
	words []string
}

func runBadStarts(t *testing.T, cases []badStart) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, text := refused(t, c.env, c.args...)
			oneLine(t, text, code, c.code, c.words...)
		})
	}
}

// agentArgs is an agent whose stores are in memory unless told otherwise.
func agentArgs(store, meta string, more ...string) []string {
	if store == "" {
		store = "mem://"
	}
	if meta == "" {
		meta = "mem://"
	}
	return append([]string{"agent", "--name", "a1", "--store", store, "--meta", meta, "--listen", "127.0.0.1:0"}, more...)
}

// TestBadURLs: a store URL that does not parse is wrong usage; the line says which flag, what is wrong, what is right.
func TestBadURLs(t *testing.T) {
	dir := t.TempDir()
	runBadStarts(t, []badStart{
		{"no scheme", nil, agentArgs("s3//bucket", ""), 2, []string{"--store", "s3//bucket", "scheme", "like s3://bucket"}},
		{"another scheme", nil, agentArgs("", "mysql://facts"), 2, []string{"--meta", `"mysql"`, "dynamodb, bolt, mem", "like dynamodb://table"}},
		{"not a URL", nil, agentArgs("s3://bucket:port:port/", ""), 2, []string{"--store", "not a URL", "like s3://bucket"}},
		{"two slashes", nil, agentArgs("file://objects", ""), 2, []string{"--store", `"objects"`, "third slash", "like file:///"}},
		{"no slashes", nil, agentArgs("", "bolt:facts.db"), 2, []string{"--meta", "slashes", "like bolt:///"}},
		{"no bucket", nil, agentArgs("s3:///prefix", ""), 2, []string{"--store", "no bucket", "like s3://bucket"}},
		{"no table", nil, agentArgs("", "dynamodb://"), 2, []string{"--meta", "no table", "like dynamodb://table"}},
		{"a misspelt parameter", nil, agentArgs("s3://bucket?regoin=eu-west-1", ""), 2, []string{"--store", `"regoin"`, "region"}},
		{"a wrong parameter", nil, agentArgs("s3://bucket?region=eu-west-1&path_style=perhaps", ""), 2, []string{"--store", "path_style", `"perhaps"`, "true or false"}},
		{"faults that are none", nil, agentArgs("fault+file://"+dir+"/o?delay=soon", ""), 2, []string{"--store", "delay=soon", "duration"}},
		{"faults of facts that are none", nil, agentArgs("", "fault+bolt://"+dir+"/f.db?lost=2"), 2, []string{"--meta", "lost=2", "probability"}},
		{"nothing", nil, agentArgs("", "")[:3], 2, []string{"--store", "missing"}},
	})
	code, text := refused(t, nil, agentArgs("s3://key:verysecret@bucket", "")...)
	oneLine(t, text, code, 2, "--store", "credentials", "AWS environment")
	if strings.Contains(text, "verysecret") {
		t.Error("the password is printed")
	}
}

// noCredentials is an environment without any; nobody may find those of the machine the test runs on.
func noCredentials() []string {
	return []string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN=", "AWS_PROFILE=", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=", "AWS_CONTAINER_CREDENTIALS_FULL_URI="}
}

// noRole is an environment without credentials on a machine whose metadata service refuses: endpoint plays it.
func noRole(endpoint string) []string {
	return append(noCredentials(), "AWS_EC2_METADATA_DISABLED=false", "AWS_EC2_METADATA_SERVICE_ENDPOINT="+endpoint)
}

// TestBadBuckets: what MinIO says comes out as one line with the way out.
func TestBadBuckets(t *testing.T) {
	minio := servers.MinIO(t)
	absent := strings.Replace(minio.StoreURL, minio.Name, "absent-bucket", 1)
	nobody := "s3://bucket?region=us-east-1&path_style=true&endpoint=http://" + closedPort(t)
	wrong := func(id, secret string) []string {
		return []string{"AWS_ACCESS_KEY_ID=" + id, "AWS_SECRET_ACCESS_KEY=" + secret}
	}
	runBadStarts(t, []badStart{
		{"does not exist", minio.Env(), agentArgs(absent, ""), 1,
			[]string{"--store", `"absent-bucket"`, "does not exist", minio.HTTP, "aws s3 mb s3://absent-bucket --region us-east-1 --endpoint-url " + minio.HTTP}},
		{"wrong secret", wrong(servers.AccessKey, "wrongwrong"), agentArgs(minio.StoreURL, ""), 1, []string{"--store", minio.Name, minio.HTTP, "AWS_SECRET_ACCESS_KEY"}},
		{"unknown key", wrong("nobody", "wrongwrong"), agentArgs(minio.StoreURL, ""), 1, []string{"--store", minio.Name, minio.HTTP, "AWS_ACCESS_KEY_ID"}},
		{"no credentials", noCredentials(), agentArgs(minio.StoreURL, ""), 1, []string{"--store", minio.Name, "no credentials", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"}},
		{"no role", noRole(minio.HTTP), agentArgs(minio.StoreURL, ""), 1, []string{"--store", minio.Name, "no credentials", "AWS_ACCESS_KEY_ID", "a role"}},
		{"nobody answers", minio.Env(), agentArgs(nobody, ""), 1, []string{"--store", "no answer", "connection refused", "endpoint"}},
	})
}

// TestBadTables: the same for DynamoDB Local.
func TestBadTables(t *testing.T) {
	dynamo := servers.DynamoDB(t)
	named := func(table string) string { return strings.Replace(dynamo.MetaURL, dynamo.Name, table, 1) }
	nobody := "dynamodb://facts?region=us-east-1&endpoint=http://" + closedPort(t)
	wrong := dynamo.Name + "-wrong-keys"
	createOtherTable(t, dynamo.HTTP, wrong)
	create := "aws dynamodb create-table --table-name "
	runBadStarts(t, []badStart{
		{"does not exist", dynamo.Env(), agentArgs("", named("absent-table")), 1,
			[]string{"--meta", "absent-table", "does not exist", dynamo.HTTP, create + "absent-table", "AttributeName=pk,KeyType=HASH", "--endpoint-url " + dynamo.HTTP}},
		{"wrong keys", dynamo.Env(), agentArgs("", named(wrong)), 1,
			[]string{"--meta", wrong, "id (HASH, N)", "want pk (HASH, S), sk (RANGE, S)", create}},
		{"wrong credentials", []string{"AWS_ACCESS_KEY_ID=not-letters", "AWS_SECRET_ACCESS_KEY=x"}, agentArgs("", dynamo.MetaURL), 1,
			[]string{"--meta", dynamo.Name, dynamo.HTTP, "AWS_ACCESS_KEY_ID"}},
		{"no credentials", noCredentials(), agentArgs("", dynamo.MetaURL), 1, []string{"--meta", dynamo.Name, "no AWS credentials", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"}},
		{"no role", noRole(dynamo.HTTP), agentArgs("", dynamo.MetaURL), 1, []string{"--meta", dynamo.Name, "no AWS credentials", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"}},
		{"nobody answers", dynamo.Env(), agentArgs("", nobody), 1, []string{"--meta", "facts", "no answer", "connection refused", "endpoint"}},
	})
}

// createOtherTable makes a table that is not Varve's.
func createOtherTable(t *testing.T, endpoint, name string) {
	t.Helper()
	client := dynamodb.NewFromConfig(aws.Config{
		Region: servers.Region, Credentials: credentials.NewStaticCredentialsProvider(servers.AccessKey, servers.SecretKey, ""),
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}, func(o *dynamodb.Options) { o.BaseEndpoint = &endpoint })
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: ddb.BillingModePayPerRequest,
		KeySchema:            []ddb.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: ddb.KeyTypeHash}},
		AttributeDefinitions: []ddb.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: ddb.ScalarAttributeTypeN}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// closedPort returns an address on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l := takePort(t)
	_ = l.Close()
	return l.Addr().String()
}

// takePort listens until the test ends.
func takePort(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestBadAddresses: ports and folders that somebody else has, and addresses that clients could not use.
func TestBadAddresses(t *testing.T) {
	taken := takePort(t).Addr().String()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("not a table"), 0o644); err != nil {
		t.Fatal(err)
	}
	fileURL := (&url.URL{Scheme: "bolt", Path: file}).String()
	runBadStarts(t, []badStart{
		{"Kafka port in use", nil, []string{"dev", "--memory", "--listen", taken, "--http", "127.0.0.1:0"}, 1, []string{taken, "address already in use", "--listen"}},
		{"HTTP port in use", nil, []string{"dev", "--memory", "--listen", "127.0.0.1:0", "--http", taken}, 1, []string{taken, "address already in use", "--http"}},
		{"all interfaces", nil, []string{"dev", "--memory", "--listen", "0.0.0.0:0", "--http", "127.0.0.1:0"}, 2, []string{"0.0.0.0:0", "all interfaces", "--advertise HOST:PORT"}},
		{"all interfaces of IPv6", nil, []string{"dev", "--memory", "--listen", "[::]:0", "--http", "127.0.0.1:0"}, 2, []string{"[::]:0", "all interfaces", "--advertise HOST:PORT"}},
		{"all interfaces, short", nil, []string{"dev", "--memory", "--listen", ":9092", "--http", "127.0.0.1:0"}, 2, []string{":9092", "all interfaces", "--advertise HOST:PORT"}},
		{"not an address", nil, []string{"dev", "--memory", "--listen", "9092", "--http", "127.0.0.1:0"}, 2, []string{"9092", "HOST:PORT"}},
		{"an address of somebody else", nil, []string{"dev", "--memory", "--listen", "192.0.2.1:9092", "--http", "127.0.0.1:0"}, 1, []string{"192.0.2.1:9092", "--listen"}},
		{"advertised without a port", nil, []string{"dev", "--memory", "--listen", "0.0.0.0:0", "--advertise", "example.com", "--http", "127.0.0.1:0"}, 1, []string{"advertise", "example.com", "HOST:PORT"}},
		{"a file for a folder", nil, []string{"dev", "--data", file, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"}, 1, []string{"--data", file}},
		{"not a table", nil, agentArgs("", fileURL), 1, []string{"--meta", file}},
	})
}

// TestSecondOnOneFolder: one folder, one process.
func TestSecondOnOneFolder(t *testing.T) {
	dir := t.TempDir()
	a := newAgent(t, nil, "dev", "--data", dir)
	a.start(t)
	code, text := refused(t, nil, "dev", "--data", dir, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
	oneLine(t, text, code, 1, "another varve runs on", dir, "stop it", "--data DIR")
	facts := filepath.Join(dir, "facts.db")
	code, text = refused(t, nil, agentArgs("", "bolt://"+facts)...)
	oneLine(t, text, code, 1, "--meta", facts, "in use by another process", "stop")
	code, text = refused(t, nil, "dev", "--data", dir, "--reset", "--yes", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
	oneLine(t, text, code, 1, "another varve runs on", dir, "stop it")
	createTopic(t, a.addr, "t", 1)
	want := []record{{value: []byte("nobody was disturbed")}}
	kgoClient{}.produce(t, a.addr, "t", "none", want)
	compare(t, kgoClient{}.consume(t, a.addr, "t"), want)
}

// TestSecondOfOneName: a start under a name in use ends with a line that says where the first one runs, and the first
// one notices nothing.
func TestSecondOfOneName(t *testing.T) {
	objects, facts := servers.MinIO(t), servers.DynamoDB(t)
	config := configFile(t, "heartbeat = 300ms", "ttl = 2s")
	args := []string{"agent", "--name", "a1", "--store", objects.StoreURL, "--meta", facts.MetaURL, "--config", config}
	a := newAgent(t, objects.Env(), args...)
	a.start(t)
	createTopic(t, a.addr, "t", 2)
	l := startLoad(t, a.addr, "t", 2)
	code, text := refused(t, objects.Env(), append(args, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")...)
	oneLine(t, text, code, 1, "agent a1 runs at "+a.addr+" since 20", "stop it", "--name")
	// And on the very address of the first one.
	code, text = refused(t, objects.Env(), append(args, "--listen", a.addr, "--http", "127.0.0.1:0")...)
	oneLine(t, text, code, 1, "address already in use", a.addr, "--listen")
	n := l.count()
	await(t, "further acknowledgements", func() bool { return l.count() > n })
	l.finish(t)
	l.check(t, a.addr, "t")
	if log := a.readLog(t); strings.Contains(log, "FENCED") {
		t.Error("the first one was fenced")
	}
}
