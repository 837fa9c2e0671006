package s3

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/s3test"
)

func TestNoCredentials(t *testing.T) {
	srv := s3test.Serve(t, http.NotFoundHandler())
	s := open(t, srv, func(c *Config) {
		c.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("nothing found")
		})
	})
	s3test.WantOnly(t, "put", s3test.Do(t.Context(), s, "put"), objstore.ErrRefused, "AWS_ACCESS_KEY_ID", "nothing found")
}
