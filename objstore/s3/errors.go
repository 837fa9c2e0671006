package s3

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
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
func (s *Store) explain(c *s3answer.Call, op, key string, err error) error {
	if err == nil {
		return nil
	}
	what := s3answer.What(op, key)
	if over := c.Over(what, s.endpoint); over != nil {
		return over
	}
	switch {
	case errors.Is(err, objstore.ErrRange), errors.Is(err, objstore.ErrUnknown):
		return fmt.Errorf("%s: %w", what, err)
	case errors.Is(err, errCredentials):
		return s.place().NoCredentials(what, err)
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
		// The SDK's text repeats itself and hides the address; the innermost errors name it.
		if send := (*smithyhttp.RequestSendError)(nil); errors.As(err, &send) {
			err = send.Err
		}
		return s.place().NoAnswer(what, err)
	}
	return fmt.Errorf("%s: %w", what, s.place().Classify(a, op))
}

// place is what messages say of where requests go.
func (s *Store) place() s3answer.Place {
	o := s.client.Options()
	return s3answer.Place{
		Bucket: s.cfg.Bucket, Endpoint: s.endpoint, MakeBucket: s3answer.MakeBucket(s.cfg.Bucket, o.Region, aws.ToString(o.BaseEndpoint)),
	}
}
