//go:build e2e

package s3

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/varvelog/varve/localstack/servers"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/s3answer"
	"github.com/varvelog/varve/objstore/s3test"
)

// TestReal runs the suite on real stores.
func TestReal(t *testing.T) { s3test.RunReal(t, opened) }

// real returns a driver on a new bucket of this process's MinIO.
func real(t testing.TB) *Store {
	t.Helper()
	s, _ := s3test.Bucket(t, opened, servers.MinIO(t).HTTP, func(*s3test.Config) {})
	return s.(*Store)
}

// TestRealDamage checks that the store finds a wrong checksum, and stores nothing.
func TestRealDamage(t *testing.T) {
	s := real(t)
	_, err := s.client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: aws.String("k"), Body: strings.NewReader("body"), ChecksumCRC32C: aws.String(s3answer.Checksum([]byte("other"))),
	}, s.payload)
	c := s.begin(t.Context(), time.Minute)
	defer c.End()
	s3test.WantOnly(t, "put with a wrong checksum", s.explain(c, "put", "k", err), objstore.ErrCorrupt)
	if _, err := s.Get(t.Context(), "k", objstore.Range{}); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("get: %v, want ErrNotFound", err)
	}
}

// BenchmarkRealPut measures an upload.
func BenchmarkRealPut(b *testing.B) { s3test.BenchmarkPut(b, opened) }
