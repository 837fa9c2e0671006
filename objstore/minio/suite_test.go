package minio

import (
	"net/http/httptest"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/varvelog/varve/objstore/s3test"
)

// TestSuite runs what holds for every driver that speaks S3.
func TestSuite(t *testing.T) { s3test.Run(t, opened) }

// opened opens a driver as the suite asks for it.
func opened(t testing.TB, c s3test.Config) s3test.Store {
	t.Helper()
	cfg := Config{
		Bucket: c.Bucket, Region: c.Region, Endpoint: c.Endpoint, PathStyle: true, SignPayload: c.SignPayload, PutTimeout: c.PutTimeout,
		Credentials: credentials.NewStaticV4(c.Key, c.Secret, ""),
	}
	if c.Checksum {
		cfg.Checksum = ChecksumAlways
	}
	return start(t, cfg)
}

// open returns a driver for a server; change may alter its settings.
func open(t testing.TB, srv *httptest.Server, change ...func(*Config)) *Store {
	t.Helper()
	cfg := Config{
		Bucket: "bucket", Region: "eu-test-1", Endpoint: srv.URL, PathStyle: true,
		Credentials: credentials.NewStaticV4("id", "secret", ""),
	}
	for _, c := range change {
		c(&cfg)
	}
	return start(t, cfg)
}

func start(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
