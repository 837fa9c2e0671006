package kafka

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
)

// What the APIs of groups have in common. Their requests are given to the group's actor in the reader, in the order in which they came,
// so that commits of one connection apply in order (OF6), and are answered from there.

// Groups is what the server asks of the group room: *group.Coordinator. Every done is called once.
type Groups interface {
	Join(id string, j group.Join, done func(group.Joined))
	Sync(id string, s group.Sync, done func(group.Synced))
	Heartbeat(id string, h group.Heartbeat, done func(error))
	Leave(id string, l group.Leave, done func(group.Left))
	ConsumerHeartbeat(id string, e group.ConsumerBeat, done func(group.ConsumerTold))
	Commit(id string, r group.Commit, done func(refused map[group.Partition]error, err error))
	Fetch(id string, who group.Asker, done func(group.Offsets, error))
	Describe(id string, done func(group.Description, error))
	DescribeConsumer(id string, done func(group.ConsumerDescription, error))
	Delete(id string, done func(error))
	DeleteOffsets(id string, parts []group.Partition, topics map[group.Partition]string, done func(map[group.Partition]error, error))
	List(done func([]group.Listed, error))
	// Leads reports whether the groups of a slot are coordinated here. It does not block.
	Leads(slot uint16) bool
	// Those that follow block.
	Configs(ctx context.Context, id string) (map[string]string, error)
	Configured(ctx context.Context) ([]string, error)
	AlterConfigs(ctx context.Context, id string, f func(map[string]string) (map[string]string, error)) error
}

// grouped admits a request whose handler calls done when there is an answer.
func grouped[Q kmsg.Request, R kmsg.Response](h func(c *conn, req Q, done func(R))) func(*conn, *slot, kmsg.Request) {
	return func(c *conn, sl *slot, req kmsg.Request) {
		c.awaitCoordinator(req)
		h(c, req.(Q), func(resp R) {
			resp.SetVersion(req.GetVersion())
			c.answer(sl, resp)
		})
	}
}

// gather returns what is to be called n times until done is called; at once if n is 0.
func gather(n int, done func()) func() {
	if n == 0 {
		done()
	}
	left := atomic.Int64{}
	left.Store(int64(n))
	return func() {
		if left.Add(-1) == 0 {
			done()
		}
	}
}

// host is the client's address as Kafka's tools show it.
func (c *conn) host() string {
	host, _, err := net.SplitHostPort(c.nc.RemoteAddr().String())
	if err != nil {
		return "/" + c.nc.RemoteAddr().String()
	}
	return "/" + host
}

// groupCode is the code for an error of the group room.
func groupCode(err error) int16 { return codeOf(err, codeUnknown) }
