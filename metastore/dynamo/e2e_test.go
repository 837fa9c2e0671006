//go:build e2e

package dynamo

import (
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/varvelog/varve/localstack/servers"
	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/mem"
	"github.com/varvelog/varve/metastore/storetest"
)

// endpoints are the stores of the suite: VARVE_TEST_DYNAMO, a URL, or else a DynamoDB Local and a LocalStack of our own.
func endpoints() map[string]func(testing.TB) string {
	if e := os.Getenv("VARVE_TEST_DYNAMO"); e != "" {
		return map[string]func(testing.TB) string{"given": func(testing.TB) string { return e }}
	}
	return map[string]func(testing.TB) string{
		"DynamoDB Local": func(t testing.TB) string { return servers.DynamoDB(t).HTTP },
		"LocalStack":     func(t testing.TB) string { return servers.LocalStack(t).HTTP },
	}
}

// onEach runs a test on each of them.
func onEach(t *testing.T, test func(t *testing.T, endpoint string)) {
	for name, start := range endpoints() {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
}

// realAt is a store on a new table of the endpoint, which is not created yet.
func realAt(t *testing.T, endpoint string) *Store {
	s, err := New(t.Context(), Config{
		Table: "varve-" + rand.Text(), Region: servers.Region, Endpoint: endpoint, Timeout: 30 * time.Second,
		Credentials: credentials.NewStaticCredentialsProvider(servers.AccessKey, servers.SecretKey, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func table(t *testing.T, endpoint string) *Store {
	s := realAt(t, endpoint)
	if err := s.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	onEach(t, func(t *testing.T, endpoint string) {
		s := table(t, endpoint)
		storetest.Run(t, func(*testing.T) metastore.Store { return s })
	})
}

func TestAgreesWithMem(t *testing.T) {
	onEach(t, func(t *testing.T, endpoint string) {
		storetest.Agree(t, storetest.Seed(t), 800, mem.New(), table(t, endpoint))
	})
}

func TestCheckOfARealTable(t *testing.T) { onEach(t, checkOfARealTable) }

func checkOfARealTable(t *testing.T, endpoint string) {
	s := realAt(t, endpoint)
	err := s.Check(t.Context())
	if !errors.Is(err, metastore.ErrRefused) || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("missing table: %v", err)
	}
	_, err = s.Get(t.Context(), metastore.Key{PK: "a", SK: "b"}, metastore.Consistent)
	if !errors.Is(err, metastore.ErrRefused) || !strings.Contains(err.Error(), s.cfg.Table) {
		t.Errorf("get from a missing table: %v", err)
	}
	for range 2 {
		if err := s.CreateTable(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	other := realAt(t, endpoint)
	_, err = other.client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &other.cfg.Table, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeN}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Check(t.Context()); !errors.Is(err, metastore.ErrRefused) || !strings.Contains(err.Error(), "pk (HASH, N), want") {
		t.Errorf("wrong keys: %v", err)
	}
}
