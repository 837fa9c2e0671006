// Command goclients holds Go clients of the end-to-end tests, in a module of its own so that they stay out of the
// main one. It is called with the name of a client and obeys the lines that java/ describes.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// record is one line of data. Nil is Kafka's null.
type record struct {
	partition  int32
	offset     int64
	time       time.Time
	key, value []byte
	headers    []header
}

type header struct {
	name  string
	value []byte
}

// start is where consume begins, in every partition.
type start struct {
	at string // "beginning", "offset" or "time"
	n  int64  // the offset, or milliseconds
}

// library is a client. consume ends at the ends as they are when it starts; produce sends rounds, one after the other.
type library interface {
	create(addr, topic string, partitions int) error
	remove(addr, topic string) error
	list(addr string) ([]string, error)
	describe(addr, topic string) (partitions int, err error)
	config(addr, topic, name string) (string, error)
	alter(addr, topic, name, value string) error
	produce(addr, topic, codec string, rounds [][]record) ([]int64, error)
	consume(addr, topic string, from start, each func(record)) error
	// member is a member of a group until ctx ends; then it leaves.
	member(ctx context.Context, m membership, t *teller) error
}

// round is how many records are sent at once; the next ones follow when these are acknowledged.
const round = 500

func main() {
	libraries := map[string]library{"franz-go": franzLibrary{}, "sarama": saramaLibrary{}, "kafka-go": kafkaGoLibrary{}}
	if len(os.Args) < 2 || libraries[os.Args[1]] == nil || len(os.Args) > 2 && os.Args[2] != "member" {
		fmt.Fprintln(os.Stderr, "usage: goclients franz-go|sarama|kafka-go [member ADDRESSES TOPIC GROUP [WORD=VALUE]...]")
		os.Exit(2)
	}
	if len(os.Args) > 2 {
		if err := runMember(libraries[os.Args[1]], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	s := server{libraries[os.Args[1]], bufio.NewReaderSize(os.Stdin, 1<<20), bufio.NewWriter(os.Stdout)}
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return
		}
		if err := s.obey(strings.Split(strings.TrimSuffix(line, "\n"), " ")); err != nil {
			fmt.Fprintf(s.out, "error %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Fprintln(s.out, "ok")
		}
		if s.out.Flush() != nil {
			return
		}
	}
}

type server struct {
	library
	in  *bufio.Reader
	out *bufio.Writer
}

func (s server) obey(c []string) error {
	c = append(c, "", "", "", "", "")
	switch c[0] {
	case "version":
		fmt.Fprintln(s.out, version(os.Args[1]))
		return nil
	case "create":
		n, err := strconv.Atoi(c[3])
		if err != nil {
			return err
		}
		return s.create(c[1], c[2], n)
	case "delete":
		return s.remove(c[1], c[2])
	case "list":
		names, err := s.list(c[1])
		for _, name := range names {
			fmt.Fprintln(s.out, name)
		}
		return err
	case "describe":
		n, err := s.describe(c[1], c[2])
		fmt.Fprintln(s.out, n)
		return err
	case "config":
		value, err := s.config(c[1], c[2], c[3])
		fmt.Fprintln(s.out, value)
		return err
	case "alter":
		return s.alter(c[1], c[2], c[3], c[4])
	case "produce":
		return s.write(c[1], c[2], c[3], c[4])
	case "consume":
		return s.consume(c[1], c[2], start{at: "beginning"}, s.print)
	case "consume-from":
		return s.consumeFrom(c[1], c[2], "time", c[3])
	case "consume-at":
		return s.consumeFrom(c[1], c[2], "offset", c[3])
	}
	if l, ok := s.library.(groupAdmin); ok {
		return s.groups(l, c)
	}
	return fmt.Errorf("unknown command %q", c[0])
}

func (s server) consumeFrom(addr, topic, at, number string) error {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return err
	}
	return s.consume(addr, topic, start{at, n}, s.print)
}

// version is that of the module a library comes from.
func version(library string) string {
	modules := map[string]string{"franz-go": "github.com/twmb/franz-go", "sarama": "github.com/IBM/sarama", "kafka-go": "github.com/segmentio/kafka-go"}
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == modules[library] {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return "unknown"
}

func (s server) write(addr, topic, codec, count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	records := make([]record, n)
	for i := range records {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return err
		}
		if records[i], err = parse(strings.TrimSuffix(line, "\n")); err != nil {
			return err
		}
	}
	offsets, err := s.produce(addr, topic, codec, slices.Collect(slices.Chunk(records, round)))
	for _, o := range offsets {
		fmt.Fprintln(s.out, o)
	}
	return err
}

func (s server) print(r record) {
	fmt.Fprintf(s.out, "%d %d %d %s %s", r.partition, r.offset, r.time.UnixMilli(), text(r.key), text(r.value))
	for _, h := range r.headers {
		fmt.Fprintf(s.out, " %s:%s", text([]byte(h.name)), text(h.value))
	}
	fmt.Fprintln(s.out)
}

func parse(line string) (record, error) {
	f := strings.Split(line, " ")
	if len(f) < 5 {
		return record{}, fmt.Errorf("record has %d fields", len(f))
	}
	var r record
	var millis int64
	if _, err := fmt.Sscan(strings.Join(f[:3], " "), &r.partition, &r.offset, &millis); err != nil {
		return r, err
	}
	r.time = time.UnixMilli(millis)
	var errs [2]error
	r.key, errs[0] = decode(f[3])
	r.value, errs[1] = decode(f[4])
	for _, h := range f[5:] {
		name, value, _ := strings.Cut(h, ":")
		n, err := decode(name)
		v, err2 := decode(value)
		if err := errors.Join(err, err2); err != nil {
			return r, err
		}
		r.headers = append(r.headers, header{string(n), v})
	}
	return r, errors.Join(errs[:]...)
}

func text(b []byte) string {
	if b == nil {
		return "~"
	}
	return base64.StdEncoding.EncodeToString(b)
}

func decode(s string) ([]byte, error) {
	if s == "~" {
		return nil, nil
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if b == nil {
		b = []byte{}
	}
	return b, err
}
