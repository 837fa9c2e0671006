package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestAV11ExpectedCluster: a client that means another cluster is told to begin again; which node it means does not matter.
func TestAV11ExpectedCluster(t *testing.T) {
	w := newWorld(t, option{})
	mine := clusterID(w.node.View())
	for _, e := range []struct {
		version int16
		cluster *string
		node    int32
		code    int16
	}{
		{5, nil, -1, codeNone}, {5, &mine, testNode, codeNone}, {5, &mine, 99, codeNone}, {5, ptr("other"), testNode, codeRebootstrapRequired},
		{5, ptr(""), testNode, codeRebootstrapRequired}, {5, &mine, -1, codeInvalidRequest}, {5, nil, testNode, codeInvalidRequest},
		{4, ptr("other"), testNode, codeNone}, // there are no such fields
	} {
		req := apiVersions(e.version)
		req.ClusterID, req.NodeID = e.cluster, e.node
		resp := call[*kmsg.ApiVersionsResponse](w.dial(), req)
		if resp.ErrorCode != e.code || (e.code == codeNone) != (len(resp.ApiKeys) > 0) {
			t.Errorf("v%d, node %d: code %d with %d keys, want %d", e.version, e.node, resp.ErrorCode, len(resp.ApiKeys), e.code)
		}
	}
}
