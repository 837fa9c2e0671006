//go:build race

package simtest

const seedsAtOnce = 15 // of TestClusterSim; the race detector makes each one many times slower
