//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// clientLog keeps what a kgo client says, to be shown of the moments that were slow. At most maxClientLines, the last ones.
type clientLog struct {
	mu     sync.Mutex
	lines  []clientLine
	gaveUp int // how often it left its group since it could not dial a coordinator
}

// refusals is how often the client left its group by itself, since whom it asked for the coordinator refused it twice: kgo asks any agent it
// knows of, and gives up if both times that is the dead one.
func (l *clientLog) refusals() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gaveUp
}

type clientLine struct {
	at   time.Time
	text string
}

const maxClientLines = 20_000

// Level is as much as tells why a request was asked again, or later.
func (l *clientLog) Level() kgo.LogLevel { return kgo.LogLevelDebug }

// Log keeps a line, unless it is one of those that come with every request, or with every partition.
func (l *clientLog) Log(_ kgo.LogLevel, msg string, keyvals ...any) {
	for _, dull := range []string{
		"wrote Produce", "read Produce", "wrote Fetch", "read Fetch", "returning partial", "wrote Heartbeat", "read Heartbeat",
		"rewinding produce", "retry batch is not the first", "metadata refresh has identical", "reaped connections",
	} {
		if strings.HasPrefix(msg, dull) {
			return
		}
	}
	text := msg
	for i := 1; i < len(keyvals); i += 2 {
		text += fmt.Sprintf(" %v=%v", keyvals[i-1], keyvals[i])
	}
	if msg == "produced" && !strings.Contains(text, "retrying@") {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.HasPrefix(msg, "group manage loop errored") && strings.Contains(text, "connection refused") {
		l.gaveUp++
	}
	if len(l.lines) == maxClientLines {
		l.lines = l.lines[maxClientLines/2:]
	}
	l.lines = append(l.lines, clientLine{time.Now(), text[:min(len(text), 1000)]})
}

// story prints what the client said in a while since begun.
func (l *clientLog) story(t *testing.T, begun time.Time, d time.Duration) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if after := line.at.Sub(begun); after > -5*time.Second && after < d {
			t.Logf("%8v client: %s", after.Round(time.Millisecond), line.text)
		}
	}
}
