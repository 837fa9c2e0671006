// Pure.

package records

import (
	"math"

	"github.com/google/uuid"
	"github.com/varvelog/varve/metastore"
)

// Agent is where an agent is and which session it runs. The name keeps its node id for ever.
type Agent struct {
	Name    string
	NodeID  int32
	Zone    string    // empty: unknown
	Host    string    // Kafka address that clients are told
	Port    int32     // 0 to 65535
	HTTP    string    // host:port of the console, empty: none
	Peer    string    // host:port for other agents
	Session uuid.UUID // the newest session of this name
	Started int64     // milliseconds since 1970
	Lived   uuid.UUID // the session before, if it was fenced while its process lived; Nil: no
	Drain   uuid.UUID // the session that shall lead nothing; any but Session: none
}

// AgentsPK is the partition key of all Agent items.
func (c Cluster) AgentsPK() string { return c.pk("A") }

// AgentKey is the key of the Agent item of name.
func (c Cluster) AgentKey(name string) metastore.Key {
	return metastore.Key{PK: c.AgentsPK(), SK: name}
}

// Item encodes a.
func (a Agent) Item() metastore.Item {
	return metastore.Item{
		AttrName:    metastore.S(a.Name),
		AttrNode:    metastore.N(int64(a.NodeID)),
		AttrZone:    metastore.S(a.Zone),
		AttrHost:    metastore.S(a.Host),
		AttrPort:    metastore.N(int64(a.Port)),
		AttrHTTP:    metastore.S(a.HTTP),
		AttrPeer:    metastore.S(a.Peer),
		AttrSession: IDValue(a.Session),
		AttrStarted: metastore.N(a.Started),
		AttrLived:   IDValue(a.Lived),
		AttrDrain:   IDValue(a.Drain),
	}
}

// DecodeAgent decodes it. Error: ErrBadItem.
func DecodeAgent(it metastore.Item) (Agent, error) {
	f := fields{kind: "agent", item: it}
	a := Agent{
		Name:    f.str(AttrName),
		NodeID:  f.i32(AttrNode),
		Zone:    f.str(AttrZone),
		Host:    f.str(AttrHost),
		Port:    int32(f.num(AttrPort, 0, math.MaxUint16)),
		HTTP:    f.str(AttrHTTP),
		Peer:    f.str(AttrPeer),
		Session: f.id(AttrSession),
		Started: f.count(AttrStarted),
	}
	if _, there := it[AttrLived]; there { // items of the first builds have none
		a.Lived = f.id(AttrLived)
	}
	if _, there := it[AttrDrain]; there {
		a.Drain = f.id(AttrDrain)
	}
	if f.err != nil {
		return Agent{}, f.err
	}
	return a, nil
}
