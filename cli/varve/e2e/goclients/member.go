package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// membership is how a member joins a group. The same words stand in the calls of all clients' members (see java/.../Member.java).
type membership struct {
	addrs        []string
	topic, group string
	instance     string // of a static member; empty: none
	cooperative  bool
	newer        bool // group.protocol=consumer (KIP-848), where the server says how long a session is
	session      time.Duration
}

// teller writes what happens to a member, a line each, from many goroutines.
type teller struct {
	mu  sync.Mutex
	out *bufio.Writer
}

func (t *teller) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, format+"\n", args...)
	_ = t.out.Flush()
}

// partitions says that partitions came or went.
func (t *teller) partitions(what string, all ...int32) {
	slices.Sort(all)
	t.say("%s %s", what, strings.Trim(strings.Join(strings.Fields(fmt.Sprint(all)), ","), "[]"))
}

// read says that the records of a partition from an offset to another were read.
func (t *teller) read(partition int32, from, to int64) { t.say("read %d %d %d", partition, from, to) }

// runMember is goclients LIBRARY member ADDRESSES TOPIC GROUP [WORD=VALUE]...; it leaves at the end of its standard input.
func runMember(l library, args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("member needs addresses, a topic and a group")
	}
	m := membership{addrs: strings.Split(args[0], ","), topic: args[1], group: args[2]}
	for _, arg := range args[3:] {
		word, value, _ := strings.Cut(arg, "=")
		switch word {
		case "instance":
			m.instance = value
		case "strategy":
			m.cooperative, m.newer = value == "cooperative", value == "consumer"
		case "session":
			millis, err := strconv.Atoi(value)
			if err != nil {
				return err
			}
			m.session = time.Duration(millis) * time.Millisecond
		default:
			return fmt.Errorf("unknown word %q", word)
		}
	}
	ctx, leave := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		leave()
	}()
	t := &teller{out: bufio.NewWriter(os.Stdout)}
	if err := l.member(ctx, m, t); err != nil {
		return err
	}
	t.say("left")
	return nil
}
