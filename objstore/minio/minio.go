// Package minio is the second driver for S3 and stores that speak its protocol, on minio-go: same contract, same settings
// and same files as package s3, so that a fault of one client library is not a fault of Varve. It sends plain PUT, GET, LIST
// and DELETE requests, one attempt each.
//
// What an answer means is read from the answer itself (client.go), not from the library's errors, which lose the difference
// between what a store said and what the library made up.
package minio

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	client "github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/s3answer"
)

// Config says which bucket, and how to talk to it. Only Bucket must be set.
type Config struct {
	Bucket    string
	Region    string // empty: AWS_REGION or AWS_DEFAULT_REGION, or us-east-1 if Endpoint is set
	Endpoint  string // base URL without a path; empty: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, or AWS itself
	PathStyle bool   // put the bucket into the path, not into the host name; most stores other than AWS need it

	// Checksum says when a Put carries a CRC-32C of its body for the store to check.
	Checksum Checksum
	// SignPayload makes each Put sign a SHA-256 of its body, for stores that insist.
	SignPayload bool

	// Time-outs of one request; zero means the default. Put and Get get a second more for each MiB that they move.
	PutTimeout    time.Duration // 60 s
	GetTimeout    time.Duration // 30 s, to the first byte, then as much again
	ListTimeout   time.Duration // 30 s
	DeleteTimeout time.Duration // 30 s

	// MaxIdleConns is how many connections are kept for the next burst of requests; zero means 256. With fewer than there
	// are concurrent requests, each burst dials again.
	MaxIdleConns int

	// Credentials replaces the usual AWS environment, files and roles, if not nil.
	Credentials *credentials.Credentials
}

// Checksum says when to send checksums.
type Checksum uint8

// When to send checksums. Some stores refuse or ignore the header, so off AWS it is to be asked for.
const (
	ChecksumAuto   Checksum = iota // where the endpoint is AWS
	ChecksumAlways                 // everywhere
	ChecksumNever
)

// Store is an objstore.Store in a bucket.
type Store struct {
	client   client.Core
	conns    *http.Transport
	cfg      Config
	endpoint string // for messages
	checksum bool
}

// New makes a store. It reads the AWS environment but sends nothing; see Check.
func New(_ context.Context, cfg Config) (*Store, error) {
	if cfg.Bucket == "" {
		return nil, fmt.Errorf("%w: open minio: no bucket", objstore.ErrRefused)
	}
	if err := s3utils.CheckValidBucketName(cfg.Bucket); err != nil {
		return nil, fmt.Errorf("%w: open minio: bucket %q: %w", objstore.ErrRefused, cfg.Bucket, err)
	}
	orEnv(&cfg.Endpoint, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
			return nil, fmt.Errorf("%w: open minio: endpoint %q is not of the form http(s)://host:port", objstore.ErrRefused, cfg.Endpoint)
		}
	}
	orEnv(&cfg.Region, "AWS_REGION", "AWS_DEFAULT_REGION")
	if cfg.Region == "" {
		if cfg.Endpoint == "" {
			return nil, fmt.Errorf("%w: open minio: no region: set region= or AWS_REGION", objstore.ErrRefused)
		}
		cfg.Region = "us-east-1" // what stores other than AWS take
	}
	orDefault(&cfg.PutTimeout, 60*time.Second)
	orDefault(&cfg.GetTimeout, 30*time.Second)
	orDefault(&cfg.ListTimeout, 30*time.Second)
	orDefault(&cfg.DeleteTimeout, 30*time.Second)
	if cfg.MaxIdleConns <= 0 {
		cfg.MaxIdleConns = 256
	}
	core, conns, err := newClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: open minio: %w", objstore.ErrRefused, err)
	}
	s := &Store{client: *core, conns: conns, cfg: cfg, endpoint: cfg.Endpoint}
	isAWS := s3answer.OnAWS(s.endpoint)
	s.checksum = cfg.Checksum == ChecksumAlways || cfg.Checksum == ChecksumAuto && isAWS
	if s.endpoint == "" {
		s.endpoint = "AWS region " + cfg.Region
	}
	return s, nil
}

// Close ends idle connections. The store still works after it.
func (s *Store) Close() error {
	s.conns.CloseIdleConnections()
	return nil
}

