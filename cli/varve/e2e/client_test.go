//go:build e2e

package e2e

import "testing"

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

func clients(t *testing.T) []client {
	return []client{kgoClient{}, javaClient{sharedJava(t)}, kcatClient{}}
}
