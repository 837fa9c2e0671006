package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/varvelog/varve/client"
)

// commitEvery is how often what was printed is committed.
const commitEvery = time.Second

// checkGroup refuses flags that make no sense for a member of a group, whose partitions and beginning the group decides.
func (o *consume) checkGroup() error {
	if o.to != nil || o.tail != nil || o.follow || len(o.partitions) > 0 {
		return usagef("--group reads what the group gives it, until --count, --exit-at-end or Ctrl-C: leave out --to, --tail, --follow and --partition")
	}
	return nil
}

// runGroup prints records as a member of a group, and commits what it printed.
func (o *consume) runGroup(ctx context.Context, c *client.Client, cfg client.ReadConfig, p printer, out *bufio.Writer) error {
	for _, t := range cfg.Topics {
		if _, err := c.Topic(ctx, t); err != nil {
			return err
		}
	}
	r, err := c.NewGroupReader(ctx, client.GroupConfig{Group: o.group, Topics: cfg.Topics, From: cfg.From, Committed: cfg.Committed, AtEnd: o.exitAtEnd})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := p.head(); err != nil {
		return err
	}
	err = o.pumpGroup(ctx, r, p, out)
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) && !o.ends() {
		err = nil
	}
	err = errors.Join(err, p.foot(), out.Flush())
	if err != nil {
		return err
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return r.Commit(last)
}

// pumpGroup prints until the count or an interrupt. A record is committed only after it was printed.
func (o *consume) pumpGroup(ctx context.Context, r *client.GroupReader, p printer, out *bufio.Writer) error {
	committed := time.Now()
	for {
		records, err := r.Next(ctx)
		if err != nil {
			return err
		}
		for _, rec := range records {
			if o.wanted(rec) {
				if err := p.record(rec); err != nil {
					return err
				}
				o.printed.Add(1)
			}
			r.Done(rec)
			if o.count > 0 && o.printed.Load() == int64(o.count) {
				return out.Flush()
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if time.Since(committed) < commitEvery {
			continue
		}
		if err := r.Commit(ctx); err != nil {
			return fmt.Errorf("what was printed since the last commit will be printed again: %w", err)
		}
		committed = time.Now()
	}
}
