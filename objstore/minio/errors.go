package minio

import (
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
	what := s3answer.What(op, key)
	if over := c.Over(what, s.endpoint); over != nil {
		return over
	}
	switch {
	case errors.Is(err, objstore.ErrRange), errors.Is(err, objstore.ErrUnknown):
		return fmt.Errorf("%s: %w", what, err)
	case a.Status != 0:
		return fmt.Errorf("%s: %w", what, s.place().Classify(a, op))
	case netErr != nil:
		return s.place().NoAnswer(what, netErr)
	case !sent && errors.Is(err, errCredentials):
		return s.place().NoCredentials(what, err)
	case !sent:
		return fmt.Errorf("%w: %s: not sent to %s: %w", objstore.ErrRefused, what, s.endpoint, err)
	}
	return fmt.Errorf("%w: %s: read the answer of %s: %w", objstore.ErrUnknown, what, s.endpoint, err)
}

// place is what messages say of where requests go.
func (s *Store) place() s3answer.Place {
	return s3answer.Place{
		Bucket: s.cfg.Bucket, Endpoint: s.endpoint, MakeBucket: s3answer.MakeBucket(s.cfg.Bucket, s.cfg.Region, s.cfg.Endpoint),
	}
}
