//go:build race

package kafka

// Under the race detector append(s, make([]T, n)...) makes the slice twice.
const raceFactor = 2
