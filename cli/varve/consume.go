package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/client"
)

// consume is the flags of "varve consume".
type consume struct {
	conn       connection
	layout     string // kgo's language
	output     string
	from, to   *client.When
	count      int // most records to print, 0: all
	tail       *int
	follow     bool
	exitAtEnd  bool
	partitions []int32
	group      string
	grep       *regexp.Regexp
	filters    []pair
	isolation  string
	printed    atomic.Int64
}

func consumeCommand() *command {
	o := &consume{isolation: "read_uncommitted"}
	return &command{
		name: "consume", args: "TOPIC...", min: 1, max: -1,
		short: "print records",
		long: `Positions: earliest, latest, an OFFSET, -N (N before the end of each partition), @2026-11-01T00:00Z, -1h.
Without a flag that ends the reading (--to, --count, --tail, --exit-at-end) it follows the topics from latest on.
The language of --format is that of franz-go, kcl and rpk: '%t %p %o %k %v\n', %h{...} for headers, %d for the time;
a Go time layout needs both delimiters: %d{go#2006-01-02#}. Ctrl-C ends with exit code 0 when following.`,
		options: []*option{
			o.conn.option(),
			opt(&o.layout, parseText, "format", "FORMAT", "how to print records").withShort("f"),
			optOneOf(&o.output, []string{"raw", "table", "json", "jsonl"}, "output", "raw|table|json|jsonl", "how to print records").withShort("o").withDefault("table on a terminal, else raw: values, one a line"),
			opt(&o.from, pointerTo(client.ParseWhen), "from", "WHEN", "where to begin").withDefault("latest; earliest if the reading ends"),
			opt(&o.to, pointerTo(client.ParseWhen), "to", "WHEN", "where to stop, exclusive").withDefault(""),
			opt(&o.count, parseCount, "count", "N", "stop after N records").withShort("n"),
			opt(&o.tail, pointerTo(parseInt), "tail", "N", "the last N records of each partition: --from -N --exit-at-end").withDefault(""),
			optSwitch(&o.follow, "follow", "after --tail, wait for more"),
			optSwitch(&o.exitAtEnd, "exit-at-end", "stop at the end as it is now"),
			optMany(&o.partitions, parsePartition, "partition", "N", "read this partition only").withShort("p"),
			opt(&o.group, parseText, "group", "GROUP", "read as a member of this group, and commit what was printed; --from is for its first start").withDefault(""),
			opt(&o.grep, regexp.Compile, "grep", "REGEXP", "print only records whose key or value matches").withDefault(""),
			optMany(&o.filters, parsePair, "filter", "NAME=VALUE", "print only records with this header"),
			optOneOf(&o.isolation, []string{"read_uncommitted", "read_committed"}, "isolation", "LEVEL", "read_uncommitted or read_committed"),
		},
		examples: []string{
			"varve consume orders --from earliest --exit-at-end --output jsonl",
			`varve consume orders --from -1h --grep error -f '%d{go#15:04:05#} %k %v\n'`,
		},
		run: o.run,
	}
}

func (o *consume) run(ctx context.Context, w *world, topics []string) error {
	cfg, err := o.plan(topics)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w.out)
	p, err := o.printer(out, w.terminal.out)
	if err != nil {
		return err
	}
	return o.conn.with(ctx, func(c *client.Client) error {
		if o.group != "" {
			return o.runGroup(ctx, c, cfg, p, out)
		}
		r, err := c.NewReader(ctx, cfg)
		if err != nil {
			return err
		}
		defer r.Close()
		for _, s := range r.Spans() {
			if s.Moved {
				fmt.Fprintf(w.err, "%s, partition %d: offset %v is outside of the log; reading from %d\n", s.Topic, s.Partition, cfg.From, s.From)
			}
		}
		if !w.terminal.out { // else a line of progress would stand between the records
			stop := showProgress(w, false, func() string { return fmt.Sprintf("%d records printed", o.printed.Load()) })
			defer stop()
		}
		return o.pump(ctx, r, p, out)
	})
}

// ends tells whether the reading comes to an end by itself.
func (o *consume) ends() bool {
	return o.exitAtEnd || o.to != nil || o.count > 0 || o.tail != nil && !o.follow
}

// plan turns flags into what to read.
func (o *consume) plan(topics []string) (client.ReadConfig, error) {
	cfg := client.ReadConfig{Topics: topics, Partitions: o.partitions, To: o.to, Committed: o.isolation == "read_committed"}
	if o.group != "" {
		if err := o.checkGroup(); err != nil {
			return cfg, err
		}
	}
	switch {
	case o.layout != "" && o.output != "":
		return cfg, usagef("give --format or --output, not both")
	case o.follow && (o.exitAtEnd || o.to != nil):
		return cfg, usagef("--follow does not end: leave it out, or --exit-at-end and --to")
	case o.tail != nil && o.from != nil:
		return cfg, usagef("give --tail or --from, not both")
	case o.tail != nil && *o.tail < 0:
		return cfg, usagef("--tail is not negative")
	case o.tail != nil:
		cfg.From, cfg.AtEnd = client.Last(int64(*o.tail)), !o.follow
	case o.from != nil:
		cfg.From = *o.from
	case o.ends():
		cfg.From = client.Earliest()
	}
	cfg.AtEnd = cfg.AtEnd || o.exitAtEnd
	return cfg, nil
}

// pump prints until the end, the count or an interrupt.
func (o *consume) pump(ctx context.Context, r *client.Reader, p printer, out *bufio.Writer) error {
	if err := p.head(); err != nil {
		return err
	}
	err := o.printAll(ctx, r, p, out)
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) && !o.ends() {
		err = nil
	}
	return errors.Join(err, p.foot(), out.Flush())
}

func (o *consume) printAll(ctx context.Context, r *client.Reader, p printer, out *bufio.Writer) error {
	for {
		records, err := r.Next(ctx)
		if err != nil {
			return err
		}
		for _, rec := range records {
			if !o.wanted(rec) {
				continue
			}
			if err := p.record(rec); err != nil {
				return err
			}
			if o.printed.Add(1) == int64(o.count) {
				return io.EOF
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

// wanted applies --grep and --filter.
func (o *consume) wanted(r *kgo.Record) bool {
	if o.grep != nil && !o.grep.Match(r.Key) && !o.grep.Match(r.Value) {
		return false
	}
	for _, f := range o.filters {
		found := false
		for _, h := range r.Headers {
			found = found || h.Key == f.key && string(h.Value) == f.value
		}
		if !found {
			return false
		}
	}
	return true
}
