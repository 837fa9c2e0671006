//go:build e2e

package s3test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/localstack/servers"
	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/storetest"
)

// Endpoints are the stores that RunReal meets: a name, and what starts it and returns its URL. With VARVE_TEST_S3 set it is
// that URL alone, with the credentials of VARVE_TEST_S3_KEY and VARVE_TEST_S3_SECRET.
func Endpoints() map[string]func(testing.TB) string {
	if url := os.Getenv("VARVE_TEST_S3"); url != "" {
		return map[string]func(testing.TB) string{"given": func(testing.TB) string { return url }}
	}
	return map[string]func(testing.TB) string{
		"MinIO":      func(t testing.TB) string { return servers.MinIO(t).HTTP },
		"versitygw":  func(t testing.TB) string { return servers.VersityGW(t).HTTP },
		"LocalStack": func(t testing.TB) string { return servers.LocalStack(t).HTTP },
	}
}

// RunReal checks a driver on every store of Endpoints: the contract, with the settings that a URL gives and with
// checksums; on MinIO also signed payloads, and the lines that a wrong set-up prints. On the stores named by ascii the
// driver lists no keys beyond ASCII.
func RunReal(t *testing.T, open Open, ascii ...string) {
	settings := map[string]func(*Config){
		"plain":    func(*Config) {},
		"checksum": func(c *Config) { c.Checksum = true },
	}
	signed := map[string]func(*Config){
		"signed payload":  func(c *Config) { c.SignPayload = true },
		"signed, checked": func(c *Config) { c.SignPayload, c.Checksum = true, true },
	}
	for name, start := range Endpoints() {
		t.Run(name, func(t *testing.T) {
			endpoint, rules := start(t), storetest.Run
			if slices.Contains(ascii, name) {
				rules = storetest.RunASCII
			}
			contract(t, open, endpoint, settings, rules)
			if name == "MinIO" { // the others check less: no credentials at all, or other words
				contract(t, open, endpoint, signed, rules)
				t.Run("refusals", func(t *testing.T) { refusals(t, open, endpoint) })
			}
		})
	}
}

func contract(t *testing.T, open Open, endpoint string, settings map[string]func(*Config), rules func(*testing.T, func(*testing.T) objstore.Store)) {
	for name, change := range settings {
		t.Run(name, func(t *testing.T) {
			s, _ := Bucket(t, open, endpoint, change)
			rules(t, func(*testing.T) objstore.Store { return s })
		})
	}
}

// Bucket opens a driver on a new bucket, which goes when the test ends.
func Bucket(t testing.TB, open Open, endpoint string, change func(*Config)) (Store, Config) {
	t.Helper()
	c := Config{
		Bucket: fmt.Sprintf("varve-test-%016x", rand.Uint64()), Region: servers.Region, Endpoint: endpoint,
		Key: env("VARVE_TEST_S3_KEY", servers.AccessKey), Secret: env("VARVE_TEST_S3_SECRET", servers.SecretKey),
	}
	change(&c)
	s := open(t, c)
	if err := s.Check(t.Context()); !errors.Is(err, objstore.ErrRefused) || !strings.Contains(err.Error(), "aws s3 mb s3://"+c.Bucket) {
		t.Errorf("check before the bucket is there: %v", err)
	}
	if err := servers.CreateBucketAs(t.Context(), endpoint, c.Bucket, c.Key, c.Secret); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		empty(ctx, t, s)
		if err := servers.DeleteBucketAs(ctx, endpoint, c.Bucket, c.Key, c.Secret); err != nil {
			t.Error(err)
		}
	})
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, c
}

func empty(ctx context.Context, t testing.TB, s Store) {
	for {
		page, err := s.List(ctx, "", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return
		}
		keys := make([]string, len(page))
		for i, info := range page {
			keys[i] = info.Key
		}
		if err := s.Delete(ctx, keys...); err != nil {
			t.Fatal(err)
		}
	}
}

func env(name, value string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return value
}

// refusals checks the lines that a wrong set-up prints.
func refusals(t *testing.T, open Open, endpoint string) {
	_, good := Bucket(t, open, endpoint, func(*Config) {})
	for _, c := range []struct {
		name   string
		change func(*Config)
		word   string
	}{
		{"secret", func(c *Config) { c.Secret = "wrong" }, "SignatureDoesNotMatch"},
		{"key", func(c *Config) { c.Key, c.Secret = "nobody", "wrong" }, "InvalidAccessKeyId"},
		{"bucket", func(c *Config) { c.Bucket = "varve-test-absent" }, "aws s3 mb"},
	} {
		bad := good
		c.change(&bad)
		s := open(t, bad)
		for _, op := range []string{"check", "put", "get", "list", "delete", "deletes"} {
			WantOnly(t, c.name+": "+op, Do(t.Context(), s, op), objstore.ErrRefused, c.word)
		}
	}
}
