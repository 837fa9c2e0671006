package minio

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"github.com/varvelog/varve/objstore"
)

const (
	codeNoSuchKey    = "NoSuchKey"
	codeNoSuchBucket = "NoSuchBucket"
)

// answer is what a store said instead of doing what it was asked.
type answer struct {
	code, message string // empty if the body held none
	status        int    // HTTP status; 0 if there was no answer
	region        string // of the bucket, if the store named it
}

// String returns code, message and status, as far as they are known.
func (a answer) String() string {
	if a.code == "" {
		return fmt.Sprintf("HTTP %d", a.status)
	}
	return fmt.Sprintf("%s: %s (HTTP %d)", a.code, a.message, a.status)
}

// explain turns the end of a call into an error of the contract. What the call heard counts more than err, the library's
// view; nil if both are fine. It passes errors of the contract.
func (s *Store) explain(c *call, op, key string, err error) error {
	c.heard.Lock()
	sent, a, netErr := c.heard.sent, c.heard.answer, c.heard.err
	c.heard.Unlock()
	if err == nil && a.status == 0 && netErr == nil {
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
	case a.status != 0:
		return fmt.Errorf("%s: %w", what, s.classify(a, op, key))
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

// classify says what an answer means. Codes come first, since stores differ in the status they send with them.
func (s *Store) classify(a answer, op, key string) error {
	refused := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", objstore.ErrRefused, fmt.Sprintf(format, args...))
	}
	switch code := a.code; {
	case code == codeNoSuchBucket || a.status == http.StatusNotFound && op == "check":
		return refused("bucket %q does not exist at %s; to make it: %s", s.cfg.Bucket, s.endpoint, s.makeBucket())
	case code == codeNoSuchKey && (op == "get" || op == "delete"):
		return objstore.ErrNotFound
	case code == "InvalidRange" || a.status == http.StatusRequestedRangeNotSatisfiable:
		return fmt.Errorf("%w: %s", objstore.ErrRange, a)
	case throttles[code] || a.status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s", objstore.ErrThrottled, a)
	case damages[code]:
		return fmt.Errorf("%w: %s", objstore.ErrCorrupt, a)
	case code == "RequestTimeTooSkewed":
		return refused("the clock of this machine or of %s is wrong: %s", s.endpoint, a)
	case code == "IncompleteBody" || code == "RequestTimeout" || a.status == http.StatusRequestTimeout:
		return fmt.Errorf("%w: %s", objstore.ErrUnknown, a)
	case a.status == http.StatusMovedPermanently || a.status == http.StatusTemporaryRedirect || a.status == http.StatusPermanentRedirect ||
		code == "AuthorizationHeaderMalformed" || code == "PermanentRedirect":
		return refused("bucket %q is not served by %s but by region %q; set region= and endpoint= to match: %s", s.cfg.Bucket, s.endpoint, a.region, a)
	case a.status == http.StatusForbidden || a.status == http.StatusUnauthorized || code == "AccessDenied" ||
		code == "ExpiredToken" || code == "InvalidToken":
		return refused("%s does not let these credentials use bucket %q: %s; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the role, and its policy",
			s.endpoint, s.cfg.Bucket, a)
	case a.status == http.StatusInsufficientStorage || code == "QuotaExceeded" || code == "XMinioStorageFull":
		return refused("%s is full: %s", s.endpoint, a)
	case a.status == http.StatusConflict || a.status == http.StatusPreconditionFailed:
		// We send no conditions: a policy on the bucket, or an odd store.
		return refused("bucket %q at %s asks for conditions that Varve does not send: %s", s.cfg.Bucket, s.endpoint, a)
	case a.status >= 400 && a.status < 500:
		return refused("bucket %q at %s: %s", s.cfg.Bucket, s.endpoint, a)
	}
	return fmt.Errorf("%w: %s", objstore.ErrUnknown, a)
}

// throttles are the codes of a store that did nothing and asks to slow down. A bare 503 is not enough: it may come from a
// proxy that lost an answer on its way.
var throttles = map[string]bool{
	"SlowDown": true, "SlowDownRead": true, "SlowDownWrite": true, // the last two are MinIO's
	"ServiceUnavailable": true, "Throttling": true, "ThrottlingException": true, "ThrottledException": true,
	"RequestThrottled": true, "RequestLimitExceeded": true, "TooManyRequests": true, "TooManyRequestsException": true,
	"BandwidthLimitExceeded": true,
}

// damages are the codes of a store that found a checksum wrong.
var damages = map[string]bool{
	"BadDigest": true, "InvalidDigest": true, "XAmzContentSHA256Mismatch": true,
	"XAmzContentChecksumMismatch": true, // MinIO's
}

// makeBucket returns a command that makes the bucket.
func (s *Store) makeBucket() string {
	cmd := "aws s3 mb s3://" + s.cfg.Bucket + " --region " + s.cfg.Region
	if s.cfg.Endpoint != "" {
		cmd += " --endpoint-url " + s.cfg.Endpoint
	}
	return cmd
}
