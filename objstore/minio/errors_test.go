package minio

import (
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/varvelog/varve/objstore"
	"github.com/varvelog/varve/objstore/s3test"
)

// nothing is a provider without credentials.
type nothing struct{}

func (nothing) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	return credentials.Value{}, errors.New("nothing found")
}
func (n nothing) Retrieve() (credentials.Value, error) { return n.RetrieveWithCredContext(nil) }
func (nothing) IsExpired() bool                        { return true }

func TestNoCredentials(t *testing.T) {
	srv := s3test.Serve(t, http.NotFoundHandler())
	s := open(t, srv, func(c *Config) {
		c.Credentials = credentials.New(&search{providers: []credentials.Provider{nothing{}}})
	})
	s3test.WantOnly(t, "put", s3test.Do(t.Context(), s, "put"), objstore.ErrRefused, "AWS_ACCESS_KEY_ID", "nothing found")
}

// TestUnconfirmedDelete checks that a key counts as gone only if the store says so: the library drops a key's InvalidArgument.
func TestUnconfirmedDelete(t *testing.T) {
	for _, rest := range []string{"", "<Error><Key>l</Key><Code>InvalidArgument</Code><Message>why</Message></Error>"} {
		srv := s3test.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<DeleteResult><Deleted><Key>k</Key></Deleted><Deleted><Key>m</Key></Deleted>"+rest+"</DeleteResult>")
		}))
		err := s3test.Do(t.Context(), open(t, srv), "deletes")
		s3test.WantOnly(t, "deletes", err, objstore.ErrUnknown)
		var de *objstore.DeleteError
		if !errors.As(err, &de) || len(de.Keys) != 1 || de.Keys[0] != "l" {
			t.Errorf("%v, want a DeleteError for l", err)
		}
	}
}
