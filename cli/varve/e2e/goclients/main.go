// Command goclients holds Go clients of the end-to-end tests, in a module of its own so that they stay out of the
// main one. It is called with the name of a client, sarama or kafka-go, and obeys the lines that java/ describes:
//
//	create BOOTSTRAP TOPIC PARTITIONS
//	describe BOOTSTRAP TOPIC             answers the number of partitions
//	config BOOTSTRAP TOPIC NAME          answers the value
//	produce BOOTSTRAP TOPIC CODEC N      then N records; answers their offsets, or nothing
//	consume BOOTSTRAP TOPIC
//	consume-from BOOTSTRAP TOPIC MILLIS
package main

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
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

// library is a client. from is nil for the beginning; consume ends at the ends as they are when it starts.
type library interface {
	create(addr, topic string, partitions int) error
	describe(addr, topic string) (partitions int, err error)
	config(addr, topic, name string) (string, error)
	produce(addr, topic, codec string, records []record) ([]int64, error)
	consume(addr, topic string, from *time.Time, each func(record)) error
}

func main() {
	libraries := map[string]library{"sarama": saramaLibrary{}, "kafka-go": kafkaGoLibrary{}}
	if len(os.Args) != 2 || libraries[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: goclients sarama|kafka-go")
		os.Exit(2)
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
	if len(c) < 3 {
		return errors.New("a command has at least two arguments")
	}
	c = append(c, "", "")
	switch c[0] {
	case "create":
		n, err := strconv.Atoi(c[3])
		if err != nil {
			return err
		}
		return s.create(c[1], c[2], n)
	case "describe":
		n, err := s.describe(c[1], c[2])
		fmt.Fprintln(s.out, n)
		return err
	case "config":
		value, err := s.config(c[1], c[2], c[3])
		fmt.Fprintln(s.out, value)
		return err
	case "produce":
		return s.write(c[1], c[2], c[3], c[4])
	case "consume":
		return s.consume(c[1], c[2], nil, s.print)
	case "consume-from":
		millis, err := strconv.ParseInt(c[3], 10, 64)
		if err != nil {
			return err
		}
		from := time.UnixMilli(millis)
		return s.consume(c[1], c[2], &from, s.print)
	}
	return fmt.Errorf("unknown command %q", c[0])
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
	offsets, err := s.produce(addr, topic, codec, records)
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
