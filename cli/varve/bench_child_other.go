//go:build !linux

package main

import "os/exec"

// startWithParent starts cmd.
func startWithParent(cmd *exec.Cmd, started chan<- error) bool {
	err := cmd.Start()
	started <- err
	return err == nil
}
