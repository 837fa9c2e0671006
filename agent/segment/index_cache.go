package segment

import (
	"container/list"
	"slices"
	"sort"

	"github.com/google/uuid"

	"github.com/varvelog/varve/metastore/records"
	"github.com/varvelog/varve/objstore/bundle"
)

// page is neighbouring extents of a partition, as the table had them: contiguous, at least one. It is never changed.
type page struct {
	at      Name
	extents []records.Extent
	elem    *list.Element
}

func (p *page) base() int64 { return p.extents[0].Base }
func (p *page) next() int64 { return p.extents[len(p.extents)-1].Next }

// find returns the index of the extent that holds offset, or of the first one above it.
func find(extents []records.Extent, offset int64) int {
	return sort.Search(len(extents), func(i int) bool { return extents[i].Next > offset })
}

// outline is where the pieces of a segment lie, from its footer. It is never changed.
type outline struct {
	segment uuid.UUID
	pieces  []bundle.Location // contiguous, from the extent's base to its next
	elem    *list.Element
}

// What an entry costs in memory, roughly: structs, list element, map.
const (
	extentBytes  = 96
	pieceBytes   = 96
	entryBytes   = 256
	keptEntries  = 8 // are kept however small the limit is: a read needs two at a time
	pageExtents  = 128
	leastLimit   = 1 << 20
	defaultLimit = 16 << 20
)

func (p *page) cost() int64    { return entryBytes + int64(len(p.extents))*extentBytes }
func (o *outline) cost() int64 { return entryBytes + int64(len(o.pieces))*pieceBytes }

// volume is how many bytes the extents have that hold the offsets from start to tiered of a partition. It is never changed.
type volume struct {
	at            Name
	start, tiered int64
	bytes         int64
	elem          *list.Element
}

// shelf keeps pages, outlines and volumes of all partitions, the last used ones, up to a number of bytes. It has no lock.
type shelf struct {
	limit    int64
	bytes    int64
	pages    map[Name][]*page // by base; no two overlap
	outlines map[uuid.UUID]*outline
	volumes  map[Name]*volume
	recent   *list.List // of *page, *outline and *volume, the last used in front
}

func newShelf(limit int64) shelf {
	return shelf{limit: limit, pages: map[Name][]*page{}, outlines: map[uuid.UUID]*outline{}, volumes: map[Name]*volume{}, recent: list.New()}
}

// page returns the page that holds offset, nil if none is here.
func (s *shelf) page(at Name, offset int64) *page {
	pages := s.pages[at]
	i := sort.Search(len(pages), func(i int) bool { return pages[i].next() > offset })
	if i == len(pages) || pages[i].base() > offset {
		return nil
	}
	s.recent.MoveToFront(pages[i].elem)
	return pages[i]
}

func (s *shelf) outline(segment uuid.UUID) *outline {
	o := s.outlines[segment]
	if o != nil {
		s.recent.MoveToFront(o.elem)
	}
	return o
}

// putPage adds a page in the place of all that it overlaps: it is newer.
func (s *shelf) putPage(p *page) {
	for _, old := range slices.Clone(s.pages[p.at]) {
		if old.base() < p.next() && p.base() < old.next() {
			s.dropPage(old)
		}
	}
	pages := s.pages[p.at]
	i := sort.Search(len(pages), func(i int) bool { return pages[i].base() > p.base() })
	s.pages[p.at] = slices.Insert(pages, i, p)
	p.elem = s.recent.PushFront(p)
	s.bytes += p.cost()
	s.shrink()
}

func (s *shelf) putOutline(o *outline) {
	if s.outlines[o.segment] != nil {
		return
	}
	s.outlines[o.segment] = o
	o.elem = s.recent.PushFront(o)
	s.bytes += o.cost()
	s.shrink()
}

func (s *shelf) shrink() {
	for s.bytes > s.limit && s.recent.Len() > keptEntries {
		switch e := s.recent.Back().Value.(type) {
		case *page:
			s.dropPage(e)
		case *outline:
			s.dropOutline(e)
		case *volume:
			s.dropVolume(e)
		}
	}
}

// putVolume adds a volume in the place of an older one of the same partition.
func (s *shelf) putVolume(v *volume) {
	if old := s.volumes[v.at]; old != nil {
		s.dropVolume(old)
	}
	s.volumes[v.at] = v
	v.elem = s.recent.PushFront(v)
	s.bytes += entryBytes
	s.shrink()
}

func (s *shelf) dropVolume(v *volume) {
	delete(s.volumes, v.at)
	s.recent.Remove(v.elem)
	s.bytes -= entryBytes
}

func (s *shelf) dropPage(p *page) {
	pages := slices.DeleteFunc(s.pages[p.at], func(q *page) bool { return q == p })
	if s.pages[p.at] = pages; len(pages) == 0 {
		delete(s.pages, p.at)
	}
	s.recent.Remove(p.elem)
	s.bytes -= p.cost()
}

func (s *shelf) dropOutline(o *outline) {
	delete(s.outlines, o.segment)
	s.recent.Remove(o.elem)
	s.bytes -= o.cost()
}

// forget drops the pages of a partition that begin below offset.
func (s *shelf) forget(at Name, below int64) {
	for _, p := range slices.Clone(s.pages[at]) {
		if p.base() < below {
			s.dropPage(p)
		}
	}
}
