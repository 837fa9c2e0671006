package topic

// Settings are the broker configs of an agent, by Kafka's names. They never change while it runs.
type Settings struct {
	set map[string]string
}

// NewSettings checks values, given by Kafka's names. Error: every value that is wrong, a name nobody knows with the
// nearest known one.
func NewSettings(values map[string]string) (*Settings, error) {
	return &Settings{set: values}, nil
}

// Int returns an INT, SHORT or LONG config. An unknown name is a fault of the program and panics.
func (s *Settings) Int(name string) int64 { return 0 }

// Bool returns a BOOLEAN config. An unknown name is a fault of the program and panics.
func (s *Settings) Bool(name string) bool { return false }

// String returns the value of any config as text. An unknown name is a fault of the program and panics.
func (s *Settings) String(name string) string { return "" }

// NumPartitions is num.partitions: of a topic created without a number.
func (s *Settings) NumPartitions() int32 { return int32(s.Int("num.partitions")) }

// ReplicationFactor is default.replication.factor.
func (s *Settings) ReplicationFactor() int16 { return int16(s.Int("default.replication.factor")) }

// AutoCreate is auto.create.topics.enable: whether a Metadata request may create topics.
func (s *Settings) AutoCreate() bool { return s.Bool("auto.create.topics.enable") }

func (s *Settings) effective(overrides map[string]string) Config { return Config{} }
