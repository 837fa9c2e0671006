// Pure.

package bundle

// Section numbers. A number is never used again with another layout; a reader skips those it does not know.
const (
	secTopics     = 1
	secSlots      = 2
	secRuns       = 3
	secBatches    = 4
	secSparse     = 5
	secRefs       = 6
	secTxn        = 7 // reserved: aborted and open transactions
	secOps        = 8
	secObjects    = 9
	secPartitions = 10
	secEpochs     = 11
	secProducers  = 12
	secLast       = 12
)

// Bytes of a section's header and of one row. Of rows with a variable part: the fixed part.
const (
	secHead      = 6
	topicRow     = 22
	slotRow      = 14
	runRow       = 64
	batchRow     = 44
	sparseRow    = 20
	refRow       = 4
	opRow        = 26
	objectRow    = 40
	partitionRow = 36
	epochRow     = 12
	producerRow  = 20
	appendedRow  = 32
)

// Limits of what a footer may say.
const (
	maxName     = 249  // bytes of a topic name, as in Kafka
	maxKey      = 1024 // bytes of an object key, as in S3
	maxAppended = 5    // batches remembered per producer, as in Kafka
	minBatch    = 61   // bytes of the smallest record batch: its header
)

// SparseStep is how many bytes of a segment's run a writer passes, at least, before it adds a Sparse entry. Readers take any.
const SparseStep = 64 << 10

// Here, in a Ref, says that the run lies in the object that has the footer.
const Here = ^uint32(0)
