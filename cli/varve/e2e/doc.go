// Package e2e holds the end-to-end tests: Kafka's own clients against the built binary, as processes, on the embedded
// stores and on MinIO with DynamoDB Local. All tests carry the build tag e2e and run with
//
//	make e2e                                 all of them
//	make e2e RUN=TestKill                    some
//	VARVE_KILL_ROUNDS=100 make e2e RUN=TestKill
//
// Clients: kgo (franz-go, in the test itself), kcat (librdkafka, from the system) and the Java client (a Maven project
// in java/, built on first use). Each writes and each reads what the others wrote; the records are compared byte for
// byte. The content tests run against kfake too, franz-go's in-process broker: it proves the tests, not Varve.
//
// All clients stand in one matrix (TestMatrix): those three and sarama and kafka-go (a module of its own in goclients/),
// confluent-kafka (python/), kafkajs (kafkajs/), and a Java client of 2021; clients.sh installs them into target/. The
// matrix makes the README's table of compatibility (make compat), and fails when that says something else.
//
// TestGroupMatrix is the matrix of groups: a process for each member (java/.../Member.java says what they obey and tell).
//
// TestOracle (make oracle, not in the gate) plays one script of group requests against a real Kafka and against Varve, and compares the
// answers; what differs on purpose stands in oracleDifferences.
//
// Tests that mostly wait run side by side, three at a time (Makefile), after the others: those measure, fill a disk, hold thousands of
// connections, or cut links by the second, and have the machine for themselves.
//
// Settings: VARVE_FULL=1 runs every client, and every test on every pair of stores; VARVE_BIN names a binary to test
// instead of building one, VARVE_KILL_ROUNDS the rounds of the kill loop, VARVE_SEED its random seed; VARVE_COMPAT=write
// writes the table.
package e2e
