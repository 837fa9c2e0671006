//go:build e2e

package s3

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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/varvelog/varve/localstack/servers"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/storetest"
)

// real returns a driver on a new bucket of the store whose URL stands in VARVE_TEST_S3, with the credentials of
// VARVE_TEST_S3_KEY and VARVE_TEST_S3_SECRET; without the variables, of this process's MinIO.
func real(t testing.TB, change ...func(*Config)) *Store {
	t.Helper()
	if endpoint := os.Getenv("VARVE_TEST_S3"); endpoint != "" {
		return realAt(t, endpoint, change...)
	}
	return realAt(t, servers.MinIO(t).HTTP, change...)
}

// realAt returns a driver on a new bucket of the store at endpoint.
func realAt(t testing.TB, endpoint string, change ...func(*Config)) *Store {
	t.Helper()
	cfg := Config{
		Bucket: fmt.Sprintf("varve-test-%016x", rand.Uint64()), Region: "us-east-1", Endpoint: endpoint, PathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(env("VARVE_TEST_S3_KEY", servers.AccessKey), env("VARVE_TEST_S3_SECRET", servers.SecretKey), ""),
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
	if _, err := s.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &cfg.Bucket}); err != nil {
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
	if _, err := s.client.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &s.cfg.Bucket}); err != nil {
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

// TestRealConformanceFull runs the suite on the other stores, with the settings that a URL gives and with checksums.
func TestRealConformanceFull(t *testing.T) {
	stores := map[string]func(testing.TB) servers.Endpoint{"versitygw": servers.VersityGW, "localstack": servers.LocalStack}
	if !servers.Full() {
		t.Logf("left out without %s=1: %d stores", servers.FullEnv, len(stores))
		return
	}
	for name, open := range stores {
		for _, checksum := range []Checksum{ChecksumAuto, ChecksumAlways} {
			t.Run(fmt.Sprintf("%s, checksum %d", name, checksum), func(t *testing.T) {
				s := realAt(t, open(t).HTTP, func(c *Config) { c.Checksum = checksum })
				storetest.Run(t, func(*testing.T) objstore.Store { return s })
			})
		}
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
		"secret": {bad(func(c *Config) { c.Credentials = credentials.NewStaticCredentialsProvider("varve", "wrong", "") }), "SignatureDoesNotMatch"},
		"key":    {bad(func(c *Config) { c.Credentials = credentials.NewStaticCredentialsProvider("nobody", "wrong", "") }), "InvalidAccessKeyId"},
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
	_, err := s.client.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: &s.cfg.Bucket, Key: aws.String("k"), Body: strings.NewReader("body"), ChecksumCRC32C: aws.String(crc32cHeader([]byte("other"))),
	}, s.payload)
	c := s.begin(t.Context(), time.Minute)
	defer c.end()
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

// cpu returns the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
