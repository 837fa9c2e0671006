//go:build e2e && oracle

package e2e

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerTime is how long an answer may take; parkedTime how long a request must stay without one to count as parked.
const (
	answerTime = 20 * time.Second
	parkedTime = 400 * time.Millisecond
)

// player plays the script against one server and writes down what that answers.
type player struct {
	t     *testing.T
	addr  string
	conns map[string]*playerConn
	ids   []string // UUIDs as they came, so that "#1" is the same one for every server
	steps []step
}

// step is an answer, as fields: PATH=VALUE.
type step struct {
	name   string
	fields []field
}

type field struct{ path, value string }

type playerConn struct {
	net.Conn
	in      *bufio.Reader
	pending kmsg.Request
}

func newPlayer(t *testing.T, addr string) *player {
	p := &player{t: t, addr: addr, conns: map[string]*playerConn{}}
	t.Cleanup(func() {
		for _, c := range p.conns {
			_ = c.Close()
		}
	})
	return p
}

// on returns a connection by its name.
func (p *player) on(name string) *playerConn {
	p.t.Helper()
	if c := p.conns[name]; c != nil {
		return c
	}
	nc, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	c := &playerConn{Conn: nc, in: bufio.NewReader(nc)}
	p.conns[name] = c
	return c
}

// drop closes a connection.
func (p *player) drop(name string) {
	_ = p.on(name).Close()
	delete(p.conns, name)
}

// send sends a request whose answer is read later.
func (p *player) send(conn string, version int16, req kmsg.Request) {
	p.t.Helper()
	c := p.on(conn)
	if c.pending != nil {
		p.t.Fatalf("%s still waits for an answer", conn)
	}
	req.SetVersion(version)
	c.pending = req
	_, _ = c.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("oracle")).AppendRequest(nil, req, 7))
}

// parked writes down whether the request of a connection is still without an answer.
func (p *player) parked(name, conn string) {
	p.t.Helper()
	c := p.on(conn)
	_ = c.SetReadDeadline(time.Now().Add(parkedTime))
	_, err := c.in.Peek(1)
	p.steps = append(p.steps, step{name, []field{{"parked", fmt.Sprint(errors.Is(err, os.ErrDeadlineExceeded))}}})
}

// answer reads the answer to what was sent, writes it down and returns it; an empty one if there is none.
func answer[R kmsg.Response](p *player, name, conn string) R {
	p.t.Helper()
	c := p.on(conn)
	resp := c.pending.ResponseKind()
	flexible := c.pending.IsFlexible()
	c.pending = nil
	if why := c.read(resp, flexible); why != "" {
		p.steps = append(p.steps, step{name, []field{{"answer", why}}})
		p.drop(conn)
		return resp.(R)
	}
	p.steps = append(p.steps, step{name, p.flatten("", reflect.ValueOf(resp).Elem(), nil)})
	return resp.(R)
}

// ask sends a request on the connection "a" and takes its answer.
func ask[R kmsg.Response](p *player, name string, version int16, req kmsg.Request) R {
	p.t.Helper()
	return askOn[R](p, name, "a", version, req)
}

func askOn[R kmsg.Response](p *player, name, conn string, version int16, req kmsg.Request) R {
	p.t.Helper()
	p.send(conn, version, req)
	return answer[R](p, name, conn)
}

// read returns why there is no answer.
func (c *playerConn) read(resp kmsg.Response, flexible bool) string {
	_ = c.SetReadDeadline(time.Now().Add(answerTime))
	head := make([]byte, 8)
	if _, err := io.ReadFull(c.in, head); errors.Is(err, os.ErrDeadlineExceeded) {
		return "none"
	} else if err != nil {
		return "closed"
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return "cut off"
	}
	if flexible { // the header's tags: none
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return "unreadable: " + err.Error()
	}
	return ""
}

// Fields that say where a server is, not what it does.
var placeFields = []string{"NodeID", "Port", "Host", "ClientHost"}

// flatten appends the fields of an answer.
func (p *player) flatten(path string, v reflect.Value, out []field) []field {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return append(out, field{path, "null"})
		}
		return p.flatten(path, v.Elem(), out)
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			switch {
			case name == "Version" || name == "ThrottleMillis" || name == "UnknownTags":
			case slices.Contains(placeFields, name):
				out = append(out, field{join(path, name), place(v.Field(i))})
			case strings.HasSuffix(name, "ErrorMessage"):
				out = append(out, field{join(path, name), message(v.Field(i))})
			default:
				out = p.flatten(join(path, name), v.Field(i), out)
			}
		}
		return out
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			return p.flattenList(path, v, out)
		}
	}
	switch b := v.Interface().(type) {
	case []byte:
		return append(out, field{path, p.known(fmt.Sprintf("%q", b))})
	case [16]byte:
		return append(out, field{path, p.known(uuid.UUID(b).String())})
	}
	return append(out, field{path, p.known(fmt.Sprint(v.Interface()))})
}

// flattenList names structures by what identifies them, so that one more or less is one difference.
func (p *player) flattenList(path string, v reflect.Value, out []field) []field {
	seen := map[string]int{}
	for i := range v.Len() {
		name := p.identity(v.Index(i))
		if seen[name]++; seen[name] > 1 {
			name += fmt.Sprintf(" again %d", seen[name])
		}
		out = append(out, field{fmt.Sprintf("%s{%s}", path, name), "there"})
		out = p.flatten(fmt.Sprintf("%s{%s}", path, name), v.Index(i), out)
	}
	return out
}

// identity is the name of a structure in a list.
func (p *player) identity(v reflect.Value) string {
	for _, name := range []string{"Group", "Key", "MemberID", "Topic", "Partition"} {
		f := v.FieldByName(name)
		if !f.IsValid() {
			continue
		}
		text := p.known(fmt.Sprint(f.Interface()))
		if instance := v.FieldByName("InstanceID"); instance.IsValid() && !instance.IsNil() {
			text += " " + instance.Elem().String()
		}
		if len(text) > 40 {
			text = fmt.Sprintf("%.5s... %d", text, len(text))
		}
		return text
	}
	return ""
}

func join(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

// place tells whether there is one.
func place(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.String && v.String() == "", v.CanInt() && v.Int() <= 0:
		return "none"
	}
	return "some"
}

// message tells whether there is one: its words are everybody's own. Kafka says "NONE" of what is well in some versions.
func message(v reflect.Value) string {
	if v.IsNil() || v.Elem().String() == "" || v.Elem().String() == "NONE" {
		return "none"
	}
	return "some"
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|^[A-Za-z0-9_-]{22}$`)

// known replaces ids that servers draw by the number of their first appearance.
func (p *player) known(text string) string {
	return uuidText.ReplaceAllStringFunc(text, func(id string) string {
		if id == uuid.Nil.String() {
			return "zero"
		}
		i := slices.Index(p.ids, id)
		if i < 0 {
			i = len(p.ids)
			p.ids = append(p.ids, id)
		}
		return fmt.Sprintf("#%d", i+1)
	})
}

// transcript is everything that was written down.
func (p *player) transcript() string {
	var b strings.Builder
	for _, s := range p.steps {
		b.WriteString(s.name + "\n")
		for _, f := range s.fields {
			fmt.Fprintf(&b, "    %s=%s\n", f.path, f.value)
		}
	}
	return b.String()
}
