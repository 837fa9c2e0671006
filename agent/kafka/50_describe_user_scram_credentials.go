package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeUserScramCredentials (key 50): v0. Differs from Kafka: there are no users yet, so the list of all is empty and a
// named one is not found.
func (s *Server) describeUserSCRAM(_ context.Context, req *kmsg.DescribeUserSCRAMCredentialsRequest) *kmsg.DescribeUserSCRAMCredentialsResponse {
	resp := req.ResponseKind().(*kmsg.DescribeUserSCRAMCredentialsResponse)
	twice := repeated(req.Users, func(u *kmsg.DescribeUserSCRAMCredentialsRequestUser) string { return u.Name })
	told := map[string]bool{}
	for i := range req.Users {
		name := req.Users[i].Name
		if told[name] {
			continue
		}
		told[name] = true
		r := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		r.User = name
		if twice[name] {
			r.ErrorCode, r.ErrorMessage = refuse(codeDuplicateResource, "user: %v", errDuplicate)
		} else {
			r.ErrorCode, r.ErrorMessage = refuse(codeResourceNotFound, "there are no SCRAM users yet")
		}
		resp.Results = append(resp.Results, r)
	}
	return resp
}
