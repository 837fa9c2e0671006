package servers

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"
)

// crashEnv makes the test binary a process that starts the servers and then dies of kill -9.
const crashEnv = "VARVE_TEST_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) != "" {
		crash()
	}
	goleak.VerifyTestMain(m)
}

func TestGivesAnEmptyBucket(t *testing.T) {
	for name, open := range map[string]func(testing.TB) Endpoint{"minio": MinIO, "versitygw": VersityGW, "localstack": LocalStack} {
		t.Run(name, func(t *testing.T) { givesAnEmptyBucket(t, open) })
	}
}

func givesAnEmptyBucket(t *testing.T, open func(testing.TB) Endpoint) {
	a, b := open(t), open(t)
	if a.Name == b.Name || a.HTTP != b.HTTP {
		t.Fatalf("two calls: %+v and %+v, want two buckets on one server", a, b)
	}
	client := s3.NewFromConfig(config(), func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &a.HTTP, true })
	_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &a.Name, Key: aws.String("k"), Body: strings.NewReader("v")})
	if err != nil {
		t.Fatal(err)
	}
	for bucket, want := range map[string]int{a.Name: 1, b.Name: 0} {
		out, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
		if err != nil || len(out.Contents) != want {
			t.Errorf("bucket %s: %d objects, error %v; want %d", bucket, len(out.Contents), err, want)
		}
	}
	if err := CreateBucket(t.Context(), a.HTTP, a.Name); err != nil {
		t.Errorf("creating a bucket again: %v", err)
	}
}

func TestGivesAnEmptyTable(t *testing.T) {
	for name, open := range map[string]func(testing.TB) Endpoint{"dynamodb": DynamoDB, "localstack": LocalStack} {
		t.Run(name, func(t *testing.T) { givesAnEmptyTable(t, open) })
	}
}

func givesAnEmptyTable(t *testing.T, open func(testing.TB) Endpoint) {
	e := open(t)
	client := dynamodb.NewFromConfig(config(), func(o *dynamodb.Options) { o.BaseEndpoint = &e.HTTP })
	item := map[string]ddb.AttributeValue{"pk": &ddb.AttributeValueMemberS{Value: "p"}, "sk": &ddb.AttributeValueMemberS{Value: "s"}}
	if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &e.Name, Item: item}); err != nil {
		t.Fatal(err)
	}
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &e.Name, Key: item, ConsistentRead: aws.Bool(true)})
	if err != nil || len(out.Item) != 2 {
		t.Errorf("get: %v, error %v", out, err)
	}
	if err := CreateTable(t.Context(), e.HTTP, e.Name); err != nil {
		t.Errorf("creating a table again: %v", err)
	}
}

func TestURLsParse(t *testing.T) {
	for _, raw := range []string{MinIO(t).StoreURL, DynamoDB(t).MetaURL} {
		u, err := url.Parse(raw)
		if err != nil || !strings.HasPrefix(u.Query().Get("endpoint"), "http://127.0.0.1:") {
			t.Errorf("%s: endpoint %q, error %v", raw, u.Query().Get("endpoint"), err)
		}
	}
}

func TestServersDieWithTheirProcess(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), crashEnv+"=1", "TMPDIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child ended with %v, want killed", err)
	}
	addrs := strings.Fields(string(out))
	if len(addrs) != len(crashers()) {
		t.Fatalf("the child printed %q, want %d addresses", out, len(crashers()))
	}
	for _, addr := range addrs {
		waitGone(t, addr)
	}
}

// waitGone waits until nothing listens; the deadline of the test binary bounds it.
func waitGone(t *testing.T, addr string) {
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return
		}
		_ = conn.Close()
		select {
		case <-t.Context().Done():
			t.Fatalf("%s still listens", addr)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// crashers starts the servers whose process dies in a test.
func crashers() []func() (*server, error) {
	return []func() (*server, error){minio, dynamoDB, versityGW, localStack}
}

// crash starts the servers, prints their addresses and kills its own process.
func crash() {
	for _, start := range crashers() {
		s, err := start()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		u, err := url.Parse(s.base)
		if err != nil {
			panic(err)
		}
		fmt.Println(u.Host)
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		panic(err)
	}
	_ = self.Kill()
	<-context.Background().Done()
}
