package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// startTimeout bounds one start; a JVM on a busy machine takes seconds, LocalStack half a minute. A start is tried again on another port, for the
// port found free may be taken before the server binds it.
const (
	startTimeout = 120 * time.Second
	startTries   = 3
)

// server is one that runs. Its pipe to the guard must stay referred to: the garbage collector would close it.
type server struct {
	base string // http://127.0.0.1:PORT
	pipe io.Closer
}

// Each of them starts its server once; what it returned it keeps.
var (
	minio      = sync.OnceValues(func() (*server, error) { return start("minio", minioCommand, "/minio/health/ready") })
	versityGW  = sync.OnceValues(func() (*server, error) { return start("versitygw", versityCommand, "/health") })
	dynamoDB   = sync.OnceValues(func() (*server, error) { return start("dynamodb", dynamoCommand, "/") })
	localStack = sync.OnceValues(func() (*server, error) { return start("localstack", localStackCommand, "/_localstack/health") })
)

// command gives the argument vector and extra environment of a server, from the installed part (binary or jar), the
// port and an empty folder for its data.
type command func(part string, port int, data string) (argv, env []string)

func minioCommand(binary string, port int, data string) ([]string, []string) {
	return []string{binary, "server", "--quiet", "--address", "127.0.0.1:" + strconv.Itoa(port), "--console-address", "127.0.0.1:0", data},
		[]string{"MINIO_ROOT_USER=" + AccessKey, "MINIO_ROOT_PASSWORD=" + SecretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off"}
}

func versityCommand(binary string, port int, data string) ([]string, []string) {
	return []string{binary, "--quiet", "--port", "127.0.0.1:" + strconv.Itoa(port), "--access", AccessKey, "--secret", SecretKey,
		"--health", "/health", "posix", data}, nil
}

// localStackCommand: its DynamoDB Local ends by itself a few seconds after it, see local.sh.
func localStackCommand(program string, port int, data string) ([]string, []string) {
	return []string{program, strconv.Itoa(port), data}, nil
}

func dynamoCommand(jar string, port int, data string) ([]string, []string) {
	return []string{"java", "-Xmx512m", "-Djava.io.tmpdir=" + data, "-Djava.library.path=" + filepath.Join(filepath.Dir(jar), "DynamoDBLocal_lib"),
		"-jar", jar, "-inMemory", "-sharedDb", "-disableTelemetry", "-port", strconv.Itoa(port)}, nil
}

func start(name string, cmd command, health string) (*server, error) {
	part, err := install(name)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		s, err := launch(part, cmd, health)
		if err == nil || try == startTries {
			return s, err
		}
	}
}

// install runs local.sh and returns the path of the part it names.
func install(name string) (string, error) {
	script, err := script()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("bash", script, "install", name)
	cmd.Stderr = os.Stderr // it says that it builds for minutes
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s install %s: %w", script, name, err)
	}
	for line := range strings.Lines(string(out)) {
		if path, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(path), nil
		}
	}
	return "", fmt.Errorf("%s install %s named no part", script, name)
}

// script finds local.sh from the folder the test runs in, which lies in the repository.
func script() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find localstack/local.sh: %w", err)
	}
	for {
		path := filepath.Join(dir, "localstack", "local.sh")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find localstack/local.sh: not run inside the repository")
		}
		dir = parent
	}
}

// guard runs a server and ends it when standard input ends: $1 its folder, the rest its argument vector. Signals of a
// terminal are ignored here, or Ctrl-C would end the guard before it has tidied up.
const guard = `trap '' INT TERM HUP
dir=$1; shift
"$@" </dev/null >"$dir/log" 2>&1 &
cat >/dev/null
kill -9 $! 2>/dev/null
wait $! 2>/dev/null
rm -rf "$dir"`

func launch(part string, cmd command, health string) (*server, error) {
	dir, err := os.MkdirTemp("", "varve-server-")
	if err != nil {
		return nil, fmt.Errorf("make server folder: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		return nil, fmt.Errorf("make server folder: %w", err)
	}
	argv, env := cmd(part, port, data)
	sh := exec.Command("sh", append([]string{"-c", guard, "guard", dir}, argv...)...)
	sh.Env = append(os.Environ(), env...)
	stdin, err := sh.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	if err := sh.Start(); err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	if err := waitHealthy(base+health, startTimeout); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		_ = stdin.Close()
		_ = sh.Wait()
		return nil, fmt.Errorf("%w; the end of its log: %s", err, tail(log, 500))
	}
	return &server{base: base, pipe: stdin}, nil
}

// waitHealthy asks until the server answers with anything below 500.
func waitHealthy(url string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("ask for health: %w", err)
		}
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 500 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no healthy answer from %s within %v", url, limit)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func tail(b []byte, n int) string {
	b = bytes.TrimSpace(b)
	return string(b[max(0, len(b)-n):])
}
