package servers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Credentials and region of every server here. DynamoDB Local takes letters and digits only, MinIO wants a secret of 8
// characters or more.
const (
	AccessKey = "varve"
	SecretKey = "varvevarve"
	Region    = "us-east-1"
)

// setupTimeout bounds the creation of one bucket or table.
const setupTimeout = 30 * time.Second

// Endpoint is one bucket of an object store, one table of a metastore, or on LocalStack one of each.
type Endpoint struct {
	HTTP string // http://127.0.0.1:PORT
	Name string // bucket or table: fresh for every call
	// One of the two is set, on LocalStack both: the URL as flags and drivers take it.
	StoreURL string
	MetaURL  string
}

// Env returns the credentials as environment lines for a child process, KEY=VALUE.
func (e Endpoint) Env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + AccessKey, "AWS_SECRET_ACCESS_KEY=" + SecretKey, "AWS_REGION=" + Region}
}

// Setenv puts the credentials into the environment of this process until the test ends.
func (e Endpoint) Setenv(t testing.TB) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", SecretKey)
	t.Setenv("AWS_REGION", Region)
}

// FullEnv is the environment variable that, when it is 1, has the end-to-end tests run with every client, and all of them
// on every pair of stores (make e2e FULL=1).
const FullEnv = "VARVE_FULL"

// Full reports whether it is 1.
func Full() bool { return os.Getenv(FullEnv) == "1" }

// names numbers buckets and tables within this process; each process has servers of its own.
var names atomic.Int64

// MinIO returns a new, empty bucket on this process's MinIO, which the first call installs and starts. It fails the
// test if that cannot be done.
func MinIO(t testing.TB) Endpoint {
	t.Helper()
	return bucket(t, "MinIO", minio)
}

// VersityGW is MinIO for versitygw.
func VersityGW(t testing.TB) Endpoint {
	t.Helper()
	return bucket(t, "versitygw", versityGW)
}

// DynamoDB returns a new, empty table with keys pk and sk on this process's DynamoDB Local, which the first call
// installs and starts. It fails the test if that cannot be done.
func DynamoDB(t testing.TB) Endpoint {
	t.Helper()
	return table(t, "DynamoDB Local", dynamoDB)
}

// LocalStack returns a new, empty bucket and a new, empty table of one name on this process's LocalStack, which the
// first call installs and starts; that takes half a minute. It fails the test if that cannot be done.
func LocalStack(t testing.TB) Endpoint {
	t.Helper()
	both := func(ctx context.Context, endpoint, name string) error {
		return errors.Join(CreateBucket(ctx, endpoint, name), CreateTable(ctx, endpoint, name))
	}
	e := fresh(t, "LocalStack", localStack, both)
	e.StoreURL, e.MetaURL = e.storeURL(), e.metaURL()
	return e
}

// bucket returns a new bucket of a server, which start starts.
func bucket(t testing.TB, what string, start func() (*server, error)) Endpoint {
	t.Helper()
	e := fresh(t, what, start, CreateBucket)
	e.StoreURL = e.storeURL()
	return e
}

// table returns a new table of a server, which start starts.
func table(t testing.TB, what string, start func() (*server, error)) Endpoint {
	t.Helper()
	e := fresh(t, what, start, CreateTable)
	e.MetaURL = e.metaURL()
	return e
}

func (e Endpoint) storeURL() string {
	return "s3://" + e.Name + "?region=" + Region + "&endpoint=" + url.QueryEscape(e.HTTP) + "&path_style=true"
}

func (e Endpoint) metaURL() string {
	return "dynamodb://" + e.Name + "?region=" + Region + "&endpoint=" + url.QueryEscape(e.HTTP)
}

func fresh(t testing.TB, what string, start func() (*server, error), create func(ctx context.Context, endpoint, name string) error) Endpoint {
	t.Helper()
	srv, err := start()
	if err != nil {
		t.Fatalf("start %s: %v", what, err)
	}
	e := Endpoint{HTTP: srv.base, Name: fmt.Sprintf("varve-test-%d", names.Add(1))}
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	if err := create(ctx, e.HTTP, e.Name); err != nil {
		t.Fatal(err)
	}
	return e
}

// config is for the clients that create buckets and tables: a transport of its own without idle connections, so that a
// test that looks for leaked goroutines finds none of ours.
func config() aws.Config {
	return aws.Config{
		Region:      Region,
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
}
