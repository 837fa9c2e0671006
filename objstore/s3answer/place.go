package s3answer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/varvelog/varve/objstore"
)

// Place is where a driver sends its requests, in the words of a message.
type Place struct {
	Bucket, Endpoint string
	MakeBucket       string // a command that makes the bucket
}

// MakeBucket returns a command that makes a bucket; endpoint is empty on AWS.
func MakeBucket(bucket, region, endpoint string) string {
	cmd := "aws s3 mb s3://" + bucket + " --region " + region
	if endpoint != "" {
		cmd += " --endpoint-url " + endpoint
	}
	return cmd
}

// NoAnswer explains an error of the network.
func (p Place) NoAnswer(what string, err error) error {
	kind := objstore.ErrUnknown
	// The handshake failed, so that nothing was sent, and it will fail again.
	if cert := (*tls.CertificateVerificationError)(nil); errors.As(err, &cert) {
		kind = objstore.ErrRefused
	}
	fix := ""
	if what == "check" { // at a start somebody looks
		fix = "; look at the parameter endpoint of the URL, and at the network"
	}
	return fmt.Errorf("%w: %s: no answer from %s: %w%s", kind, what, p.Endpoint, err, fix)
}

// NoCredentials explains that there was nothing to sign a request with.
func (p Place) NoCredentials(what string, err error) error {
	return fmt.Errorf("%w: %s: no credentials for bucket %q: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role: %w",
		objstore.ErrRefused, what, p.Bucket, err)
}

// OnAWS reports whether an endpoint is one of AWS itself; empty means AWS.
func OnAWS(endpoint string) bool {
	if endpoint == "" {
		return true
	}
	u, err := url.Parse(endpoint)
	return err == nil && (strings.HasSuffix(u.Hostname(), ".amazonaws.com") || strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn"))
}
