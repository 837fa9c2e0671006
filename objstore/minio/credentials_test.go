package minio

import (
	"io"
	"net/http"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/s3test"
)

// noCredentials empties the AWS environment and files.
func noCredentials(t *testing.T) {
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
}

// TestCredentialsOfARole takes them from a server, as a container does, and checks that what that server says is not taken for
// the store's answer.
func TestCredentialsOfARole(t *testing.T) {
	noCredentials(t)
	status := http.StatusForbidden
	role := s3test.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"AccessKeyId":"id-of-role","SecretAccessKey":"s","Token":"t","Expiration":"2126-01-01T00:00:00Z"}`)
	}))
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", role.URL+"/creds")
	f := s3test.NewFake()
	srv := s3test.Serve(t, f)
	usual := func(c *Config) { c.Credentials = nil }
	s3test.WantOnly(t, "put", s3test.Do(t.Context(), open(t, srv, usual), "put"), objstore.ErrRefused, "no credentials", "AWS_ACCESS_KEY_ID")
	given := func(c *Config) { c.Credentials = credentials.New(&credentials.IAM{}) }
	s3test.WantOnly(t, "put with given", s3test.Do(t.Context(), open(t, srv, given), "put"), objstore.ErrRefused, "no credentials")
	if f.Last() != nil {
		t.Error("the store was asked without credentials")
	}
	status = http.StatusOK
	for _, change := range []func(*Config){usual, given} {
		if err := s3test.Do(t.Context(), open(t, srv, change), "put"); err != nil {
			t.Error(err)
		}
	}
	if got := f.Last().Header.Get("X-Amz-Security-Token"); got != "t" {
		t.Errorf("session token %q", got)
	}
}
