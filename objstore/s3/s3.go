// Package s3 is the driver for S3 and stores that speak its protocol, on aws-sdk-go-v2. It sends plain PUT, GET, LIST and
// DELETE requests, one attempt each: the callers of objstore.Store repeat, since they alone know what may be repeated, when,
// and with which back-off.
//
// An object is sent straight from the caller's slice, which nothing reads any more once Put has returned: a request that
// was given up could otherwise send bytes that the caller has put there since.
package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/s3answer"
)

// Config says which bucket, and how to talk to it. Only Bucket must be set.
type Config struct {
	Bucket    string
	Region    string // empty: from the AWS environment, or us-east-1 if Endpoint is set
	Endpoint  string // base URL; empty: from the AWS environment, or AWS itself
	PathStyle bool   // put the bucket into the path, not into the host name; most stores other than AWS need it

	// Checksum says when a Put carries a CRC-32C of its body for the store to check.
	Checksum Checksum
	// SignPayload makes each Put sign a SHA-256 of its body, for stores that insist. It doubles the processor time of an
	// upload (8 MiB over loopback to MinIO: 1.4 CPU-s/GiB, 0.67 without).
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
	Credentials aws.CredentialsProvider
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
	client   *s3.Client
	conns    *http.Client // the client's connections
	cfg      Config
	endpoint string // for messages
	checksum bool
}

// New makes a store. It reads the AWS environment and files but sends nothing; see Check.
func New(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Bucket == "" {
		return nil, fmt.Errorf("%w: open s3: no bucket", objstore.ErrRefused)
	}
	if cfg.Endpoint != "" {
		if u, err := url.Parse(cfg.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%w: open s3: endpoint %q is not of the form http(s)://host:port", objstore.ErrRefused, cfg.Endpoint)
		}
	}
	orDefault(&cfg.PutTimeout, 60*time.Second)
	orDefault(&cfg.GetTimeout, 30*time.Second)
	orDefault(&cfg.ListTimeout, 30*time.Second)
	orDefault(&cfg.DeleteTimeout, 30*time.Second)
	if cfg.MaxIdleConns <= 0 {
		cfg.MaxIdleConns = 256
	}
	client, conns, err := newClient(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: open s3: %w", objstore.ErrRefused, err)
	}
	s := &Store{client: client, conns: conns, cfg: cfg, endpoint: aws.ToString(client.Options().BaseEndpoint)}
	isAWS := s3answer.OnAWS(s.endpoint)
	s.checksum = cfg.Checksum == ChecksumAlways || cfg.Checksum == ChecksumAuto && isAWS
	if s.endpoint == "" {
		s.endpoint = "AWS region " + client.Options().Region
	}
	return s, nil
}

// Close ends idle connections. The store still works after it.
func (s *Store) Close() error {
	s.conns.CloseIdleConnections()
	return nil
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
	_, err := s.client.HeadBucket(c.Ctx, &s3.HeadBucketInput{Bucket: &s.cfg.Bucket})
	if err == nil {
		return nil
	}
	if status := statusOf(err); status == 400 || status == 403 {
		// An answer to HEAD has no body, which would say why: ask again, for one key.
		_, listErr := s.client.ListObjectsV2(c.Ctx, &s3.ListObjectsV2Input{Bucket: &s.cfg.Bucket, MaxKeys: aws.Int32(1)})
		if listErr == nil {
			return nil
		}
		err = listErr
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
	in := &s3.PutObjectInput{
		Bucket:        &s.cfg.Bucket,
		Key:           &key,
		Body:          bytes.NewReader(body),
		ContentLength: aws.Int64(int64(len(body))),
	}
	if s.checksum {
		in.ChecksumCRC32C = aws.String(s3answer.Checksum(body))
	}
	_, err := s.client.PutObject(c.Ctx, in, s.payload)
	return s.explain(c, "put", key, err)
}

// payload keeps the SDK from hashing a body for the signature, which over http it does by default. TLS or the CRC-32C guard
// the bytes, and each batch its own.
func (s *Store) payload(o *s3.Options) {
	if !s.cfg.SignPayload {
		o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
	}
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]objstore.Info, error) {
	if err := objstore.Check(ctx); err != nil {
		return nil, err
	}
	c := s.begin(ctx, s.cfg.ListTimeout)
	defer c.End()
	limit = objstore.ListLimit(limit)
	in := &s3.ListObjectsV2Input{Bucket: &s.cfg.Bucket, Prefix: &prefix, MaxKeys: aws.Int32(int32(limit))}
	if after != "" {
		in.StartAfter = &after
	}
	var page []objstore.Info
	for {
		out, err := s.client.ListObjectsV2(c.Ctx, in)
		if err != nil {
			return nil, s.explain(c, "list", prefix, err)
		}
		for _, o := range out.Contents {
			page = append(page, objstore.Info{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)})
		}
		// A store may answer with less than it was asked for and still have more.
		if len(page) >= limit || !aws.ToBool(out.IsTruncated) {
			return page[:min(len(page), limit)], nil
		}
		if aws.ToString(out.NextContinuationToken) == "" {
			return nil, fmt.Errorf("%w: list %q: a cut answer without a way to go on", objstore.ErrUnknown, prefix)
		}
		in.ContinuationToken, in.StartAfter = out.NextContinuationToken, nil
		in.MaxKeys = aws.Int32(int32(limit - len(page)))
	}
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if err := objstore.CheckDelete(ctx, keys); err != nil || len(keys) == 0 {
		return err
	}
	c := s.begin(ctx, s.cfg.DeleteTimeout)
	defer c.End()
	if len(keys) == 1 {
		_, err := s.client.DeleteObject(c.Ctx, &s3.DeleteObjectInput{Bucket: &s.cfg.Bucket, Key: &keys[0]})
		if err = s.explain(c, "delete", keys[0], err); errors.Is(err, objstore.ErrNotFound) {
			return nil
		}
		return err
	}
	ids := make([]types.ObjectIdentifier, len(keys))
	for i := range keys {
		ids[i].Key = &keys[i]
	}
	out, err := s.client.DeleteObjects(c.Ctx, &s3.DeleteObjectsInput{
		Bucket: &s.cfg.Bucket,
		Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}, // name those that failed alone
	})
	if err != nil {
		return s.explain(c, "delete", keys[0], err)
	}
	return s.notDeleted(out.Errors)
}

// notDeleted returns a *objstore.DeleteError for the keys that an answer names, or nil.
func (s *Store) notDeleted(errs []types.Error) error {
	var failed objstore.DeleteError
	for _, e := range errs {
		code := aws.ToString(e.Code)
		if code == s3answer.NoSuchKey {
			continue
		}
		if len(failed.Keys) == 0 {
			a := s3answer.Answer{Code: code, Message: aws.ToString(e.Message), Status: http.StatusOK}
			failed.Reason = s.place().Classify(a, "delete")
		}
		failed.Keys = append(failed.Keys, aws.ToString(e.Key))
	}
	if len(failed.Keys) == 0 {
		return nil
	}
	return &failed
}
