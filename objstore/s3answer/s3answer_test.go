package s3answer

import (
	"hash/crc32"
	"testing"
)

func TestChecksum(t *testing.T) {
	// "123456789" is the check input of CRC catalogues; its CRC-32C is e3069283.
	if got := Checksum([]byte("123456789")); got != "4waSgw==" {
		t.Errorf("got %s (%08x)", got, crc32.Checksum([]byte("123456789"), castagnoli))
	}
}

func TestOnAWS(t *testing.T) {
	for endpoint, want := range map[string]bool{
		"": true, "https://s3.eu-central-1.amazonaws.com": true, "https://bucket.vpce-1.s3.eu-central-1.vpce.amazonaws.com": true,
		"https://s3.cn-north-1.amazonaws.com.cn": true, "http://127.0.0.1:9000": false, "https://amazonaws.com.example.org": false,
	} {
		if got := OnAWS(endpoint); got != want {
			t.Errorf("%q: %v, want %v", endpoint, got, want)
		}
	}
}
