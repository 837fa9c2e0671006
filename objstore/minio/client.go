package minio

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	client "github.com/minio/minio-go/v7"

	"github.com/varvelog/varve/objstore/s3answer"
)

// newClient builds the library's client from cfg, whose region is set: else the library would ask for it.
func newClient(cfg Config) (*client.Core, *http.Transport, error) {
	conns, err := newTransport(cfg.MaxIdleConns)
	if err != nil {
		return nil, nil, err
	}
	host, secure := "s3.amazonaws.com", true
	if u, err := url.Parse(cfg.Endpoint); err == nil && u.Host != "" {
		host, secure = u.Host, u.Scheme == "https"
	}
	lookup := client.BucketLookupDNS
	if cfg.PathStyle {
		lookup = client.BucketLookupPath
	}
	core, err := client.NewCore(host, &client.Options{
		Creds: newCredentials(cfg.Credentials), Secure: secure, Transport: listener{conns}, Region: cfg.Region, BucketLookup: lookup, MaxRetries: 1,
	})
	if err == nil {
		core.SetS3EnableDualstack(false) // the same host names as the other driver
	}
	return core, conns, err
}

// newTransport keeps idle connections for a burst.
func newTransport(idle int) (*http.Transport, error) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConns:        idle,
		MaxIdleConnsPerHost: idle,
		IdleConnTimeout:     20 * time.Second, // stores close idle ones sooner or later; a PUT on one that is closed is an error
		TLSHandshakeTimeout: 5 * time.Second,
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      64 << 10,
		DisableCompression:  true, // what is stored is what is sent
		// One connection each: HTTP/2 would send all bodies through one TCP window.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	file := os.Getenv("AWS_CA_BUNDLE")
	if file == "" {
		return t, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read AWS_CA_BUNDLE: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read AWS_CA_BUNDLE: no certificate in %s", file)
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool}
	return t, nil
}

// call is one request with its time-out, which can be set anew.
type call struct {
	*s3answer.Call
	heard struct {
		sync.Mutex
		sent   bool
		answer s3answer.Answer // that refuses; status 0: none
		err    error           // of the network
	}
}

// errHeard is why a call's context ended if the store has refused, or could not be reached. The library, though told to try once,
// sleeps after a try that it would repeat; so the context ends, and the sleep with it.
var errHeard = errors.New("answered")

type callKey struct{}

// begin starts a call that is given up after limit; its End must be called.
func (s *Store) begin(ctx context.Context, limit time.Duration) *call {
	c := &call{}
	c.Call = s3answer.Begin(ctx, context.WithValue(ctx, callKey{}, c), limit)
	return c
}

// answer returns what the store said instead of doing what it was asked; status 0: it did not.
func (c *call) answer() s3answer.Answer {
	c.heard.Lock()
	defer c.heard.Unlock()
	return c.heard.answer
}

// failed reports whether the store refused or could not be reached.
func (c *call) failed() bool {
	c.heard.Lock()
	defer c.heard.Unlock()
	return c.heard.err != nil || c.heard.answer.Status != 0
}

// fail notes how a request ended. The first failure counts.
func (c *call) fail(a s3answer.Answer, err error) {
	c.heard.Lock()
	if c.heard.err == nil && c.heard.answer.Status == 0 {
		c.heard.answer, c.heard.err = a, err
	}
	c.heard.Unlock()
	c.Stop(errHeard)
}

// maxRefusal bounds how much of an answer that refuses is read, in bytes.
const maxRefusal = 64 << 10

// listener hears what the store says before the library does, and tells the call that the request belongs to.
type listener struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (l listener) RoundTrip(req *http.Request) (*http.Response, error) {
	c, ours := req.Context().Value(callKey{}).(*call)
	if !ours { // a search for credentials
		return l.Transport.RoundTrip(req)
	}
	c.heard.Lock()
	c.heard.sent = true
	c.heard.Unlock()
	resp, err := l.Transport.RoundTrip(req)
	if err != nil {
		c.fail(s3answer.Answer{}, err)
		return nil, err
	}
	// The library wants this header, though nobody here does.
	if resp.Header.Get("Last-Modified") == "" {
		resp.Header.Set("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT")
	}
	// A PUT that is answered with 200 and a body has failed on the way, though only the body says so.
	if resp.StatusCode < 300 && (req.Method != http.MethodPut || resp.ContentLength == 0) {
		return resp, nil
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if resp.StatusCode >= 300 || err != nil || strings.Contains(string(text), "<Error") {
		c.fail(readAnswer(resp, text), nil)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxRefusal)) // so that the connection can be used again
	resp.Body.Close()
	resp.Body = http.NoBody
	return resp, nil
}

// readAnswer reads what S3 says in an error: a code and a message, as XML.
func readAnswer(resp *http.Response, text []byte) s3answer.Answer {
	var e struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
		Region  string
	}
	a := s3answer.Answer{Status: resp.StatusCode, Region: resp.Header.Get("X-Amz-Bucket-Region")}
	if xml.Unmarshal(text, &e) == nil {
		a.Code, a.Message = e.Code, strings.Join(strings.Fields(e.Message), " ")
		if a.Region == "" {
			a.Region = e.Region
		}
	}
	return a
}

// bodyReader reads a body until it is released: the transport may still be at it when a request is given up, and the bytes
// are the caller's then. It does not seek, so that nothing can send it twice.
type bodyReader struct {
	mu   sync.Mutex
	left []byte
	gone bool
}

func newBodyReader(body []byte) *bodyReader { return &bodyReader{left: body} }

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.gone:
		return 0, errors.New("given up")
	case len(r.left) == 0:
		return 0, io.EOF
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func (r *bodyReader) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left, r.gone = nil, true
}
