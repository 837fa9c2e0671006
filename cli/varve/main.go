// Command varve is agent, development server, client and repair tool of Varve in one program.
//
// One file per subcommand holds its flags, its help with two examples, and what it does. A thin layer stands between them
// and urfave/cli: command.go and option.go are what a command sees, argv.go orders the arguments, layer.go runs. Stores are
// chosen in stores.go, and nowhere else in the repository.
//
// Output: stdout carries data and nothing else; the rest goes to stderr. Exit codes: 0 ok, 1 failure, 2 wrong usage,
// 3 warnings.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// world is what a command sees of the process it runs in.
type world struct {
	in       io.Reader
	out      io.Writer // data
	err      io.Writer // everything else
	env      func(string) (string, bool)
	terminal struct{ in, out, err bool } // which of the three are one
}

func main() {
	w := &world{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv}
	w.terminal.in, w.terminal.out, w.terminal.err = isTerminal(os.Stdin), isTerminal(os.Stdout), isTerminal(os.Stderr)
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals // once more: somebody is in a hurry
		os.Exit(exitFailed)
	}()
	os.Exit(run(ctx, w, commands(), os.Args[1:]))
}

// isTerminal reports whether f is a character device that is not the null device.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// commands is the whole tree. Each call makes a new one: a command keeps the values of its flags.
func commands() *command {
	return &command{
		name:  "varve",
		short: "a log with Kafka's wire protocol on object storage",
		sub: []*command{
			devCommand(), agentCommand(),
			topicCommand(), produceCommand(), consumeCommand(), groupCommand(),
			clusterCommand(), segmentCommand(), metaCommand(), benchCommand(), pprofCommand(),
			profileCommand(), completionCommand(), versionCommand(),
		},
	}
}
