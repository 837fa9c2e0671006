//go:build e2e && race

package e2e

// raceEnabled tells whether the agent is built with the race detector, as the tests are.
const raceEnabled = true
