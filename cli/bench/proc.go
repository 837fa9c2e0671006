package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// What the kernel tells of processes and of the machine, from /proc (Linux). Elsewhere there is no such file, and nothing is
// known. Times are in seconds.

// tick is the unit of times in /proc: USER_HZ is 100 on every Linux that Go runs on.
const tick = 0.01

// cpuOf returns what a process has used so far.
func cpuOf(pid int) (user, sys float64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if pid == 0 || err != nil {
		return 0, 0, false
	}
	return parseStat(string(text))
}

// parseStat reads utime and stime, fields 14 and 15 of proc(5); the second one, the program's name, may hold anything.
func parseStat(text string) (user, sys float64, ok bool) {
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(f) < 13 {
		return 0, 0, false
	}
	u, err1 := strconv.ParseFloat(f[11], 64)
	s, err2 := strconv.ParseFloat(f[12], 64)
	return u * tick, s * tick, err1 == nil && err2 == nil
}

// rssOf returns the bytes of memory that a process has now.
func rssOf(pid int) (bytes float64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(text))
	if pid == 0 || err != nil || len(f) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseFloat(f[1], 64)
	return pages * float64(os.Getpagesize()), err == nil
}

// cpuModel is what the first processor is called. Not every kind says so: those of arm64 do not.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // of no other system than Linux
	return parseModel(string(text))
}

// parseModel finds the first line "model name : ..." of proc(5)'s cpuinfo.
func parseModel(text string) string {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

// machineTimes is what all processors have done since the machine started.
type machineTimes struct {
	busy, steal float64
	ok          bool
}

// readMachine reads the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
func readMachine() machineTimes {
	text, err := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	f := strings.Fields(line)
	if err != nil || len(f) < 9 || f[0] != "cpu" {
		return machineTimes{}
	}
	var n [8]float64
	for i := range n {
		if n[i], err = strconv.ParseFloat(f[i+1], 64); err != nil {
			return machineTimes{}
		}
	}
	return machineTimes{busy: (n[0] + n[1] + n[2] + n[5] + n[6]) * tick, steal: n[7] * tick, ok: true}
}

// loadAverage is the mean number of runnable threads over the last minute.
func loadAverage() (load float64, ok bool) {
	text, err := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(text))
	if err != nil || len(f) == 0 {
		return 0, false
	}
	load, err = strconv.ParseFloat(f[0], 64)
	return load, err == nil
}
