// Package client is the Go client of Varve for programs: produce, consume, admin. It is a small layer over franz-go and
// works with any server that speaks Kafka's protocol; it imports nothing of Varve.
//
// Open gives a Client for administration. From it, NewWriter and NewReader open a producer and a consumer with connections
// of their own. A Reader is assigned its partitions and reads from one position to another (see When); groups are not its
// business: use kgo for them, with Client.Options.
//
// Goroutines are kgo's own; Close of a Client, Writer or Reader ends them and waits.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The errors of this package. What the server answers is passed on as kerr has it.
var (
	// ErrAddress: a bootstrap address is not HOST:PORT. Nothing was dialled.
	ErrAddress = errors.New("not HOST:PORT")
	// ErrUnreachable: no bootstrap address answered. Is a server running there?
	ErrUnreachable = errors.New("no server answers")
	// ErrUnknownTopic: the server does not know the topic.
	ErrUnknownTopic = errors.New("unknown topic")
	// ErrWhen: a position is written wrongly.
	ErrWhen = errors.New("not a position")
)

// retryTimeout bounds how long one request is repeated before its error is returned.
const retryTimeout = 15 * time.Second

// Client talks to one cluster. Its methods may be called from many goroutines.
type Client struct {
	bootstrap []string
	within    time.Duration // bounds each step of a request; 0: as kgo has it
	kafka     *kgo.Client
	admin     *kadm.Client
}

// Open makes a client of the cluster that bootstrap addresses (HOST:PORT each) lead to. It dials nothing yet: see Ping.
func Open(bootstrap ...string) (*Client, error) { return OpenWithin(0, bootstrap...) }

// OpenWithin is Open for somebody who would rather have no answer than wait for one: dialling, the first exchange on a
// connection, and each answer take no longer than limit, which is at least 100 ms. (The context of a call does not bound
// the first exchange.) A limit of 0 is none.
func OpenWithin(limit time.Duration, bootstrap ...string) (*Client, error) {
	if len(bootstrap) == 0 {
		return nil, fmt.Errorf("open client: no address: %w", ErrAddress)
	}
	for _, a := range bootstrap {
		host, port, err := net.SplitHostPort(a)
		if err != nil || host == "" || port == "" {
			return nil, fmt.Errorf("open client: %q is %w", a, ErrAddress)
		}
	}
	c := &Client{bootstrap: slices.Clone(bootstrap), within: limit}
	var err error
	if c.kafka, err = kgo.NewClient(c.Options()...); err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	c.admin = kadm.NewClient(c.kafka)
	return c, nil
}

// Options are what every connection of this package is opened with, for programs that use kgo themselves.
func (c *Client) Options() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.bootstrap...), kgo.ClientID("varve"), kgo.RetryTimeout(retryTimeout),
		kgo.MetadataMinAge(250 * time.Millisecond), // a topic that was just made shows soon
	}
	if c.within > 0 {
		opts = append(opts, kgo.DialTimeout(c.within), kgo.RequestTimeoutOverhead(c.within), kgo.RetryTimeout(c.within))
	}
	return opts
}

// Admin gives everything that kadm can do. It ends with c.
func (c *Client) Admin() *kadm.Client { return c.admin }

// Close closes all connections. Writers and readers have their own.
func (c *Client) Close() { c.kafka.Close() }

// Ping reports whether one of the bootstrap addresses answers; ErrUnreachable if not.
func (c *Client) Ping(ctx context.Context) error {
	if err := c.kafka.Ping(ctx); err != nil {
		return fmt.Errorf("%w at %s: %w", ErrUnreachable, strings.Join(c.bootstrap, ", "), err)
	}
	return nil
}
