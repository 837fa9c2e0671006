//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"testing"
)

// client is one of Kafka's clients. Every method fails the test on an error.
type client interface {
	name() string
	// produce writes the records with acks=all, to the partitions they name, in order, and returns the offset each got;
	// nil from a client that cannot tell.
	produce(t *testing.T, addr, topic, codec string, records []record) []int64
	// consume reads every partition from its beginning to its end as it is at the start.
	consume(t *testing.T, addr, topic string) []record
	// consumeFrom likewise, from the first record at or after a time in milliseconds.
	consumeFrom(t *testing.T, addr, topic string, millis int64) []record
}

// clients returns the clients that this machine has, and says what is left out. The gate leaves out none.
func clients(t *testing.T) []client {
	t.Helper()
	all := []client{kgoClient{}}
	if have(t, "mvn", "the Java client", "install Maven and a JDK 17 or newer") {
		all = append(all, javaClient{sharedJava(t)})
	}
	if have(t, "kcat", "kcat", "Debian: apt-get install kcat; macOS: brew install kcat") {
		all = append(all, kcatClient{})
	}
	return all
}

// have reports whether a program is there. In the gate (CI=true) one that is missing fails the test.
func have(t *testing.T, program, what, fix string) bool {
	t.Helper()
	_, err := exec.LookPath(program)
	if err == nil {
		return true
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s not found: %s", program, fix)
	}
	t.Logf("LEFT OUT: %s, because %s is not here. %s", what, program, fix)
	return false
}

// need skips a test of a client that is not on this machine; in the gate it fails.
func need(t *testing.T, program, what, fix string) {
	t.Helper()
	if !have(t, program, what, fix) {
		t.SkipNow()
	}
}
