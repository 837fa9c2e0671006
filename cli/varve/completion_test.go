package main

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// firsts are the words that completion offers.
func (s *shell) firsts(words ...string) (found []string) {
	s.t.Helper()
	for line := range strings.Lines(s.ok("", append([]string{"completion", "words", "--"}, words...)...)) {
		word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		found = append(found, word)
	}
	return found
}

// completionCases are what every shell must offer on a server with the topics t and t2.
var completionCases = []struct{ line, want string }{
	{"to", "topic"},
	{"topic d", "delete describe"},
	{"topic describe ", "t t2"},
	{"topic describe t2", "t2"},
	{"topic delete t ", "t2"},
	{"topic describe t ", ""},
	{"topic create ", ""},
	{"topic describe --ou", "--output"},
	{"topic describe --output ", "json jsonl table yaml"},
	{"topic describe --output j", "json jsonl"},
	{"topic describe -o y", "yaml"},
	{"consume --output=js", "--output=json --output=jsonl"},
	{"consume t --isolation read_c", "read_committed"},
	{"produce t --compress z", "zstd"},
	{"segment cat --topic ", "t t2"},
	{"pprof h", "heap"},
	{"profile set boot", "bootstrap"},
	{"nonsense ", ""},
	{"topic describe -- ", "t t2"},
}

func TestCompletionWords(t *testing.T) {
	s := newShell(t)
	s.ok("", "topic", "create", "t2")
	for _, c := range completionCases {
		got := s.firsts(strings.Split(c.line, " ")...)
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
	s.ok("", "topic", "create", "__internal")
	if got := s.firsts("consume", ""); slices.Contains(got, "__internal") {
		t.Errorf("%q: internal topics are in the way", got)
	}
	if got := s.firsts("consume", "_"); !slices.Equal(got, []string{"__internal"}) {
		t.Errorf("%q: an internal topic cannot be asked for", got)
	}
	bootstrap := s.env["VARVE_BOOTSTRAP"]
	s.env = nil
	if got := s.firsts("consume", "--bootstrap", bootstrap, "t"); len(got) != 2 {
		t.Errorf("%q: --bootstrap is not asked", got)
	}
	if got := s.firsts("produce", "--file", ""); !slices.Equal(got, []string{fileNames}) {
		t.Errorf("%q: no files", got)
	}
	if got := s.firsts("produce", "--he"); !slices.Equal(got, []string{"--header", "--help"}) {
		t.Errorf("%q", got)
	}
	if got := s.firsts("produce", "-H", "a=1", "--key=x", "--"); !slices.Contains(got, "--header") || slices.Contains(got, "--key") {
		t.Errorf("%q: want flags that may still be given", got)
	}
}

// TestCompletionIsSilent: nobody there, somebody who never answers, a broken profile, an address that is none.
func TestCompletionIsSilent(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	home := t.TempDir()
	broken := filepath.Join(home, "varve", "current")
	if err := os.MkdirAll(filepath.Dir(broken), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, []byte("not there"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, env := range []map[string]string{
		{"VARVE_BOOTSTRAP": "127.0.0.1:1"}, {"VARVE_BOOTSTRAP": mute.Addr().String()}, {"VARVE_BOOTSTRAP": "none"},
		{"XDG_CONFIG_HOME": home, "VARVE_BOOTSTRAP": "127.0.0.1:1"},
	} {
		s := &shell{t: t, env: env}
		// As a process: what a library does beyond the limit would hold up a shell too. timeout ends with 124.
		cmd := exec.Command("timeout", "7", "varve", "completion", "words", "--", "consume", "")
		cmd.Env = s.shellEnv()
		cmd.Path, _ = exec.LookPath("timeout")
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %v, %q", env, err, out)
		}
	}
}

// shellEnv is the environment of a real shell that finds this program as "varve" and the server of s.
func (s *shell) shellEnv() []string {
	s.t.Helper()
	dir := s.t.TempDir()
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, filepath.Join(dir, "varve"))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	env := []string{asMain + "=1", "PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "TERM=dumb", "LC_ALL=C.UTF-8"}
	for k, v := range s.env {
		env = append(env, k+"="+v)
	}
	return env
}

// installed tells whether a shell is there; a test of one that is not says so.
func installed(t *testing.T, name string) bool {
	if _, err := exec.LookPath(name); err != nil {
		t.Logf("LEFT OUT: %s is not installed (Debian: apt-get install %s)", name, name)
		return false
	}
	return true
}

// TestCompletionInBash fills in what bash gives a completion function, and looks at what comes back.
func TestCompletionInBash(t *testing.T) {
	s := newShell(t)
	s.ok("", "topic", "create", "t2")
	script := "source <(varve completion bash)\n" + `
ask() { # LINE: cut into words as bash does, at blanks, "=" and ":"
  local line=$1 word
  COMP_WORDS=(varve)
  for word in $line; do
    while [[ $word == *[=:]* ]]; do
      [[ ${word%%[=:]*} ]] && COMP_WORDS+=("${word%%[=:]*}")
      word=${word#"${word%%[=:]*}"}
      COMP_WORDS+=("${word:0:1}")
      word=${word:1}
    done
    [[ $word ]] && COMP_WORDS+=("$word")
  done
  [[ $line == *' ' ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  COMPREPLY=()
  _varve
  printf '%s\n' "${COMPREPLY[@]}" | sort | paste -sd ' '
}
while IFS= read -r line; do ask "$line"; done
`
	var lines, want []string
	for _, c := range completionCases {
		lines = append(lines, c.line)
		_, after, _ := strings.Cut(c.want, "=") // bash completes what follows a "="
		if after != "" {
			c.want = "json jsonl"
		}
		want = append(want, c.want)
	}
	lines, want = append(lines, "topic list --bootstrap 127.0.0.1:1 --output=", "profile set boot"), append(want, "json jsonl table yaml", "bootstrap")
	cmd := exec.Command("bash", "--norc", "-c", script)
	cmd.Env, cmd.Stdin = s.shellEnv(), strings.NewReader(strings.Join(lines, "\n")+"\n")
	out, err := cmd.CombinedOutput()
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v\n%s\nwant\n%s", err, out, strings.Join(want, "\n"))
	}
}

func TestCompletionInFish(t *testing.T) {
	if !installed(t, "fish") {
		return
	}
	s := newShell(t)
	s.ok("", "topic", "create", "t2")
	env := s.shellEnv()
	for _, c := range completionCases {
		cmd := exec.Command("fish", "-c", "varve completion fish | source; complete -C $argv[1]", "varve "+c.line)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		var got []string
		for line := range strings.Lines(string(out)) {
			word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got = append(got, word)
		}
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%q: %v, %q, want %q", c.line, err, got, c.want)
		}
	}
}

