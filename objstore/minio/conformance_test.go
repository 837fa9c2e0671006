//go:build e2e

package minio

import (
	"errors"
	"strings"
	"testing"
	"time"

	client "github.com/minio/minio-go/v7"

	"github.com/varvelog/varve/localstack/servers"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/s3answer"
	"github.com/varvelog/varve/objstore/s3test"
)

// TestReal runs the suite on real stores. The library asks for URL-encoded keys in every list, and LocalStack 4.14 then
// sorts and compares the encoded ones: "%C3%A9" (é) before "A".
func TestReal(t *testing.T) { s3test.RunReal(t, opened, "LocalStack") }

// real returns a driver on a new bucket of this process's MinIO.
func real(t testing.TB) *Store {
	t.Helper()
	s, _ := s3test.Bucket(t, opened, servers.MinIO(t).HTTP, func(*s3test.Config) {})
	return s.(*Store)
}

// TestRealDamage checks that the store finds a wrong checksum, and stores nothing.
func TestRealDamage(t *testing.T) {
	s := real(t)
	c := s.begin(t.Context(), time.Minute)
	defer c.End()
	opts := client.PutObjectOptions{DisableContentSha256: true, UserMetadata: map[string]string{"x-amz-checksum-crc32c": s3answer.Checksum([]byte("other"))}}
	_, err := s.client.PutObject(c.Ctx, s.cfg.Bucket, "k", strings.NewReader("body"), 4, "", "", opts)
	s3test.WantOnly(t, "put with a wrong checksum", s.explain(c, "put", "k", err), objstore.ErrCorrupt)
	if _, err := s.Get(t.Context(), "k", objstore.Range{}); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("get: %v, want ErrNotFound", err)
	}
}

// BenchmarkRealPut measures an upload.
func BenchmarkRealPut(b *testing.B) { s3test.BenchmarkPut(b, opened) }

// BenchmarkRealGet measures a ranged read.
func BenchmarkRealGet(b *testing.B) {
	s := real(b)
	if err := s.Put(b.Context(), "k", make([]byte, 8<<20)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(b.Context(), "k", objstore.Exact(1<<20, 64<<10)); err != nil {
			b.Fatal(err)
		}
	}
}
