package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/varvelog/varve/objstore/meter"
)

const somePrices = "# looked up by hand\ndate = 2027-01-02\ns3.list = ours\ns3.put_million = 7\ns3.in_gb = 2\n\ndynamodb.region = here\ndynamodb.write_million=9\n"

func priceFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "prices")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPriceFile: one file gives both stores their prices; what it does not name stays as it is in us-east-1.
func TestPriceFile(t *testing.T) {
	path := priceFile(t, somePrices)
	u, err := parseStoreURL("sim+mem://?model=s3-express&prices="+path, objectSchemes)
	if err != nil {
		t.Fatal(err)
	}
	p, err := objectPrices(u)
	want := meter.S3Express
	want.Date, want.Name, want.Put, want.In = "2027-01-02", "ours", 7e-6, 2e-9
	if err != nil || p != want {
		t.Errorf("%+v, %v; want %+v", p, err, want)
	}
	f, err := factPrices(u)
	if err != nil || f.Date != "2027-01-02" || f.Region != "here" || f.WriteMillion != 9 || f.ReadMillion != 0.125 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestPriceFileRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"s3.put_million = 5":                             "has no line \"date",
		"date = soon":                                    `line 1: date: "soon" is not a date`,
		"date = 2026-11-01\ns3.put_milion = 5":           `line 2: unknown name "s3.put_milion"; did you mean s3.put_million?`,
		"date = 2026-11-01\ns3.put_million = -":          `"-" is not a price`,
		"date = 2026-11-01\ndynamodb.read_million = NaN": `"NaN" is not a price`,
		"date": "is not a date",
	} {
		var o openedStores
		err := o.openObjects(t.Context(), "mem://?prices="+priceFile(t, text), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != exitUsage {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
	var o openedStores
	if err := o.openFacts(t.Context(), "mem://?prices=/none", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
	if _, err := parseStoreURL("mem://?prices=a&prices=b", objectSchemes); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("%v", err)
	}
}
