package peer

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/google/uuid"
)

// Identity is who stands at one end of a link. All of it is checked at hello.
type Identity struct {
	Cluster uuid.UUID
	Agent   string // name, at most 249 bytes
	Session uuid.UUID
	Node    int32
}

// Peer is an agent to keep a link with: where the metastore says that this session listens.
type Peer struct {
	Agent   string
	Session uuid.UUID
	Address string // HOST:PORT
}

// Load is what leading one slot costs its leader.
type Load struct {
	Slot       uint16
	Partitions uint16 // led partitions, at most 65,535 are told
	Bytes      uint32 // appended bytes per second
}

// Notice is what an agent tells another. It is a state, not a change: a newer one stands for all before it.
type Notice struct {
	Map, Topics int64  // versions of the slot map and of the topics that the sender knows; 0: unknown
	Loads       []Load // of every slot that the sender leads; nil: unknown
	Closing     bool   // the sender is on its way out
}

// merge lays n over old, which it is newer than: what n does not know stays.
func (n Notice) merge(old Notice) Notice {
	n.Map, n.Topics = max(n.Map, old.Map), max(n.Topics, old.Topics)
	if n.Loads == nil {
		n.Loads = old.Loads
	}
	n.Closing = n.Closing || old.Closing
	return n
}

// Why is how a redial found out that a session's process is gone.
type Why int

// The reasons of Events.Gone.
const (
	Refused  Why = iota + 1 // nobody listens at its address any more
	Replaced                // another session of the same agent name answers there
)

func (w Why) String() string {
	switch w {
	case Refused:
		return "refused"
	case Replaced:
		return "replaced"
	}
	return fmt.Sprintf("Why(%d)", int(w))
}

// Events is told what happens on links. Methods are called from several goroutines, those of one link in order; they must
// not block and must not call Close. A Notice's slices are the receiver's.
type Events interface {
	// Notice came from an agent of the same cluster. Its session need not be one that Set named.
	Notice(from Identity, n Notice)
	// Lost says that the link with p's session ended, for whatever reason: the process may be gone, or only the connection. A redial follows,
	// and then Gone or, from a link that comes up again, a Notice.
	Lost(p Peer)
	// Gone says that a redial found the process of p's session gone. other is the session that answers instead (Replaced),
	// else zero. It is told again after each redial that finds the same, at most once in 20 ms and soon once in 2 s.
	Gone(p Peer, why Why, other uuid.UUID)
}

// Config of a Mesh.
type Config struct {
	Identity Identity
	Dial     func(ctx context.Context, address string) (net.Conn, error) // nil: TCP by net.Dialer
	Ping     time.Duration                                               // between two pings of a link; 0: 1 s
	Timeout  time.Duration                                               // a link silent for so long is dropped; bounds dial, hello and each write too; 0: 3 s
}

func (c Config) filled() Config {
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	if c.Ping <= 0 {
		c.Ping = time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = 3 * time.Second
	}
	return c
}
