//go:build e2e

package minio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	client "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/varvelog/varve/localstack/servers"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/storetest"
)

// real returns a driver on a new bucket of the store whose URL stands in VARVE_TEST_S3, with the credentials of
// VARVE_TEST_S3_KEY and VARVE_TEST_S3_SECRET; without the variables, of this process's MinIO.
func real(t testing.TB, change ...func(*Config)) *Store {
	t.Helper()
	endpoint := os.Getenv("VARVE_TEST_S3")
	if endpoint == "" {
		endpoint = servers.MinIO(t).HTTP
	}
	cfg := Config{
		Bucket: fmt.Sprintf("varve-test-%016x", rand.Uint64()), Region: "us-east-1", Endpoint: endpoint, PathStyle: true,
		Credentials: credentials.NewStaticV4(env("VARVE_TEST_S3_KEY", servers.AccessKey), env("VARVE_TEST_S3_SECRET", servers.SecretKey), ""),
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); !errors.Is(err, objstore.ErrRefused) || !strings.Contains(err.Error(), "aws s3 mb s3://"+cfg.Bucket) {
		t.Errorf("check before the bucket is there: %v", err)
	}
	if err := s.client.MakeBucket(t.Context(), cfg.Bucket, client.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		remove(t, s)
		s.Close()
	})
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// remove empties and removes the bucket.
func remove(t testing.TB, s *Store) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		page, err := s.List(ctx, "", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		keys := make([]string, len(page))
		for i, info := range page {
			keys[i] = info.Key
		}
		if err := s.Delete(ctx, keys...); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.client.RemoveBucket(ctx, s.cfg.Bucket); err != nil {
		t.Error(err)
	}
}

func env(name, value string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return value
}

func TestRealConformance(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"plain":           func(*Config) {},
		"checksum":        func(c *Config) { c.Checksum = ChecksumAlways },
		"signed payload":  func(c *Config) { c.SignPayload = true },
		"signed, checked": func(c *Config) { c.SignPayload, c.Checksum = true, ChecksumAlways },
	} {
		t.Run(name, func(t *testing.T) {
			s := real(t, change)
			storetest.Run(t, func(*testing.T) objstore.Store { return s })
		})
	}
}

// TestRealRefusals checks the lines that a wrong set-up prints.
func TestRealRefusals(t *testing.T) {
	good := real(t)
	bad := func(change func(*Config)) *Store {
		cfg := good.cfg
		change(&cfg)
		s, err := New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	for name, c := range map[string]struct {
		s    *Store
		word string
	}{
		"secret": {bad(func(c *Config) { c.Credentials = credentials.NewStaticV4("varve", "wrong", "") }), "SignatureDoesNotMatch"},
		"key":    {bad(func(c *Config) { c.Credentials = credentials.NewStaticV4("nobody", "wrong", "") }), "InvalidAccessKeyId"},
		"bucket": {bad(func(c *Config) { c.Bucket = "varve-test-absent" }), "aws s3 mb"},
	} {
		for _, op := range []string{"check", "put", "get", "list", "delete", "deletes"} {
			err := do(t.Context(), c.s, op)
			wantOnly(t, name+": "+op, err, objstore.ErrRefused, c.word)
			if op == "check" {
				t.Log(err)
			}
		}
	}
}

// TestRealDamage checks that the store finds a wrong checksum, and stores nothing.
func TestRealDamage(t *testing.T) {
	s := real(t)
	c := s.begin(t.Context(), time.Minute)
	defer c.end()
	opts := client.PutObjectOptions{DisableContentSha256: true, UserMetadata: map[string]string{"x-amz-checksum-crc32c": crc32cHeader([]byte("other"))}}
	_, err := s.client.PutObject(c.ctx, s.cfg.Bucket, "k", strings.NewReader("body"), 4, "", "", opts)
	wantOnly(t, "put with a wrong checksum", s.explain(c, "put", "k", err), objstore.ErrCorrupt)
	if _, err := s.Get(t.Context(), "k", objstore.Range{}); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("get: %v, want ErrNotFound", err)
	}
}

// BenchmarkRealPut measures an upload; cpu-s/GiB is what this process used, the server aside.
func BenchmarkRealPut(b *testing.B) {
	for _, size := range []int{64 << 10, 8 << 20} {
		for name, change := range map[string]func(*Config){
			"unsigned":        func(*Config) {},
			"unsigned,crc32c": func(c *Config) { c.Checksum = ChecksumAlways },
			"signed":          func(c *Config) { c.SignPayload = true },
		} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, name), func(b *testing.B) {
				s := real(b, change)
				body := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				runtime.GC()
				b.ResetTimer()
				start := cpu(b)
				for range b.N {
					if err := s.Put(b.Context(), "k", body); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric((cpu(b)-start).Seconds()/(float64(size)*float64(b.N)/(1<<30)), "cpu-s/GiB")
			})
		}
	}
}

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

// cpu returns the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
