//go:build !race

package simtest

const seedsAtOnce = 50 // of TestClusterSim
