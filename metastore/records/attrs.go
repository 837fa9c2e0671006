package records

// Names of attributes, as they stand in the table. They are part of the format: never change one. RECORDS.md says which
// kind has which.
const (
	AttrAgent     = "agent"      // string: agent name
	AttrBase      = "base"       // number: first offset
	AttrBytes     = "bytes"      // number: bytes
	AttrCluster   = "cluster"    // bytes: UUID of the cluster
	AttrCommitted = "committed"  // number: highest committed WAL sequence, 0: none
	AttrConfigs   = "configs"    // bytes: packed string map
	AttrCreated   = "created"    // number: milliseconds since 1970
	AttrDrain     = "drain"      // bytes: UUID of the session that shall lead nothing
	AttrEnd       = "end"        // number: first sequence that is not log, once sealed or closed; 0: not yet
	AttrEpoch     = "epoch"      // number: slot epoch
	AttrExtents   = "extents"    // number: how many
	AttrFooterLen = "footer_len" // number: bytes
	AttrFormat    = "format"     // number: version of the whole layout
	AttrFrom      = "from"       // bytes: packed from list
	AttrHB        = "hb"         // number: heartbeat counter
	AttrHost      = "host"       // string: advertised Kafka host
	AttrHTTP      = "http"       // string: HTTP address
	AttrID        = "id"         // bytes: UUID of a topic or object
	AttrISR       = "isr"        // bytes: packed members
	AttrKeys      = "keys"       // bytes: packed strings, keys of objects
	AttrLeader    = "leader"     // bytes: UUID of the leading session
	AttrLive      = "live"       // number: runs of a pack that may still be needed
	AttrLived     = "lived"      // bytes: UUID of the session before, if it was fenced while its process lived
	AttrLogStart  = "log_start"  // number: first offset of a log
	AttrMap       = "map"        // number: version of the slot map
	AttrMaxTS     = "max_ts"     // number: milliseconds since 1970
	AttrMinTS     = "min_ts"     // number: milliseconds since 1970
	AttrName      = "name"       // string: agent or topic name
	AttrNames     = "names"      // bytes: packed strings
	AttrNext      = "next"       // number: offset after the last one
	AttrNode      = "node"       // number: node id; in IDs the next one
	AttrNonce     = "nonce"      // bytes: UUID chosen by the last writer
	AttrNotBefore = "not_before" // number: milliseconds since 1970
	AttrOldestRef = "oldest_ref" // number: see RECORDS.md
	AttrPartition = "partition"  // number: of a partition
	AttrPeer      = "peer"       // string: peer address
	AttrPending   = "pending"    // bytes: packed slot -> epoch
	AttrPins      = "pins"       // bytes: packed slot -> (sequence, epoch)
	AttrPort      = "port"       // number: advertised Kafka port
	AttrProducer  = "producer"   // number: next producer-id block
	AttrRecords   = "records"    // number: how many
	AttrReplicas  = "replicas"   // bytes: packed members
	AttrRuns      = "runs"       // number: how many
	AttrSegment   = "segment"    // bytes: UUID in a segment's key
	AttrSession   = "session"    // bytes: UUID of a session
	AttrSize      = "size"       // number: bytes of an object before its footer
	AttrSlot      = "slot"       // number: slot
	AttrSlots     = "slots"      // number: count (Config); bytes: packed slot per partition (Topic)
	AttrSnap      = "snap"       // number: sequence the newest snapshot covers, 0: none
	AttrSnapID    = "snap_id"    // bytes: UUID in that snapshot's key
	AttrSnapshots = "snapshots"  // number: 1 if a session's snapshots are meant too
	AttrStart     = "start"      // number: next start number (IDs); first sequence (Garbage)
	AttrStarted   = "started"    // number: milliseconds since 1970
	AttrState     = "state"      // string: state of a session or topic
	AttrTiered    = "tiered"     // number: offset up to which a log lies in segments
	AttrTopic     = "topic"      // number: version of the set of topics
	AttrTrim      = "trim"       // number: lowest WAL sequence still needed, 0: none trimmed
	AttrTTL       = "ttl"        // number: seconds since 1970 after which the item counts as absent
	AttrV         = "v"          // number: version for conditional updates
	AttrVersion   = "version"    // number: version that a topic log entry describes
	AttrWant      = "want"       // string: agent that is to lead next, empty: none
	AttrZone      = "zone"       // string: availability zone
)
