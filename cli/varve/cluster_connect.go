package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varvelog/varve/client"
)

// pingTimeout bounds how long a command waits for the first answer of a cluster.
const pingTimeout = 5 * time.Second

// connection is how a command finds its cluster.
type connection struct{ bootstrap []string }

func (c *connection) option() *option {
	c.bootstrap = []string{"127.0.0.1:9092"}
	return opt(&c.bootstrap, parseList, "bootstrap", "HOST:PORT,...", "where to find the cluster").withEnv().withDefault("127.0.0.1:9092")
}

// open connects, and fails soon and clearly if nobody answers.
func (c *connection) open(ctx context.Context) (*client.Client, error) {
	cl, err := client.Open(c.bootstrap...)
	if errors.Is(err, client.ErrAddress) {
		return nil, usagef("--bootstrap: %w", err)
	}
	if err != nil {
		return nil, err
	}
	pinging, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := cl.Ping(pinging); err != nil {
		cl.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w; start one with \"varve dev\", or say where it is: --bootstrap HOST:PORT", err)
	}
	return cl, nil
}

// with runs do with a connected client.
func (c *connection) with(ctx context.Context, do func(*client.Client) error) error {
	cl, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	return do(cl)
}
