//go:build !linux

package main

import (
	"errors"
	"os"
	"os/exec"
)

// startWithParent starts cmd.
func startWithParent(cmd *exec.Cmd, started chan<- error) bool {
	err := cmd.Start()
	started <- err
	return err == nil
}

var errPause = errors.New("a process can be paused on Linux only")

// pauseProcess makes a process stand still.
func pauseProcess(*os.Process) error { return errPause }

// resumeProcess lets it go on.
func resumeProcess(*os.Process) error { return errPause }
