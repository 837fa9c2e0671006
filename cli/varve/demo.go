package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/client"
)

// The traffic of "varve dev --demo": enough to see something move, little enough to forget it for a night. All records
// of a round go out together, so a round is one flush.
const (
	demoTopic      = "demo"
	demoPartitions = 3
	demoRound      = time.Second
	demoRecords    = 10 // a round
)

// demoTraffic writes to and reads from the server until ctx ends.
func demoTraffic(ctx context.Context, address string) error {
	c, err := client.Open(address)
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.CreateTopic(ctx, client.NewTopic{Name: demoTopic, Partitions: demoPartitions})
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := make(chan error, 1)
	go func() { read <- demoRead(ctx, c) }()
	err = demoWrite(ctx, c)
	cancel()
	return errors.Join(err, <-read)
}

func demoWrite(ctx context.Context, c *client.Client) error {
	w, err := c.NewWriter(client.WriteConfig{})
	if err != nil {
		return err
	}
	defer w.Close()
	tick := time.NewTicker(demoRound)
	defer tick.Stop()
	for n := 0; ; {
		failed := make(chan error, demoRecords)
		for range demoRecords {
			n++
			w.Write(ctx, &kgo.Record{
				Topic: demoTopic, Partition: client.ByKey, Key: fmt.Appendf(nil, "sensor-%d", n%7),
				Value: fmt.Appendf(nil, `{"n":%d,"celsius":%.1f}`, n, 18+float64(n*n%90)/10),
			}, func(_ *kgo.Record, err error) { failed <- err })
		}
		for range demoRecords {
			if err := <-failed; err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func demoRead(ctx context.Context, c *client.Client) error {
	r, err := c.NewReader(ctx, client.ReadConfig{Topics: []string{demoTopic}})
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if _, err := r.Next(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}
