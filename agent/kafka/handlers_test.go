package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var handlerHead = regexp.MustCompile(`(?m)^// \w+ \(key (\d+)\): v(\d+)(?:-(\d+))?`)

// TestHandlersSayWhatTheySupport: the file of each key begins with the versions that the table has, and says how the answers
// differ from Kafka's.
func TestHandlersSayWhatTheySupport(t *testing.T) {
	all := dispatch()
	for i := range all {
		a := &all[i]
		files, err := filepath.Glob(fmt.Sprintf("%02d_*.go", a.key))
		must(t, err)
		var text string
		for _, f := range files {
			if !strings.HasSuffix(f, "_test.go") {
				b, err := os.ReadFile(f)
				must(t, err)
				text += string(b)
			}
		}
		m := handlerHead.FindStringSubmatch(text)
		if m == nil {
			t.Errorf("%s: no file %02d_*.go says `// %s (key %d): v%d-%d`", a.name, a.key, a.name, a.key, a.floor, a.max)
			continue
		}
		if m[3] == "" {
			m[3] = m[2]
		}
		if want := []string{fmt.Sprint(a.key), fmt.Sprint(a.floor), fmt.Sprint(a.max)}; strings.Join(m[1:], " ") != strings.Join(want, " ") {
			t.Errorf("%s: the file says key %s, v%s-%s; the table %v", a.name, m[1], m[2], m[3], want)
		}
		if !strings.Contains(text, "Differs from Kafka: ") {
			t.Errorf("%s: the file does not say how it differs from Kafka", a.name)
		}
	}
}

// skipped returns the keys in the first column of a part of SKIPPED.md, such as "29-31" or "45, 46".
func skipped(t *testing.T, part string) map[int16]bool {
	t.Helper()
	b, err := os.ReadFile("SKIPPED.md")
	must(t, err)
	_, text, ok := strings.Cut(string(b), "\n## "+part+"\n")
	if !ok {
		t.Fatalf("SKIPPED.md has no part %q", part)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	keys := map[int16]bool{}
	for line := range strings.Lines(text) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || !strings.ContainsAny(cells[1], "0123456789") {
			continue
		}
		for one := range strings.SplitSeq(strings.TrimSpace(cells[1]), ", ") {
			first, last, to := strings.Cut(one, "-")
			from, err := strconv.Atoi(first)
			must(t, err)
			until := from
			if to {
				until, err = strconv.Atoi(last)
				must(t, err)
			}
			for k := from; k <= until; k++ {
				keys[int16(k)] = true
			}
		}
	}
	return keys
}

// TestSkippedIsWhatIsAbsent: each key of the protocol is either in the table or among those that are not answered.
func TestSkippedIsWhatIsAbsent(t *testing.T) {
	s := New(Config{}, Deps{})
	absent := skipped(t, "Keys that are not answered")
	for key := range int16(kmsg.MaxKey + 1) {
		if there := s.lookup(key) != nil; there == absent[key] {
			t.Errorf("key %d (%s): in the table %v, among those that are not answered %v", key, kmsg.NameForKey(key), there, absent[key])
		}
	}
	for key := range skipped(t, "Keys that are answered, in part") {
		if s.lookup(key) == nil {
			t.Errorf("key %d is said to be answered in part, and is not in the table", key)
		}
	}
}
