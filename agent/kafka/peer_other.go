//go:build !linux

package kafka

import "net"

// What is known of the other end of a connection, while nothing is read from it.
const (
	peerHere = iota // or not known
	peerDone        // it sends no more, and may still read
	peerGone
)

// peer knows nothing here: a client that left is noticed when its request's turn comes.
func peer(net.Conn) int { return peerHere }
