package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/varvelog/varve/client"
)

// produce is the flags of "varve produce".
type produce struct {
	conn      connection
	topic     string
	key       *string
	headers   []pair
	layout    string // kgo's language; empty: input decides
	input     string
	path      string // of the file to read, "-": stdin
	null      bool
	partition *int32
	acks      string
	codec     string
	rate      float64 // records a second, 0: as fast as it goes
	progress  bool
	report    string
}

func produceCommand() *command {
	p := &produce{input: "line", path: "-", acks: "all", codec: "none"}
	return &command{
		name: "produce", args: "TOPIC", min: 1, max: 1,
		short: "write records from stdin or a file",
		long: `Each line is the value of a record, unless --input or --format says something else:
  line   a value a line, byte for byte
  jsonl  what "varve consume --output jsonl" prints
  csv    the first line names the columns: key, value, partition, timestamp (ms), header.NAME
The language of --format is that of franz-go, kcl and rpk: '%k %v\n' is a key, a space, a value, and a line end.
Exits with 1 if any record was not written.`,
		options: []*option{
			p.conn.option(),
			opt(&p.key, pointerTo(parseText), "key", "KEY", "key of records whose input has none").withShort("k").withDefault(""),
			optMany(&p.headers, parsePair, "header", "NAME=VALUE", "a header to add to every record").withShort("H"),
			opt(&p.layout, parseText, "format", "FORMAT", "how to read records").withShort("f"),
			optOneOf(&p.input, []string{"line", "jsonl", "csv"}, "input", "line|jsonl|csv", "how to read records"),
			opt(&p.path, parseText, "file", "FILE", "where to read; - is stdin"),
			optSwitch(&p.null, "null-value", "write one record with a null value (a tombstone) and read nothing"),
			opt(&p.partition, pointerTo(parsePartition), "partition", "N", "write to this partition; -1: let the key decide, even if the input names one").withShort("p").withDefault("as the input says, else by key"),
			optOneOf(&p.acks, []string{"0", "1", "all"}, "acks", "0|1|all", "what to wait for: nothing, the leader's memory, durable"),
			optOneOf(&p.codec, client.Codecs(), "compress", "CODEC", "none, gzip, snappy, lz4 or zstd"),
			opt(&p.rate, parseRate, "rate", "N/s", "write no more records a second"),
			optSwitch(&p.progress, "progress", "tell on stderr how far it is, each second, also where that is no terminal"),
			optOneOf(&p.report, []string{"offsets"}, "report", "offsets", "print partition and offset of each record as a line of JSON"),
		},
		examples: []string{
			"echo hello | varve produce orders -k user-1 -H source=web",
			"varve consume orders --from earliest --exit-at-end --output jsonl | varve produce copy --input jsonl",
		},
		run: func(ctx context.Context, w *world, args []string) error {
			p.topic = args[0]
			return p.run(ctx, w)
		},
	}
}

// pointerTo makes a parser for something that may be left out.
func pointerTo[T any](parse func(string) (T, error)) func(string) (*T, error) {
	return func(s string) (*T, error) {
		v, err := parse(s)
		return &v, err
	}
}

func (p *produce) check() error {
	switch {
	case p.null && (p.layout != "" || p.input != "line" || p.path != "-"):
		return usagef("--null-value reads nothing: leave out --format, --input and --file")
	case p.layout != "" && p.input != "line":
		return usagef("give --format or --input, not both")
	}
	return nil
}

func (p *produce) run(ctx context.Context, w *world) error {
	if err := p.check(); err != nil {
		return err
	}
	in := w.in
	if p.path != "-" {
		f, err := os.Open(p.path)
		if err != nil {
			return usagef("--file: %w", err)
		}
		defer f.Close()
		in = f
	} else if w.terminal.in && !p.null {
		fmt.Fprintln(w.err, "reading records from the terminal, one a line; Ctrl-D ends")
	}
	next, err := p.source(in)
	if err != nil {
		return err
	}
	return p.conn.with(ctx, func(c *client.Client) error {
		reading, stop := context.WithCancel(ctx)
		defer stop()
		wr, err := c.NewWriter(client.WriteConfig{Acks: acksOf(p.acks), Codec: p.codec, Limit: batchLimit(ctx, c, p.topic)})
		if err != nil {
			return err
		}
		defer wr.Close()
		return p.pump(ctx, w, wr, interruptible(reading, next))
	})
}

