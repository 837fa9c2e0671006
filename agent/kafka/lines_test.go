package kafka

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLinesAreHeldBack: a thousand requests that are refused at once are one line, and the next one counts them.
func TestLinesAreHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := &Server{log: slog.New(slog.NewTextHandler(&out, nil))}
		for range 1000 {
			s.note(slog.LevelInfo, "refused", "key", 7)
		}
		if n := strings.Count(out.String(), "\n"); n != 1 || strings.Contains(out.String(), "held_back") {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
		out.Reset()
		time.Sleep(lineEvery)
		s.note(slog.LevelInfo, "refused", "key", 7)
		if !strings.HasSuffix(out.String(), "msg=refused key=7 held_back=999\n") {
			t.Errorf("%s", out.String())
		}
	})
}

// TestLinesWhenTheClockIsSetBack: an hour back is no hour without lines.
func TestLinesWhenTheClockIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lines
		l.next.Store(time.Now().Add(time.Hour).UnixNano())
		for _, want := range []bool{true, false} {
			if _, ok := l.may(); ok != want {
				t.Errorf("%v, want %v", ok, want)
			}
		}
	})
}
