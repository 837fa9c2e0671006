package kafka

import (
	"encoding/binary"
	"net"
	"syscall"
)

// What is known of the other end of a connection, while nothing is read from it.
const (
	peerHere = iota // or not known
	peerDone        // it sends no more, and may still read
	peerGone
)

// The states of a TCP connection that the first byte of struct tcp_info tells (linux/tcp.h).
const (
	tcpEstablished = 1
	tcpCloseWait   = 8
)

// peer looks at the state of the connection in the kernel: the end of a stream shows to a reader only after all bytes
// before it.
func peer(nc net.Conn) int {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return peerHere
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return peerHere
	}
	state := tcpEstablished
	_ = raw.Control(func(fd uintptr) {
		first, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
		if err != nil {
			return // not TCP
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(first))
		state = int(b[0])
	})
	switch state {
	case tcpEstablished:
		return peerHere
	case tcpCloseWait:
		return peerDone
	}
	return peerGone
}
