package topic

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore"
	"github.com/varvelog/varve/metastore/records"
)

// Options of a Catalog.
type Options struct {
	Cluster  records.Cluster
	Slots    int           // of the cluster
	Poll     time.Duration // how often changes by other agents are looked for; above 0
	Settings *Settings
	// OnDelete is called with each topic that is gone from the catalogue, without a lock held. It must not block. May be nil.
	OnDelete func(id uuid.UUID)
}

// Spec describes a topic to create.
type Spec struct {
	Name         string
	Partitions   int32              // -1: num.partitions
	Configs      map[string]*string // nil value: the default
	ValidateOnly bool               // check all, write nothing
}

// Op says what a Change does to a config.
type Op int8

// The operations on a config, numbered as in Kafka's IncrementalAlterConfigs.
const (
	OpSet      Op = 0 // a nil value deletes
	OpDelete   Op = 1 // back to the default
	OpAppend   Op = 2 // of list types: adds elements that are not there yet
	OpSubtract Op = 3 // of list types: removes elements
	OpClear    Op = 4 // deletes every override; Name and Value are ignored
)

// Change is one change of a topic config.
type Change struct {
	Name  string
	Op    Op
	Value *string
}

// Catalog is the topics of a cluster as this agent knows them. All methods may be called from many goroutines, after Load.
type Catalog struct {
	store metastore.Store
	log   *slog.Logger
	o     Options
}

// New returns an empty catalogue. Call Load before anything else, and Run beside.
func New(store metastore.Store, log *slog.Logger, o Options) *Catalog {
	return &Catalog{store: store, log: log, o: o}
}

// Load reads all topics. Errors: ErrUnavailable.
func (c *Catalog) Load(ctx context.Context) error { return ErrUnavailable }

// Run follows changes of other agents until ctx ends.
func (c *Catalog) Run(ctx context.Context) {}

// CatchUp makes the catalogue at least as new as the moment of the call, by consistent reads. Errors: ErrUnavailable.
func (c *Catalog) CatchUp(ctx context.Context) error { return ErrUnavailable }

// Lookup returns a topic from memory, nil if it is not known here. It never blocks.
func (c *Catalog) Lookup(name string) *Topic { return nil }

// LookupID is Lookup by id.
func (c *Catalog) LookupID(id uuid.UUID) *Topic { return nil }

// List returns the topics known here, sorted by name. The slice must not be changed.
func (c *Catalog) List() []*Topic { return nil }

// Settings returns the broker configs.
func (c *Catalog) Settings() *Settings { return c.o.Settings }

// Find is Lookup, and if that knows nothing one consistent read. Errors: ErrUnknown, ErrName, ErrUnavailable.
func (c *Catalog) Find(ctx context.Context, name string) (*Topic, error) { return nil, ErrUnavailable }

// Create makes a topic. Errors: ErrName, ErrPartitions, ErrConfig, ErrExists, ErrUnavailable.
func (c *Catalog) Create(ctx context.Context, spec Spec) (*Topic, error) { return nil, ErrUnavailable }

// Delete removes a topic. Errors: ErrUnknown, ErrUnavailable.
func (c *Catalog) Delete(ctx context.Context, name string) error { return ErrUnavailable }

// AddPartitions makes a topic have total partitions. Errors: ErrUnknown, ErrPartitions, ErrUnavailable.
func (c *Catalog) AddPartitions(ctx context.Context, name string, total int32, validateOnly bool) (*Topic, error) {
	return nil, ErrUnavailable
}

// Alter changes configs of a topic, all of changes or none. Errors: ErrUnknown, ErrConfig, ErrUnavailable.
func (c *Catalog) Alter(ctx context.Context, name string, changes []Change, validateOnly bool) (*Topic, error) {
	return nil, ErrUnavailable
}
