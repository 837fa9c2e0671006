package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DeleteGroups (key 42): v0-3.
//
//	v2: flexible. v3: error messages.
//
// Differs from Kafka: nothing known.
func deleteGroups(c *conn, req *kmsg.DeleteGroupsRequest, done func(*kmsg.DeleteGroupsResponse)) {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	ids := distinct(req.Groups)
	resp.Groups = make([]kmsg.DeleteGroupsResponseGroup, len(ids))
	settle := gather(len(ids), func() { done(resp) })
	for i, id := range ids {
		c.s.deps.Groups.Delete(id, func(err error) {
			g := kmsg.NewDeleteGroupsResponseGroup()
			g.Group = id
			g.ErrorCode, g.ErrorMessage = failure(err)
			resp.Groups[i] = g
			settle()
		})
	}
}

// distinct returns list without repetitions.
func distinct(list []string) []string {
	seen := map[string]bool{}
	var all []string
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			all = append(all, s)
		}
	}
	return all
}
