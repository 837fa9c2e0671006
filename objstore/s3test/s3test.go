// Package s3test is the suite of the drivers that speak S3, s3 and minio, beyond the contract that storetest holds: Run
// plays the servers, RunReal (build tag e2e) takes those of this machine.
package s3test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/storetest"
)

// Config is what the suite asks of a driver; the bucket in the path, and defaults for the rest.
type Config struct {
	Bucket, Region, Endpoint string
	Key, Secret              string
	Checksum                 bool // sent with each Put
	SignPayload              bool
	PutTimeout               time.Duration // 0: the driver's
}

// Store is a driver.
type Store interface {
	objstore.Store
	// Check looks at the bucket as an agent does when it starts.
	Check(ctx context.Context) error
}

// Open opens a driver; it is closed when the test ends.
type Open func(t testing.TB, c Config) Store

// Run checks a driver against servers that answer in every way a store, or a proxy, may.
func Run(t *testing.T, open Open) {
	o := opener{open}
	for _, rule := range []struct {
		name  string
		check func(*testing.T, opener)
	}{
		{"conformance", conformance},
		{"what each answer means", answers},
		{"an error inside a 200", errorInside200},
		{"check", check},
		{"no answer", noAnswer},
		{"a delete in part", partialDelete},
		{"short bodies", shortBodies},
		{"a range that is ignored", rangeIgnored},
		{"the end of an empty object", emptySuffix},
		{"headers of a put", putHeaders},
		{"a put copies nothing", putCopiesNothing},
		{"a put lets go of its body", putLetsGo},
		{"an early answer", earlyAnswer},
		{"the caller ends", callerEnds},
		{"connections", connections},
	} {
		t.Run(rule.name, func(t *testing.T) { rule.check(t, o) })
	}
}

// opener opens drivers for servers that the suite plays.
type opener struct{ open Open }

func (o opener) at(t testing.TB, endpoint string) Store { return o.with(t, endpoint, func(*Config) {}) }

func (o opener) with(t testing.TB, endpoint string, change func(*Config)) Store {
	t.Helper()
	c := Config{Bucket: "bucket", Region: "eu-test-1", Endpoint: endpoint, Key: "id", Secret: "secret"}
	change(&c)
	return o.open(t, c)
}

// conformance holds the contract, also on a store that answers lists a few keys at a time.
func conformance(t *testing.T, o opener) {
	for name, page := range map[string]int{"whole lists": 0, "small pages": 3} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) objstore.Store {
				f := NewFake()
				f.Page = page
				return o.at(t, Serve(t, f).URL)
			})
		})
	}
}

// Do runs one operation of a store (put, get, range, list, delete, deletes, check) and returns its error.
func Do(ctx context.Context, s Store, op string) error {
	var err error
	switch op {
	case "put":
		err = s.Put(ctx, "k", []byte("body"))
	case "get":
		_, err = s.Get(ctx, "k", objstore.Range{})
	case "range":
		_, err = s.Get(ctx, "k", objstore.Exact(0, 10))
	case "list":
		_, err = s.List(ctx, "", "", 0)
	case "delete":
		err = s.Delete(ctx, "k")
	case "deletes":
		err = s.Delete(ctx, "k", "l", "m")
	case "check":
		err = s.Check(ctx)
	}
	return err
}

var sentinels = []error{objstore.ErrNotFound, objstore.ErrRange, objstore.ErrThrottled, objstore.ErrRefused, objstore.ErrCorrupt, objstore.ErrUnknown}

// WantOnly checks that err matches want and no other sentinel, and has all words in its text, which is one line.
func WantOnly(t testing.TB, what string, err, want error, words ...string) {
	t.Helper()
	t.Helper()
	for _, s := range sentinels {
		if errors.Is(err, s) != (s == want) {
			t.Errorf("%s: %v, want %v alone", what, err, want)
			return
		}
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not say %q", what, err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %q has several lines", what, err)
	}
}