// orEnv sets an empty s to the first environment variable that is not empty.
func orEnv(s *string, names ...string) {
	for _, name := range names {
		if *s == "" {
			*s = os.Getenv(name)
		}
	}
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// Check sends one request to see whether the bucket is there and takes our credentials. Its error says in one line what to
// do about it.
func (s *Store) Check(ctx context.Context) error {
	c := s.begin(ctx, s.cfg.ListTimeout)
	defer c.End()
	_, err := s.client.BucketExists(c.Ctx, s.cfg.Bucket)
	if a := c.answer(); a.Status == 400 || a.Status == 403 {
		// An answer to HEAD has no body, which would say why: ask again, for one key.
		_, err := s.list(ctx, "check", "", "", 1)
		return err
	}
	return s.explain(c, "check", "", err)
}

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, body []byte) error {
	if err := objstore.Check(ctx, key); err != nil {
		return err
	}
	c := s.begin(ctx, s.cfg.PutTimeout+s3answer.Moving(int64(len(body))))
	defer c.End()
	// Without DisableContentSha256 the library signs the body piece by piece over http, which allocates and hashes.
	opts := client.PutObjectOptions{DisableContentSha256: true}
	if s.checksum {
		opts.UserMetadata = map[string]string{"x-amz-checksum-crc32c": s3answer.Checksum(body)}
	}
	hash := ""
	if s.cfg.SignPayload {
		sum := sha256.Sum256(body)
		hash = hex.EncodeToString(sum[:])
	}
	r := newBodyReader(body)
	defer r.release()
	_, err := s.client.PutObject(c.Ctx, s.cfg.Bucket, key, r, int64(len(body)), "", hash, opts)
	return s.explain(c, "put", key, err)
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	if err := objstore.Check(ctx); err != nil {
		return nil, err
	}
	return s.list(ctx, "list", prefix, after, objstore.ListLimit(limit))
}

// list asks for as many pages as it takes. Core.ListObjectsV2 would do, but it takes no context.
func (s *Store) list(ctx context.Context, op, prefix, after string, limit int) ([]objstore.Info, error) {
	c := s.begin(ctx, s.cfg.ListTimeout)
	defer c.End()
	opts := client.ListObjectsOptions{Prefix: prefix, StartAfter: after, MaxKeys: limit, Recursive: true, FetchOwner: new(bool)}
	var page []objstore.Info
	for o := range s.client.ListObjectsIter(c.Ctx, s.cfg.Bucket, opts) {
		if o.Err != nil {
			return nil, s.explain(c, op, prefix, o.Err)
		}
		page = append(page, objstore.Info{Key: o.Key, Size: o.Size, Modified: o.LastModified})
		if len(page) == limit {
			return page, nil
		}
	}
	// The library ends the loop without a word when the context has ended between two pages.
	if err := c.Ctx.Err(); err != nil {
		return nil, s.explain(c, op, prefix, err)
	}
	return page, nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if err := objstore.CheckDelete(ctx, keys); err != nil || len(keys) == 0 {
		return err
	}
	c := s.begin(ctx, s.cfg.DeleteTimeout)
	defer c.End()
	if len(keys) == 1 {
		err := s.client.RemoveObject(c.Ctx, s.cfg.Bucket, keys[0], client.RemoveObjectOptions{})
		if err = s.explain(c, "delete", keys[0], err); errors.Is(err, objstore.ErrNotFound) {
			return nil
		}
		return err
	}
	results, err := s.client.RemoveObjectsWithIter(c.Ctx, s.cfg.Bucket, named(keys), client.RemoveObjectsOptions{})
	if err != nil {
		return s.explain(c, "delete", keys[0], err)
	}
	return s.notDeleted(c, keys, results)
}

// named gives keys as the library wants them.
func named(keys []string) iter.Seq[client.ObjectInfo] {
	return func(yield func(client.ObjectInfo) bool) {
		for _, key := range keys {
			if !yield(client.ObjectInfo{Key: key}) {
				return
			}
		}
	}
}

// notDeleted returns a *objstore.DeleteError for the keys that an answer does not confirm, or nil. The library drops some
// failures of single keys, so that a key counts as gone only if the store says so.
func (s *Store) notDeleted(c *call, keys []string, results iter.Seq[client.RemoveObjectResult]) error {
	left := make(map[string]bool, len(keys))
	for _, key := range keys {
		left[key] = true
	}
	var failed objstore.DeleteError
	for r := range results {
		var e client.ErrorResponse
		switch {
		case r.Err == nil:
			delete(left, r.ObjectName)
		case c.failed() || r.ObjectName == "" || !errors.As(r.Err, &e): // about all of them
			return s.explain(c, "delete", keys[0], r.Err)
		case e.Code == s3answer.NoSuchKey:
			delete(left, r.ObjectName)
		case failed.Reason == nil:
			failed.Reason = s.place().Classify(s3answer.Answer{Code: e.Code, Message: e.Message, Status: http.StatusOK}, "delete")
		}
	}
	for _, key := range keys {
		if left[key] {
			failed.Keys = append(failed.Keys, key)
		}
	}
	if len(failed.Keys) == 0 {
		return nil
	}
	return &failed
}
