package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/varvelog/varve/objstore/s3answer"
)

// newClient builds the SDK's client from the usual AWS sources and cfg.
func newClient(ctx context.Context, cfg Config) (*s3.Client, *http.Client, error) {
	// The search for a role warns about what this driver's errors say too, on stderr.
	load := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})}
	if cfg.Region != "" {
		load = append(load, config.WithRegion(cfg.Region))
	}
	if cfg.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(cfg.Credentials))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, nil, err
	}
	if cfg.Endpoint != "" {
		c.BaseEndpoint = &cfg.Endpoint
	}
	if c.Region == "" {
		if c.BaseEndpoint == nil {
			return nil, nil, errors.New("no region: set region= or AWS_REGION")
		}
		c.Region = "us-east-1" // what stores other than AWS take
	}
	// LoadDefaultConfig has put AWS_CA_BUNDLE into its client, so ours is a copy of that.
	base, ok := c.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		base = awshttp.NewBuildableClient()
	}
	conns := newHTTP(base, cfg.MaxIdleConns)
	c.HTTPClient = conns
	c.Credentials = provider{c.Credentials}
	c.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	c.Logger = logging.Nop{}
	c.ClientLogMode = 0
	// Checksums of the SDK's own choice break some stores (aws/aws-sdk-go-v2#3003) and copy bodies on the way.
	c.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	c.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	client := s3.NewFromConfig(c, func(o *s3.Options) {
		o.UsePathStyle = cfg.PathStyle
		o.DisableLogOutputChecksumValidationSkipped = true // else a line for each ranged GET
		o.ContinueHeaderThresholdBytes = -1                // no round trip before the body
		o.RetryMaxAttempts = 1
	})
	return client, conns, nil
}

// newHTTP returns a client that keeps idle connections for a burst, and follows no redirects: those of S3 name a region,
// for which the signature would be wrong.
func newHTTP(base *awshttp.BuildableClient, idle int) *http.Client {
	t := base.GetTransport() // a copy
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.MaxIdleConns = idle
	t.MaxIdleConnsPerHost = idle
	t.IdleConnTimeout = 20 * time.Second // stores close idle ones sooner or later; a PUT on one that is closed is an error
	t.TLSHandshakeTimeout = 5 * time.Second
	t.WriteBufferSize = 64 << 10
	t.ReadBufferSize = 64 << 10
	// One connection each: HTTP/2 would send all bodies through one TCP window.
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	t.Protocols = nil
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// errCredentials marks what went wrong before a request was sent.
var errCredentials = errors.New("no credentials")

// provider marks the errors of a provider with errCredentials.
type provider struct{ aws.CredentialsProvider }

// Retrieve implements aws.CredentialsProvider.
func (c provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if c.CredentialsProvider == nil {
		return aws.Credentials{}, errCredentials
	}
	got, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		return got, fmt.Errorf("%w: %w", errCredentials, err)
	}
	return got, err
}

// begin starts a call that is given up after limit; its End must be called.
func (s *Store) begin(ctx context.Context, limit time.Duration) *s3answer.Call {
	return s3answer.Begin(ctx, ctx, limit)
}
