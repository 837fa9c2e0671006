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

// endpoint is VARVE_TEST_DYNAMO, a URL, or else a DynamoDB Local of our own.
func endpoint(t *testing.T) string {
	if e := os.Getenv("VARVE_TEST_DYNAMO"); e != "" {
		return e
	}
	return servers.DynamoDB(t).HTTP
}

// real is a store on a new table of the endpoint, which is not created yet.
func real(t *testing.T) *Store { return realAt(t, endpoint(t)) }

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

func table(t *testing.T) *Store {
	s := real(t)
	if err := s.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	s := table(t)
	storetest.Run(t, func(*testing.T) metastore.Store { return s })
}

// TestConformanceFull runs the suite on LocalStack.
func TestConformanceFull(t *testing.T) {
	if !servers.Full() {
		t.Logf("left out without %s=1", servers.FullEnv)
		return
	}
	s := realAt(t, servers.LocalStack(t).HTTP)
	if err := s.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, func(*testing.T) metastore.Store { return s })
	storetest.Agree(t, storetest.Seed(t), 500, mem.New(), s)
}

func TestAgreesWithMem(t *testing.T) {
	storetest.Agree(t, storetest.Seed(t), 1500, mem.New(), table(t))
}

func TestCheckOfARealTable(t *testing.T) {
	s := real(t)
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
	other := real(t)
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
