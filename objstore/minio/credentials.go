package minio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// errCredentials marks what went wrong before a request was sent.
var errCredentials = errors.New("no credentials")

// credentialsTimeout bounds the search for credentials: off AWS nobody answers for a role.
const credentialsTimeout = 10 * time.Second

// newCredentials returns given, or if that is nil what is found where AWS users keep credentials: environment, files
// (AWS_PROFILE, AWS_SHARED_CREDENTIALS_FILE), then the role of the machine, container or service account.
func newCredentials(given *credentials.Credentials) *credentials.Credentials {
	if given != nil {
		return credentials.New(&search{providers: []credentials.Provider{provider{given}}})
	}
	return credentials.New(&search{providers: []credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
	}})
}

// provider is credentials as one provider among others.
type provider struct{ *credentials.Credentials }

// RetrieveWithCredContext implements credentials.Provider.
func (p provider) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	return p.GetWithContext(cc)
}

// Retrieve implements credentials.Provider.
func (p provider) Retrieve() (credentials.Value, error) { return p.GetWithContext(nil) }

// search takes the first provider that has credentials. The library's own chain would go on without any, and what the
// store then says does not name the cause. Calls are serialised by credentials.Credentials.
type search struct {
	providers []credentials.Provider
	found     credentials.Provider
}

// RetrieveWithCredContext implements credentials.Provider.
func (s *search) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	parent := cc.Context
	if parent == nil {
		parent = context.Background()
	}
	// What a server of credentials answers is not the store's answer to the call.
	ctx, cancel := context.WithTimeout(context.WithValue(parent, callKey{}, nil), credentialsTimeout)
	defer cancel()
	bounded := *cc
	bounded.Context = ctx
	var last error
	for _, p := range s.providers {
		v, err := p.RetrieveWithCredContext(&bounded)
		if err == nil && v.AccessKeyID != "" && v.SecretAccessKey != "" {
			s.found = p
			return v, nil
		}
		if err != nil {
			last = err
		}
	}
	if last == nil {
		return credentials.Value{}, errCredentials
	}
	return credentials.Value{}, fmt.Errorf("%w: %w", errCredentials, last)
}

// Retrieve implements credentials.Provider.
func (s *search) Retrieve() (credentials.Value, error) {
	return s.RetrieveWithCredContext(&credentials.CredContext{})
}

// IsExpired implements credentials.Provider.
func (s *search) IsExpired() bool { return s.found == nil || s.found.IsExpired() }
