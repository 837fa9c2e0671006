package servers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
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

// Endpoint is one bucket on MinIO or one table on DynamoDB Local.
type Endpoint struct {
	HTTP string // http://127.0.0.1:PORT
	Name string // bucket or table: fresh for every call
	// One of the two is set: the URL as flags and drivers take it.
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

// names numbers buckets and tables within this process; each process has servers of its own.
var names atomic.Int64

// MinIO returns a new, empty bucket on this process's MinIO, which the first call installs and starts. It fails the
// test if that cannot be done.
func MinIO(t testing.TB) Endpoint {
	t.Helper()
	srv, err := minio()
	if err != nil {
		t.Fatalf("start MinIO: %v", err)
	}
	name := fmt.Sprintf("varve-test-%d", names.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	if err := CreateBucket(ctx, srv.base, name); err != nil {
		t.Fatal(err)
	}
	return Endpoint{HTTP: srv.base, Name: name,
		StoreURL: "s3://" + name + "?region=" + Region + "&endpoint=" + url.QueryEscape(srv.base) + "&path_style=true"}
}

// DynamoDB returns a new, empty table with keys pk and sk on this process's DynamoDB Local, which the first call
// installs and starts. It fails the test if that cannot be done.
func DynamoDB(t testing.TB) Endpoint {
	t.Helper()
	srv, err := dynamoDB()
	if err != nil {
		t.Fatalf("start DynamoDB Local: %v", err)
	}
	name := fmt.Sprintf("varve-test-%d", names.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	if err := CreateTable(ctx, srv.base, name); err != nil {
		t.Fatal(err)
	}
	return Endpoint{HTTP: srv.base, Name: name,
		MetaURL: "dynamodb://" + name + "?region=" + Region + "&endpoint=" + url.QueryEscape(srv.base)}
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
