package dynamo

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reply is one answer of the fake.
type reply struct {
	status int // 0: 200
	body   string
	do     func(http.ResponseWriter) // instead
}

// fake is an HTTP server that gives the answers of a script in turn, the last one for ever, and keeps what it was asked.
type fake struct {
	*httptest.Server
	mu struct {
		sync.Mutex
		script []reply
		asked  []string // operation and body, as one line each
		conns  int
	}
}

func newFake(t *testing.T, script ...reply) *fake {
	f := &fake{}
	f.mu.script = script
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			f.mu.Lock()
			f.mu.conns++
			f.mu.Unlock()
		}
	}
	f.Start()
	t.Cleanup(f.Close)
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	_, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	f.mu.Lock()
	f.mu.asked = append(f.mu.asked, name+" "+sorted(b))
	rep := f.mu.script[0]
	if len(f.mu.script) > 1 {
		f.mu.script = f.mu.script[1:]
	}
	f.mu.Unlock()
	if rep.do != nil {
		rep.do(w)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if rep.status > 0 {
		w.WriteHeader(rep.status)
	}
	io.WriteString(w, rep.body)
}

// sorted is a JSON body in one line with sorted names.
func sorted(b []byte) string {
	var v any
	err := json.Unmarshal(b, &v)
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err = errors.Join(err, e.Encode(v)); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(out.String())
}

// asked returns the requests so far and forgets them.
func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.mu.asked
	f.mu.asked = nil
	return a
}

// failure is an error as DynamoDB sends it; more is further members of the body.
func failure(status int, code, message, more string) reply {
	return reply{status: status, body: `{"__type":"com.amazonaws.dynamodb.v20120810#` + code + `","message":"` + message + `"` + more + `}`}
}

// client is a store on the fake.
func client(t *testing.T, f *fake) *Store { return clientAt(t, f.URL, 2*time.Second) }

func clientAt(t *testing.T, url string, timeout time.Duration) *Store {
	t.Setenv("AWS_CONFIG_FILE", "none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	s, err := New(t.Context(), Config{
		Table: "facts", Region: "eu-west-1", Endpoint: url, Timeout: timeout,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