// batchLimit returns what the topic takes in one batch; 0 if it is not there yet, or does not tell.
func batchLimit(ctx context.Context, c *client.Client, topic string) int32 {
	settings, err := c.TopicSettings(ctx, topic)
	if err != nil {
		return 0
	}
	for _, s := range settings {
		if n, err := strconv.ParseInt(s.Value, 10, 32); err == nil && s.Name == "max.message.bytes" {
			return int32(min(n, 64<<20))
		}
	}
	return 0
}

func acksOf(s string) client.Acks {
	return map[string]client.Acks{"0": client.AcksNone, "1": client.AcksLeader, "all": client.AcksAll}[s]
}

// pump writes what next gives until it is at its end or a record fails, and waits for what is on its way.
func (p *produce) pump(ctx context.Context, w *world, wr *client.Writer, next source) error {
	t := newTally(w, p.report != "")
	start := time.Now()
	stop := func() {}
	if p.progress || p.path != "-" || !w.terminal.in { // a line would stand between what somebody types
		stop = showProgress(w, p.progress, t.String)
	}
	var bad error
	for n := 0; !t.failed(); n++ {
		r, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = checkTime(r, n+1)
		}
		if err != nil {
			bad = err
			break
		}
		if err := p.pace(ctx, start, n); err != nil {
			bad = err
			break
		}
		p.fill(r)
		wr.Write(ctx, r, t.done)
	}
	if err := wr.Flush(ctx); err != nil && bad == nil {
		bad = err
	}
	stop()
	if p.progress || w.terminal.err {
		fmt.Fprintf(w.err, "%s in %v\n", t, time.Since(start).Round(time.Millisecond))
	}
	return errors.Join(bad, t.result())
}

// The first and the last time that the client library can write: it makes nanoseconds of them, which wrap silently.
var (
	firstTime = time.UnixMilli(math.MinInt64 / 1_000_000)
	lastTime  = time.UnixMilli(math.MaxInt64 / 1_000_000)
)

// checkTime refuses a record whose timestamp would be written as another one. n counts records from 1.
func checkTime(r *kgo.Record, n int) error {
	if !r.Timestamp.IsZero() && (r.Timestamp.Before(firstTime) || r.Timestamp.After(lastTime)) {
		return fmt.Errorf("record %d: its timestamp is not between %s and %s", n, firstTime.UTC().Format(time.DateOnly), lastTime.UTC().Format(time.DateOnly))
	}
	return nil
}

// fill sets what the flags say.
func (p *produce) fill(r *kgo.Record) {
	r.Topic = p.topic
	if r.Key == nil && p.key != nil {
		r.Key = []byte(*p.key)
	}
	for _, h := range p.headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.key, Value: []byte(h.value)})
	}
	if p.partition != nil {
		r.Partition = *p.partition
	}
}

// pace waits until record n may be written.
func (p *produce) pace(ctx context.Context, start time.Time, n int) error {
	if p.rate == 0 {
		return nil
	}
	wait := time.Until(start.Add(time.Duration(float64(n) / p.rate * float64(time.Second))))
	if wait <= 0 {
		return nil
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// source gives the next record, io.EOF at the end. Its errors say where in the input something is wrong.
type source func() (*kgo.Record, error)

func (p *produce) source(in io.Reader) (source, error) {
	switch {
	case p.null:
		return onlyOne(&kgo.Record{Partition: client.ByKey}), nil
	case p.layout != "":
		return formatSource(in, p.layout)
	case p.input == "jsonl":
		return jsonSource(in), nil
	case p.input == "csv":
		return csvSource(in)
	}
	return lineSource(in), nil
}

// interruptible lets a source end with ctx, although a read from a terminal or pipe cannot be broken off: it goes on in a
// goroutine, which is left behind when the process is about to end anyway.
func interruptible(ctx context.Context, next source) source {
	type read struct {
		r   *kgo.Record
		err error
	}
	reads := make(chan read, 64)
	go func() {
		for {
			r, err := next()
			select {
			case reads <- read{r, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return func() (*kgo.Record, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		select {
		case got := <-reads:
			return got.r, got.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func onlyOne(r *kgo.Record) source {
	left := []*kgo.Record{r}
	return func() (*kgo.Record, error) {
		if len(left) == 0 {
			return nil, io.EOF
		}
		r := left[0]
		left = slices.Delete(left, 0, 1)
		return r, nil
	}
}
