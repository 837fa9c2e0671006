package kafka

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/varvelog/varve/agent/group"
)

// ListGroups (key 16): v0-5.
//
//	v3: flexible. v4: states. v5: types (KIP-848).
//
// Each agent lists the groups whose slots it leads; clients ask all agents (CG16).
//
// Differs from Kafka: nothing known.
func listGroups(c *conn, req *kmsg.ListGroupsRequest, done func(*kmsg.ListGroupsResponse)) {
	c.s.deps.Groups.List(func(all []group.Listed, err error) {
		resp := kmsg.NewPtrListGroupsResponse()
		resp.ErrorCode = groupCode(err)
		for _, l := range all {
			if !among(req.StatesFilter, l.State) || !among(req.TypesFilter, string(l.Type)) {
				continue
			}
			g := kmsg.NewListGroupsResponseGroup()
			g.Group, g.ProtocolType, g.GroupState, g.GroupType = l.Group, l.Kind, l.State, string(l.Type)
			resp.Groups = append(resp.Groups, g)
		}
		done(resp)
	})
}

// among reports whether a filter lets a word through, in any case; one without words lets everything through.
func among(filter []string, word string) bool {
	return len(filter) == 0 || slices.ContainsFunc(filter, func(f string) bool { return strings.EqualFold(f, word) })
}
