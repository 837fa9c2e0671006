package main

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// startWithParent starts cmd so that it is killed when this process is, however that ends. The caller's goroutine keeps its
// thread until it returns: the kernel takes the end of the thread for that of the parent (prctl(2), PR_SET_PDEATHSIG).
func startWithParent(cmd *exec.Cmd, started chan<- error) bool {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, after the child
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	err := cmd.Start()
	started <- err
	return err == nil
}

// pauseProcess makes a process stand still.
func pauseProcess(p *os.Process) error { return p.Signal(syscall.SIGSTOP) }

// resumeProcess lets it go on.
func resumeProcess(p *os.Process) error { return p.Signal(syscall.SIGCONT) }
