package main

import (
	"fmt"
	"io"
	"time"
)

// progressEvery is the time between two progress lines. A command that is done before it shows none.
const progressEvery = time.Second

// showProgress tells on stderr how far a command is, until the returned function is called, which waits. On a terminal it
// is one line that is written over and taken away at the end; elsewhere nothing, unless lines are asked for by all. text
// is called from another goroutine.
func showProgress(w *world, all bool, text func() string) (stop func()) {
	if !w.terminal.err && !all {
		return func() {}
	}
	return tell(w.err, w.terminal.err, text)
}

func tell(out io.Writer, over bool, text func() string) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		shown := false
		for {
			select {
			case <-tick.C:
				if over {
					shown = true
					fmt.Fprintf(out, "\r\x1b[K%s", text())
				} else {
					fmt.Fprintln(out, text())
				}
			case <-end:
				if shown {
					fmt.Fprint(out, "\r\x1b[K")
				}
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}
