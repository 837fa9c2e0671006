package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/url"

	"github.com/varvelog/varve/cli/bench"
)

// wireUp gives each of so many agents a cable. It comes before the first of them starts.
func (cr *crew) wireUp(agents int) {
	cr.cables = map[string]*bench.Cable{}
	for i := range agents {
		cr.cables[agentName(i)] = bench.NewCable()
	}
}

// lead puts the cable of an agent, if there are cables, between it and all but its HTTP side, by which it is watched.
func (cr *crew) lead(c *child) (err error) {
	c.cable = cr.cables[c.flag("--name")]
	if c.cable == nil {
		return nil
	}
	for _, side := range []struct {
		listen, advertise string
		caller            func([]byte) *bench.Cable
	}{{"--listen", "--advertise", nil}, {"--peer", "--advertise-peer", cr.caller}} {
		at, err := freeAddress()
		if err != nil {
			return err
		}
		front, err := c.cable.Lead(at, side.caller)
		if err != nil {
			return err
		}
		c.set(side.listen, at)
		c.set(side.advertise, front)
	}
	for _, flag := range []string{"--store", "--meta"} {
		led, err := leadStore(c.cable, c.flag(flag))
		if err != nil {
			return fmt.Errorf("%s: %w", flag, err)
		}
		c.set(flag, led)
	}
	return nil
}

// leadStore returns the URL of a store with its endpoint behind a cable.
func leadStore(cable *bench.Cable, raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", usageError{err}
	}
	q := u.Query()
	endpoint, err := url.Parse(q.Get("endpoint"))
	if err != nil || endpoint.Scheme != "http" || endpoint.Hostname() == "" {
		return "", usagef("--how cut: %s has no endpoint=http://HOST:PORT that a cable could be put before; use --store minio, or --how pause, which takes any store", u.Redacted())
	}
	port := endpoint.Port()
	if port == "" {
		port = "80"
	}
	if endpoint.Host, err = cable.Lead(net.JoinHostPort(endpoint.Hostname(), port), nil); err != nil {
		return "", err
	}
	q.Set("endpoint", endpoint.String())
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// helloName is where the first bytes of an agent that dials another have the length of its name, u16: see the package peer.
const helloName = 8 + 12 + 58

// caller is the cable of the agent that dialled another and sent these bytes; nil: it is none of the crew.
func (cr *crew) caller(first []byte) *bench.Cable {
	if len(first) < helloName+2 {
		return nil
	}
	name := first[helloName+2:]
	if n := int(binary.LittleEndian.Uint16(first[helloName:])); n <= len(name) {
		return cr.cables[string(name[:n])]
	}
	return nil
}

// freeAddress is where nobody listens just now.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// flag is what it is called with; empty: it is not.
func (c *child) flag(name string) string {
	for i, arg := range c.args[:len(c.args)-1] {
		if arg == name {
			return c.args[i+1]
		}
	}
	return ""
}

// set calls it with a flag.
func (c *child) set(name, value string) {
	if c.flag(name) == "" {
		c.args = append(c.args, name, value)
		return
	}
	c.keep(name, value)
}
