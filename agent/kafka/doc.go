// Package kafka is the Kafka protocol server: listeners, connections, pipelining, and one file per API, named by its key.
// It turns requests into the words of the rooms below (topic, partition, fetch, cluster) and their answers and errors into
// Kafka's; besides the client package it is the only one that knows a Kafka field or error code. SKIPPED.md lists what is
// knowingly absent. dispatch.go is the table of what is there.
//
// A connection admits requests in the order they come and answers in that order; in between they run at once, up to 64.
// Produce is admitted in the reader: decoded over the frame, checked, appended; what remains is one counter per request
// that the commits of its batches count down. Fetch is answered in the reader if memory holds enough, else it parks.
//
// Bytes: a Produce body is taken from the agent's budget before it is read, so that a full budget stops the reading of
// Produce and of nothing else; all other bodies draw on a small budget of the server's own, with what they are decoded to
// until they are answered. Answers that nobody reads stop the requests of their connection. A batch is decompressed in a
// turn. Records are never copied here: a batch goes to the WAL with a reference to its frame, and to a consumer as a slice of
// a cached block.
//
// Goroutines: Serve is one per listener; each connection has a reader and a writer; a request has one of its own only while
// it waits for a store or for records. Shutdown waits for all of them. Locks: ring.mu, conn.mu and metadataCache.mu are
// leaves, never held over a send, a write or a call into another room.
//
// testdata/golden shows a request and its answer for each key and version, as JSON and as bytes. Whoever adds an API or a
// version adds to goldenRequest and runs `go test ./agent/kafka -run TestGolden -update`; a test misses what has no golden.
package kafka
