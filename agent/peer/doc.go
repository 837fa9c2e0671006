// Package peer is the link between two agents: one framed, versioned connection per pair, kept up by redialling. It carries
// notices ("I know version 17 of the map", "this is what I lead") and tells at once when a process is gone for good.
//
// It decides nothing that the metastore decides. A Notice is a hint to look there sooner; Gone is a reason to try a fence, never
// permission to act as if there were one; a link that is up proves nothing about a session. A link that is merely cut, reset or
// slow yields no event at all: then the heartbeat in the metastore is the only judge, so that two healthy agents never
// fence each other for what happens between them.
//
// # Who dials
//
// Both do, and again whenever their link is lost, at once and then with growing pauses. Of two connections between the same two
// sessions the one dialled by the lower session id stays, on both sides; the other one is told so in the hello. Dialling from
// both sides costs one short connection per pair and buys a proof: only an address that once answered us, dialled by
// us, as the very session we look for, can later say by refusing that this session is gone. An address that was
// advertised wrongly never had that proof, so it never costs a healthy agent its slots.
//
//	redial                                        event
//	refused (ECONNREFUSED)                        Gone(Refused)
//	another session of that agent name answers    Gone(Replaced) with that session
//	another agent or cluster, or something else   a line in the log
//	time-out, reset, end of stream, unreachable   none; redialled
//
// # Bytes
//
// All numbers are little-endian. A connection opens, in both directions, with 8 bytes "VARVPEER"; frames follow:
//
//	0   length of the payload   u32   at most 1 MiB; a hello and a refusal at most 1 KiB
//	4   kind                    u8    1 hello, 2 refuse, 3 ping, 4 pong, 5 notice; others are skipped
//	5   zero                    u8 x 3
//	8   CRC-32C                 u32   of bytes 0 to 7 and the payload
//	12  payload
//
//	hello   version u16 | oldest u16 | cluster 16 | session 16 | wanted session 16, zero if any | node i32 | flags u16 | name length u16 | name
//	        version is the highest the sender speaks, oldest the lowest; the link speaks the lower of the two highest.
//	        flag 1: spare, the link that we have stays
//	refuse  UTF-8 text for the other side's log
//	ping    u64, any; pong: the same u64
//	notice  map i64 | topics i64 | flags u16 (1: closing) | loads u32 | per load: slot u16, partitions u16, bytes/s u32
//
// Bytes after the last field known are ignored, so that a version may append fields. The dialler says hello first; the other
// side answers with its own hello, or with a refusal that says why, and nothing at all to a stranger that does not speak
// this protocol.
//
// # Goroutines and bounds
//
// Serve is one, by whoever calls it, and one more per connection that comes in until its hello is done (at most 64). A peer
// named by Set has one that dials; a link has two, reader and writer (at most 1,024 links). All end with Close, which waits
// for them. Per link one notice waits at most: a newer one is merged into it, so that a slow peer costs no memory. Mesh.mu is held over no
// I/O, no send and no call out.
package peer
