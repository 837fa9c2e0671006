package s3

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestChecksumAuto: checksums go where they are known to be understood; s3answer.OnAWS says where.
func TestChecksumAuto(t *testing.T) {
	for endpoint, want := range map[string]bool{"": true, "http://127.0.0.1:9000": false} {
		s, err := New(t.Context(), Config{Bucket: "bucket", Region: "r", Endpoint: endpoint})
		if err != nil {
			t.Fatal(err)
		}
		if s.checksum != want {
			t.Errorf("%q: checksum %v, want %v", endpoint, s.checksum, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_ENDPOINT_URL", "")
	for name, cfg := range map[string]Config{
		"bucket": {Region: "r"}, "region": {Bucket: "b"}, "endpoint": {Bucket: "b", Endpoint: "127.0.0.1:9000"},
	} {
		if _, err := New(t.Context(), cfg); !errors.Is(err, objstore.ErrRefused) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want an error about the %s", err, name)
		}
	}
}
