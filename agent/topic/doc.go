// Package topic is the catalogue of topics: which there are, how many partitions they have, in which slots these lie, and
// which configs are set. It also holds the table of every config that Kafka knows, of topics and of brokers.
//
// The truth is the T items of the metastore. A change is one transaction over three items: the topic's, the counter VER
// (compared, so that all changes of a cluster have one order), and the change-log entry TL of the new version. An entry
// carries the nonce of its writer, so that a writer who lost the reply finds out from the entry whether the change is
// his: once VER has moved on, a late transaction cannot apply any more.
//
// Every agent holds all topics in memory. It polls VER, and on a change reads the entries it has not seen and then the
// items they name. So a topic may be known one poll later than it exists; Find and CatchUp read consistently.
//
// Deletion marks the item DELETING, then removes it; both steps are in the change log, and any agent that meets a
// DELETING item finishes the work. Options.OnDelete tells the agent that a topic is gone, so that the leaders of its
// partitions drop them. Between mark and removal lies the word of every session that leads a slot: it has dropped the topic,
// and says so in an item of its own (confirm.go). Whoever becomes a leader later reads the topics before it serves. So no
// leader acks records into a topic whose name is free again.
//
// Goroutines: Run is one, started by the agent; a Find that has to read starts one that ends with its read, after
// storeTimeout at most. Locks: Catalog.mu guards the writers of the tables and is never held over a store call; readers
// take no lock. Changes of one agent take turns by a channel, since VER lets one pass at a time anyway.
package topic
