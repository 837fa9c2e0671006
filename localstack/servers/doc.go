// Package servers gives tests real object stores and real metastores: MinIO, DynamoDB Local, versitygw and LocalStack,
// installed by localstack/local.sh on first use and started once per test process on free loopback ports.
//
// It is a test helper of the level of cli: it may be imported by tests of drivers and by the tests in cli, never by
// code that ships, and imports nothing of ours. It needs Go, Java 17 or newer and npm, for
// LocalStack Python 3.13 and a JDK too, and says which one is missing.
//
// Life: a server is the child of a small shell, whose standard input is a pipe that this process holds open. When this
// process ends in whatever way, also by a panic, a time-out or kill -9, the pipe closes and the shell kills the server
// and removes its data. So nothing has to be stopped, no goroutine is left behind, and it works on every Unix.
//
// Installed parts lie in .local/ at the root of the repository, or in VARVE_LOCAL_DIR.
package servers
