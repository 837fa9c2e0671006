package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// AlterUserScramCredentials (key 51): v0. Differs from Kafka: there are no users yet, so none is made, and none is found that
// could be deleted.
func (s *Server) alterUserSCRAM(_ context.Context, req *kmsg.AlterUserSCRAMCredentialsRequest) *kmsg.AlterUserSCRAMCredentialsResponse {
	resp := req.ResponseKind().(*kmsg.AlterUserSCRAMCredentialsResponse)
	type change struct {
		user   string
		delete bool
	}
	var changes []change
	for i := range req.Deletions {
		changes = append(changes, change{req.Deletions[i].Name, true})
	}
	for i := range req.Upsertions {
		changes = append(changes, change{req.Upsertions[i].Name, false})
	}
	twice, told := repeated(changes, func(c *change) string { return c.user }), map[string]bool{}
	for _, c := range changes {
		if told[c.user] {
			continue
		}
		told[c.user] = true
		r := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		r.User = c.user
		switch {
		case twice[c.user]:
			r.ErrorCode, r.ErrorMessage = refuse(codeDuplicateResource, "user: %v", errDuplicate)
		case c.delete:
			r.ErrorCode, r.ErrorMessage = refuse(codeResourceNotFound, "there are no SCRAM users yet")
		default:
			r.ErrorCode, r.ErrorMessage = refuse(codeSecurityDisabled, "this version has no authentication; clients connect as they are")
		}
		resp.Results = append(resp.Results, r)
	}
	return resp
}
