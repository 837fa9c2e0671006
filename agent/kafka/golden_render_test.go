package kafka

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// message is a request or an answer of kmsg, whose version is set.
type message interface{ AppendTo([]byte) []byte }

// node is a part of a message: a leaf with its text, or one with parts.
type node struct {
	name  string // of the field, or the index in a list
	text  string // of a leaf
	list  bool   // a list, not a structure
	parts []*node
}

// readable writes a message as JSON, without the fields that its version has not.
func readable(m message) string {
	var s strings.Builder
	tree(m).write(&s, "", 0)
	return s.String()
}

// tree takes a message apart. A field is of the message's version if the encoding changes with it.
func tree(m message) *node {
	before := m.AppendTo(nil)
	return parts(reflect.ValueOf(m).Elem(), func() bool { return !bytes.Equal(before, m.AppendTo(nil)) })
}

func parts(v reflect.Value, changed func() bool) *node {
	n := &node{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Name == "Version" || f.Name == "UnknownTags" {
			continue
		}
		if part := part(v.Field(i), changed); part != nil {
			part.name = f.Name
			n.parts = append(n.parts, part)
		}
	}
	return n
}

// part returns the field v, nil if the version has it not.
func part(v reflect.Value, changed func() bool) *node {
	switch {
	case v.Kind() == reflect.Struct:
		if n := parts(v, changed); len(n.parts) > 0 {
			return n
		}
		return nil
	case !matters(v, changed):
		return nil
	case v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.Struct:
		return parts(v.Elem(), changed)
	case v.Kind() == reflect.Slice && v.IsNil():
		v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // kmsg reads an empty list as nil where null is not allowed
		defer v.SetZero()
		if changed() {
			return &node{text: "null"}
		}
		return &node{list: true}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		n := &node{list: true}
		for i := range v.Len() {
			n.parts = append(n.parts, element(v.Index(i), changed))
			n.parts[i].name = strconv.Itoa(i)
		}
		return n
	}
	return &node{text: leaf(v)}
}

func element(v reflect.Value, changed func() bool) *node {
	if v.Kind() == reflect.Struct {
		return parts(v, changed)
	}
	return &node{text: leaf(v)}
}

// matters changes a field, asks whether that changed the encoding, and changes it back.
func matters(v reflect.Value, changed func() bool) bool {
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	defer v.Set(was)
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Array:
		v.Index(0).SetUint(v.Index(0).Uint() ^ 1)
	case reflect.Slice:
		if v.Len() > 0 {
			v.Set(v.Slice(0, v.Len()-1))
		} else {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
			if v.Elem().Kind() == reflect.String { // what is not nullable encodes null as ""
				v.Elem().SetString("x")
			}
		} else {
			v.Set(reflect.Zero(v.Type()))
		}
	default:
		v.SetInt(v.Int() ^ 1)
	}
	return changed()
}

func leaf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return strconv.Quote(v.String())
	case reflect.Array:
		return strconv.Quote(uuid.UUID(v.Interface().([16]byte)).String())
	case reflect.Slice, reflect.Pointer:
		if v.Kind() == reflect.Slice {
			return fmt.Sprintf(`"%d bytes"`, v.Len())
		}
		if v.IsNil() {
			return "null"
		}
		return leaf(v.Elem())
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	}
	return strconv.FormatInt(v.Int(), 10)
}

// renderWidth is how wide a line of a golden may be, where that is for the renderer to say.
const renderWidth = 140

// write writes n at a depth: on one line if it fits.
func (n *node) write(s *strings.Builder, indent string, used int) {
	if one := n.line(); len(indent)+used+len(one) <= renderWidth || len(n.parts) == 0 {
		s.WriteString(one)
		return
	}
	left, right := "{", "}"
	if n.list {
		left, right = "[", "]"
	}
	s.WriteString(left)
	for i, p := range n.parts {
		if i > 0 {
			s.WriteString(",")
		}
		s.WriteString("\n" + indent + "  ")
		label := ""
		if !n.list {
			label = strconv.Quote(p.name) + ": "
		}
		s.WriteString(label)
		p.write(s, indent+"  ", len(label))
	}
	s.WriteString("\n" + indent + right)
}

func (n *node) line() string {
	if n.text != "" {
		return n.text
	}
	left, right := "{", "}"
	if n.list {
		left, right = "[", "]"
	}
	all := make([]string, len(n.parts))
	for i, p := range n.parts {
		all[i] = p.line()
		if !n.list {
			all[i] = strconv.Quote(p.name) + ": " + all[i]
		}
	}
	return left + strings.Join(all, ", ") + right
}

// flatten writes every leaf under its path, as in Topics/0/Partitions/1/ErrorCode. An empty list is a leaf.
func (n *node) flatten(path string, into map[string]string) {
	if n.text != "" || len(n.parts) == 0 {
		into[path] = n.line()
		return
	}
	for _, p := range n.parts {
		to := p.name
		if path != "" {
			to = path + "/" + p.name
		}
		p.flatten(to, into)
	}
}
