// Package agent is the server: it builds the rooms below it, plugs them into each other, starts them in a written order and
// stops them in reverse.
//
// An Agent lives through sessions. A session is one registration in the metastore with one WAL; it ends when the agent
// stops, or when another agent fenced it, and then the Agent says so loudly and begins a new one. The listeners live as long
// as the Agent. ARCHITECTURE.md follows a record through the rooms.
package agent
