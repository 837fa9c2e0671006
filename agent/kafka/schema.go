// Pure.

package kafka

// kmsg allocates an array as soon as as many bytes as elements remain: up to 80 times the input (measured), and its loop
// over tagged fields runs to 2^32 on an empty reader. So every request that kmsg decodes is walked first, by the layouts
// of layouts.go: each count is held against the bytes that remain and the smallest element, all counts together against a
// bound, tagged fields too.

type kind uint8

const (
	fixed   kind = iota // size bytes
	str                 // string, or null
	blob                // bytes, or null: where lengths are no varints theirs have four bytes
	array               // of a structure, or of one plain field
	vector              // array whose elements end without tagged fields
	perhaps             // structure, or null: -1 in a byte before it
)

// field is one field of a request.
type field struct {
	kind     kind
	size     int // of fixed, in bytes
	from, to int16
	of       []field
}

const anyVersion = 1<<15 - 1

func num(size int) field            { return field{kind: fixed, size: size, to: anyVersion} }
func text() field                   { return field{kind: str, to: anyVersion} }
func data() field                   { return field{kind: blob, to: anyVersion} }
func arrayOf(of ...field) field     { return field{kind: array, of: of, to: anyVersion} }
func vectorOf(of field) field       { return field{kind: vector, of: []field{of}, to: anyVersion} }
func maybe(of ...field) field       { return field{kind: perhaps, of: of, to: anyVersion} }
func (f field) since(v int16) field { f.from = v; return f }
func (f field) until(v int16) field { f.to = v; return f }

func (f *field) in(version int16) bool { return version >= f.from && version <= f.to }

// smallest returns the fewest bytes that an element of f, an array, can have.
func (f *field) smallest(version int16, flex bool) int {
	n := 0
	for i := range f.of {
		if !f.of[i].in(version) {
			continue
		}
		switch {
		case f.of[i].kind == fixed:
			n += f.of[i].size
		case flex || f.of[i].kind == perhaps:
			n++
		case f.of[i].kind == str:
			n += 2
		default:
			n += 4
		}
	}
	if flex && f.kind == array {
		n++
	}
	return n
}

// walker checks a body against a layout.
type walker struct {
	cursor
	version  int16
	elements int // that may still come
}

// checkBody reports whether a body is shaped as fields say and has at most elements array elements. Bytes after the last
// field are ignored, as Kafka does.
func checkBody(c cursor, fields []field, version int16, elements int) bool {
	w := walker{cursor: c, version: version, elements: elements}
	w.structure(fields)
	return !w.bad
}

func (w *walker) structure(fields []field) {
	w.fields(fields)
	w.skipTags()
}

func (w *walker) fields(fields []field) {
	for i := range fields {
		f := &fields[i]
		if w.bad || !f.in(w.version) {
			continue
		}
		switch f.kind {
		case fixed:
			w.span(f.size)
		case str:
			w.str()
		case blob:
			w.bytes()
		case perhaps:
			w.perhaps(f)
		default:
			w.array(f)
		}
	}
}

func (w *walker) perhaps(f *field) {
	if b := w.span(1); len(b) == 1 && b[0] != 0xff {
		w.structure(f.of)
	}
}

func (w *walker) array(f *field) {
	n := w.count(f.smallest(w.version, w.flex))
	if w.elements -= n; w.elements < 0 {
		w.fail()
	}
	for ; n > 0 && !w.bad; n-- {
		if f.kind == array {
			w.structure(f.of)
		} else {
			w.fields(f.of)
		}
	}
}
