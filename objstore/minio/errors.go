package minio

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/s3answer"
)

// explain turns the end of a call into an error of the contract. What the call heard counts more than err, the library's
// view; nil if both are fine. It passes errors of the contract.
func (s *Store) explain(c *call, op, key string, err error) error {
	c.heard.Lock()
	sent, a, netErr := c.heard.sent, c.heard.answer, c.heard.err
	c.heard.Unlock()
	if err == nil && a.Status == 0 && netErr == nil {
		return nil
	}
	what := op
	if key != "" {
		what = fmt.Sprintf("%s %q", op, key)
	}
	switch {
	// The caller's context may also end while an answer is on its way: what counts is that it has ended.
	case c.parent.Err() != nil:
		return fmt.Errorf("%s: %w", what, objstore.Ended(c.parent))
	case errors.Is(context.Cause(c.ctx), errTimeout):
		return fmt.Errorf("%w: %s: no answer from %s within %s", objstore.ErrUnknown, what, s.endpoint, c.limit)
	case errors.Is(err, objstore.ErrRange), errors.Is(err, objstore.ErrUnknown):
		return fmt.Errorf("%s: %w", what, err)
	case a.Status != 0:
		return fmt.Errorf("%s: %w", what, s.place().Classify(a, op))
	case netErr != nil:
		return s.noAnswer(what, netErr)
	case !sent && errors.Is(err, errCredentials):
		return fmt.Errorf("%w: %s: no credentials for bucket %q: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role: %w",
			objstore.ErrRefused, what, s.cfg.Bucket, err)
	case !sent:
		return fmt.Errorf("%w: %s: not sent to %s: %w", objstore.ErrRefused, what, s.endpoint, err)
	}
	return fmt.Errorf("%w: %s: read the answer of %s: %w", objstore.ErrUnknown, what, s.endpoint, err)
}

// noAnswer explains an error of the network.
func (s *Store) noAnswer(what string, err error) error {
	kind := objstore.ErrUnknown
	// The handshake failed, so that nothing was sent, and it will fail again.
	if cert := (*tls.CertificateVerificationError)(nil); errors.As(err, &cert) {
		kind = objstore.ErrRefused
	}
	fix := ""
	if what == "check" { // at a start somebody looks
		fix = "; look at the parameter endpoint of the URL, and at the network"
	}
	return fmt.Errorf("%w: %s: no answer from %s: %w%s", kind, what, s.endpoint, err, fix)
}

// place is what messages say of where requests go.
func (s *Store) place() s3answer.Place {
	return s3answer.Place{Bucket: s.cfg.Bucket, Endpoint: s.endpoint, MakeBucket: s.makeBucket()}
}

// makeBucket returns a command that makes the bucket.
func (s *Store) makeBucket() string {
	cmd := "aws s3 mb s3://" + s.cfg.Bucket + " --region " + s.cfg.Region
	if s.cfg.Endpoint != "" {
		cmd += " --endpoint-url " + s.cfg.Endpoint
	}
	return cmd
}
