//go:build !race

package simtest

const coreGate = coreSeeds // seeds of TestCoreSim
