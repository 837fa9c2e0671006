//go:build e2e

package e2e

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain finds goroutines that a test left behind: a client not closed, an agent not waited for. The Java client has
// one process and no goroutine.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
