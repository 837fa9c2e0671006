//go:build race

package simtest

const coreGate = 60 // seeds of TestCoreSim; the race detector makes each one many times slower, and there is one goroutine
