package s3

import (
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/varvelog/varve/objstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCRC32CHeader(t *testing.T) {
	// "123456789" is the check input of CRC catalogues; its CRC-32C is e3069283.
	if got := crc32cHeader([]byte("123456789")); got != "4waSgw==" {
		t.Errorf("got %s (%08x)", got, crc32.Checksum([]byte("123456789"), castagnoli))
	}
}

func TestChecksumAuto(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"": true, "https://s3.eu-central-1.amazonaws.com": true, "https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com": true,
		"https://s3.cn-north-1.amazonaws.com.cn": true, "http://127.0.0.1:9000": false, "https://amazonaws.com.example.org": false,
	} {
		s, err := New(t.Context(), Config{Bucket: "b", Region: "r", Endpoint: endpoint})
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
