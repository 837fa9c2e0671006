package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/s3answer"
)

// statusOf returns the HTTP status of the answer that err stands for, 0 if there was none.
func statusOf(err error) int {
	var re *smithyhttp.ResponseError
	if errors.As(err, &re) && re.Response != nil {
		return re.HTTPStatusCode()
	}
	return 0
}

// explain turns an error of the SDK into one of the contract. It passes those of the contract, and nil.
func (s *Store) explain(c *call, op, key string, err error) error {
	if err == nil {
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
	case errors.Is(err, errCredentials):
		return fmt.Errorf("%w: %s: no credentials for bucket %q: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role: %w",
			objstore.ErrRefused, what, s.cfg.Bucket, err)
	}
	a := s3answer.Answer{Status: statusOf(err)}
	var re *smithyhttp.ResponseError
	if errors.As(err, &re) && re.Response != nil {
		a.Region = re.Response.Header.Get("X-Amz-Bucket-Region")
	}
	// Without a code in the body the SDK makes one up from the status.
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorMessage() != http.StatusText(a.Status) {
		a.Code, a.Message = api.ErrorCode(), api.ErrorMessage()
	}
	if a.Status == 0 {
		return s.noAnswer(what, err)
	}
	return fmt.Errorf("%s: %w", what, s.place().Classify(a, op))
}

// noAnswer explains an error of the network.
func (s *Store) noAnswer(what string, err error) error {
	kind := objstore.ErrUnknown
	// The handshake failed, so that nothing was sent, and it will fail again.
	if cert := (*tls.CertificateVerificationError)(nil); errors.As(err, &cert) {
		kind = objstore.ErrRefused
	}
	// The SDK's text repeats itself and hides the address; the innermost errors name it.
	var send *smithyhttp.RequestSendError
	if errors.As(err, &send) {
		err = send.Err
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
	cmd := "aws s3 mb s3://" + s.cfg.Bucket + " --region " + s.client.Options().Region
	if e := s.client.Options().BaseEndpoint; e != nil {
		cmd += " --endpoint-url " + *e
	}
	return cmd
}
