// Pure.

package group

import (
	"iter"
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/google/uuid"
)

// TopicInfo is what a group needs to know of a topic.
type TopicInfo struct {
	Name       string
	ID         uuid.UUID
	Partitions int32
}

// Catalogue is all topics at one version. It never changes; all groups of an agent share one. What regular expressions match is
// kept in it, so that each is matched once per version, and With matches only what is new. Safe for concurrent use.
type Catalogue struct {
	version int64
	names   map[string]TopicInfo
	ids     map[uuid.UUID]TopicInfo
	bytes   int // of all names

	mu struct {
		sync.Mutex
		regex map[string]matches
		bytes int // that they take
	}
}

// matches is what a regular expression came to. topics are in order and never changed.
type matches struct {
	re     *regexp.Regexp
	size   int // steps of its program
	topics []uuid.UUID
}

// bytes is about how many they take: up to 41 were measured for a step.
func (m *matches) bytes() int { return 48*m.size + 16*len(m.topics) }

// How many expressions a catalogue remembers, and how many bytes of them.
const (
	keptRegexes    = 1000
	keptRegexBytes = 32 << 20
)

// NewCatalogue returns a catalogue of topics. A version stands for its content.
func NewCatalogue(version int64, topics []TopicInfo) *Catalogue {
	c := &Catalogue{version: version, names: make(map[string]TopicInfo, len(topics)), ids: make(map[uuid.UUID]TopicInfo, len(topics))}
	c.mu.regex = map[string]matches{}
	for _, t := range topics {
		c.put(t)
	}
	return c
}

func (c *Catalogue) put(t TopicInfo) {
	c.drop(t.Name)
	c.names[t.Name], c.ids[t.ID] = t, t
	c.bytes += len(t.Name)
}

func (c *Catalogue) drop(name string) {
	if t, ok := c.names[name]; ok {
		delete(c.names, name)
		delete(c.ids, t.ID)
		c.bytes -= len(name)
	}
}

// Version is the version that the catalogue was made with.
func (c *Catalogue) Version() int64 { return c.version }

// With returns the next version: topics that came, grew or were created again, and names that are gone.
func (c *Catalogue) With(version int64, put []TopicInfo, gone []string) *Catalogue {
	next := &Catalogue{version: version, names: maps.Clone(c.names), ids: maps.Clone(c.ids), bytes: c.bytes}
	for _, name := range gone {
		next.drop(name)
	}
	for _, t := range put {
		next.put(t)
	}
	c.mu.Lock()
	known := maps.Clone(c.mu.regex)
	c.mu.Unlock()
	for expr, m := range known {
		topics := slices.DeleteFunc(slices.Clone(m.topics), func(id uuid.UUID) bool { _, ok := next.ids[id]; return !ok })
		for _, t := range put {
			if m.re.MatchString(t.Name) {
				topics = append(topics, t.ID)
			}
		}
		slices.SortFunc(topics, compareID)
		m.topics = slices.Compact(topics)
		known[expr] = m
		next.mu.bytes += m.bytes()
	}
	if next.mu.bytes > keptRegexBytes {
		clear(known)
		next.mu.bytes = 0
	}
	next.mu.regex = known
	return next
}

// match returns the topics whose whole name matches. check refuses what would be too much work; one that was taken before is matched
// whatever the topics have grown to. Error: ErrRegex.
func (c *Catalogue) match(expr string, check bool) ([]uuid.UUID, error) {
	c.mu.Lock()
	m, ok := c.mu.regex[expr]
	c.mu.Unlock()
	if ok {
		return m.topics, nil
	}
	work := 0
	if check {
		work = c.bytes
	}
	var err error
	if m.re, m.size, err = compileRegex(expr, work); err != nil {
		return nil, err
	}
	for name, t := range c.names {
		if m.re.MatchString(name) {
			m.topics = append(m.topics, t.ID)
		}
	}
	slices.SortFunc(m.topics, compareID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.regex) >= keptRegexes || c.mu.bytes+m.bytes() > keptRegexBytes {
		clear(c.mu.regex) // many may be used by nobody any more
		c.mu.bytes = 0
	}
	if _, twice := c.mu.regex[expr]; !twice {
		c.mu.regex[expr] = m
		c.mu.bytes += m.bytes()
	}
	return m.topics, nil
}

// compareID orders topics by id.
func compareID(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }

// sortedIDs collects ids in order.
func sortedIDs(ids iter.Seq[uuid.UUID]) []uuid.UUID { return slices.SortedFunc(ids, compareID) }
