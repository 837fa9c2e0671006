// Package bench loads a server that speaks Kafka's protocol, times it and says what it cost. It knows a server by its addresses
// alone: that of its Kafka side, and for Varve those of the HTTP sides, whose counters give requests, dollars and memory.
//
// Times of sending are drawn before the run and do not wait for answers (open loop), so a server that stalls is charged for
// every record that should have been sent meanwhile. Each record carries the time it was meant for, a number and a checksum;
// what is read back tells what was lost, doubled, out of order or damaged.
//
// Goroutines: one per producer and per reader besides those of kgo, one that samples memory. Every Run function waits for its
// own before it returns. Histograms and checkers belong to one goroutine each, and are merged after it has ended; counters that
// a progress line reads are atomic. The files that open with "// Pure." have neither clock nor chance of their own.
package bench