// typist types into a shell on a terminal.
type typist struct {
	t    *testing.T
	tty  *os.File
	text *lockedBuffer
}

// onTerminal starts a program on a terminal of its own.
func onTerminal(t *testing.T, env []string, name string, args ...string) *typist {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 200})
	if err != nil {
		t.Fatal(err)
	}
	k := &typist{t: t, tty: tty, text: &lockedBuffer{new: make(chan struct{}, 1)}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(k.text, tty) // ends with an error when the program does
	}()
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		_ = tty.Close()
		<-done
	})
	return k
}

// typing types and waits until the terminal shows what is wanted, from there on.
func (k *typist) typing(keys, want string) {
	k.t.Helper()
	before := len(k.text.String())
	if _, err := k.tty.WriteString(keys); err != nil {
		k.t.Fatal(err)
	}
	k.sees(before, want)
}

func (k *typist) sees(from int, want string) {
	k.t.Helper()
	limit := time.After(30 * time.Second)
	for !strings.Contains(k.text.String()[from:], want) {
		select {
		case <-k.text.new:
		case <-limit:
			k.t.Fatalf("the terminal does not show %q:\n%q", want, k.text.String())
		}
	}
}

// TestCompletionOnATerminal presses Tab in real shells.
func TestCompletionOnATerminal(t *testing.T) {
	s := newShell(t)
	s.ok("", "topic", "create", "unlike-others")
	for _, c := range []struct {
		name, setup string
		args        []string
	}{
		{"bash", "source <(varve completion bash); echo re''ady\r", []string{"--norc", "--noprofile", "-i"}},
		{"zsh", "autoload -U compinit; compinit -u; source <(varve completion zsh); echo re''ady\r", []string{"-f", "-i"}},
		{"fish", "varve completion fish | source; echo re''ady\r", []string{"--private", "-i"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !installed(t, c.name) {
				return
			}
			s.t = t
			k := onTerminal(t, s.shellEnv(), c.name, c.args...)
			k.typing(c.setup, "ready")
			k.typing("echo varve topic de''lete unlike-othe''rs\r", "delete unlike-others") // a new line, all shown before
			before := len(k.text.String())
			k.typing("varve topic descr\tunl\t --output=ya\t", "ml")
			k.sees(before, "others")
			if c.name == "fish" {
				return // its echo of a line is mixed with escapes
			}
			k.typing("\r", "topic: ") // and it is the line that was meant
		})
	}
}
