package topic

import "errors"

// The errors of this package, each with the caller's next move. Their messages are fit for clients.
var (
	// ErrUnknown: there is no such topic, as a consistent read said, at most a second ago.
	ErrUnknown = errors.New("unknown topic")
	// ErrExists: there is a topic of that name.
	ErrExists = errors.New("topic exists")
	// ErrName: the name is not one Kafka allows.
	ErrName = errors.New("invalid topic name")
	// ErrPartitions: the number of partitions is not possible.
	ErrPartitions = errors.New("invalid number of partitions")
	// ErrConfig: a config is unknown, has a bad value, or asks for what Varve does not do.
	ErrConfig = errors.New("invalid config")
	// ErrReadOnly: the config is known and cannot be changed while agents run; it is given at their start.
	ErrReadOnly = errors.New("read-only config")
	// ErrUnavailable: the metastore did not say, in time or often enough, what became of the request. It may have been done
	// or may yet be; the client asks again.
	ErrUnavailable = errors.New("metastore is unavailable")
)
