// Pure.

package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// One record as a line of JSON, which "varve produce --input jsonl" takes back byte for byte:
//
//	{"topic":"t","partition":0,"offset":7,"timestamp":1793534400000,"key":"k","value":null,"headers":[{"key":"h","value":""}]}
//
// Keys, values and both sides of a header are a string, null, or, where the bytes are not UTF-8,
// {"encoding":"base64","data":"/w=="}. Timestamps are milliseconds since 1970.

// field is bytes in JSON; nil is null.
type field []byte

type encodedField struct {
	Encoding string  `json:"encoding"`
	Data     *string `json:"data"`
}

// MarshalJSON writes a string if that loses nothing.
func (f field) MarshalJSON() ([]byte, error) {
	switch {
	case f == nil:
		return []byte("null"), nil
	case utf8.Valid(f):
		return marshal(string(f))
	}
	data := base64.StdEncoding.EncodeToString(f)
	return marshal(encodedField{"base64", &data})
}

// UnmarshalJSON reads the three forms.
func (f *field) UnmarshalJSON(b []byte) error {
	switch {
	case !utf8.Valid(b): // encoding/json would put other characters there
		return errors.New("bytes that are not UTF-8; write them as base64")
	case string(b) == "null":
		*f = nil
		return nil
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*f = field(s)
		return checkSurrogates(b)
	case b[0] != '{':
		return fmt.Errorf("%s is neither a string nor null nor an encoded field", b)
	}
	var e encodedField
	if err := decodeStrictly(string(b), &e); err != nil {
		return err
	}
	if e.Encoding != "base64" || e.Data == nil {
		return fmt.Errorf(`%s: want {"encoding":"base64","data":"..."}`, b)
	}
	data, err := base64.StdEncoding.DecodeString(*e.Data)
	*f = data // empty, not nil, if there is none
	return err
}

// checkSurrogates refuses half of a surrogate pair, which encoding/json would turn into another character silently.
func checkSurrogates(quoted []byte) error {
	for i := 0; i < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		if r := hex4(quoted[i+1:]); r >= 0xd800 && r < 0xdc00 && i+6 < len(quoted) && quoted[i+6] == '\\' {
			if low := hex4(quoted[i+7:]); low >= 0xdc00 && low < 0xe000 {
				i += 11
				continue
			}
			return errSurrogate
		} else if r >= 0xd800 && r < 0xe000 {
			return errSurrogate
		}
		i++ // what is escaped
	}
	return nil
}

var errSurrogate = errors.New(`a \u escape is half of a surrogate pair`)

// hex4 reads uXXXX at the start of b, -1 if there is none.
func hex4(b []byte) (r int) {
	if len(b) < 5 || b[0] != 'u' {
		return -1
	}
	if _, err := fmt.Sscanf(string(b[1:5]), "%04x", &r); err != nil {
		return -1
	}
	return r
}

// jsonRecord is a line. Fields that a producer may leave out are pointers.
type jsonRecord struct {
	Topic     string          `json:"topic,omitempty"`
	Partition *int32          `json:"partition,omitempty"`
	Offset    *int64          `json:"offset,omitempty"`
	Timestamp *int64          `json:"timestamp,omitempty"`
	Key       field           `json:"key"`
	Value     json.RawMessage `json:"value"` // raw: null is not the same as left out
	Headers   []jsonHeader    `json:"headers"`
}

type jsonHeader struct {
	Key   field `json:"key"`
	Value field `json:"value"`
}

// recordLine writes r as a line without its end.
func recordLine(r *kgo.Record) ([]byte, error) {
	ms := r.Timestamp.UnixMilli()
	value, err := field(r.Value).MarshalJSON()
	if err != nil {
		return nil, err
	}
	j := jsonRecord{Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset, Timestamp: &ms, Key: r.Key, Value: value, Headers: []jsonHeader{}}
	for _, h := range r.Headers {
		j.Headers = append(j.Headers, jsonHeader{field(h.Key), h.Value})
	}
	return marshal(j)
}

// parseRecordLine reads a line. Topic and offset in it are not used; without a partition, byKey is set.
func parseRecordLine(line string, byKey int32) (*kgo.Record, error) {
	var j jsonRecord
	if err := decodeStrictly(line, &j); err != nil {
		return nil, err
	}
	if j.Value == nil {
		return nil, errors.New(`no "value"; write "value":null for a tombstone`)
	}
	var value field
	if err := json.Unmarshal(j.Value, &value); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	r := &kgo.Record{Key: j.Key, Value: value, Partition: byKey}
	if j.Partition != nil {
		r.Partition = *j.Partition
	}
	if j.Timestamp != nil {
		r.Timestamp = time.UnixMilli(*j.Timestamp)
	}
	for _, h := range j.Headers {
		if h.Key == nil {
			return nil, errors.New("a header has no key")
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(h.Key), Value: h.Value})
	}
	return r, nil
}

// decodeStrictly reads exactly one JSON value into v and refuses fields that v does not have.
func decodeStrictly(s string, v any) error {
	d := json.NewDecoder(strings.NewReader(s))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON object")
	}
	return nil
}
