package main

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	factmeter "github.com/varvelog/varve/metastore/meter"
	"github.com/varvelog/varve/objstore/meter"
)

// A price list is a file with a line "name = value" for each price, in US dollars, and the date on which they were looked up;
// what it does not name costs what it costs in us-east-1. It may hold the prices of both services, so that one file does for
// --store and --meta; empty lines and those that begin with # are passed over.

const million = 1e6

// objectPrices is the list of a store's URL, or else that of the class that its latency is that of.
func objectPrices(u storeURL) (meter.Prices, error) {
	p := meter.S3Standard
	if u.sim.Get("model") == "s3-express" {
		p = meter.S3Express
	}
	return p, readPrices(u.prices, objectNames(&p), factNames(&factmeter.Prices{}))
}

// factPrices is likewise that of a metastore.
func factPrices(u storeURL) (factmeter.Prices, error) {
	p := factmeter.ListPrices()
	return p, readPrices(u.prices, factNames(&p), objectNames(&meter.Prices{}))
}

// objectNames are the lines about a bucket.
func objectNames(p *meter.Prices) map[string]func(string) error {
	return map[string]func(string) error{
		"date": setDate(&p.Date), "s3.list": setWord(&p.Name), "s3.class": setWord(&p.Class),
		"s3.put_million": setPrice(&p.Put, million), "s3.get_million": setPrice(&p.Get, million),
		"s3.list_million": setPrice(&p.List, million), "s3.delete_million": setPrice(&p.Delete, million),
		"s3.in_gb": setPrice(&p.In, 1e9), "s3.out_gb": setPrice(&p.Out, 1e9), "s3.storage_gb_month": setPrice(&p.Storage, 1),
	}
}

// factNames are the lines about a table.
func factNames(p *factmeter.Prices) map[string]func(string) error {
	return map[string]func(string) error{
		"date": setDate(&p.Date), "dynamodb.region": setWord(&p.Region),
		"dynamodb.write_million": setPrice(&p.WriteMillion, 1), "dynamodb.read_million": setPrice(&p.ReadMillion, 1),
	}
}

func setWord(dst *string) func(string) error {
	return func(s string) error {
		*dst = s
		return nil
	}
}

var dateForm = regexp.MustCompile(`^\d{4}-\d\d(-\d\d)?$`)

func setDate(dst *string) func(string) error {
	return func(s string) error {
		if !dateForm.MatchString(s) {
			return fmt.Errorf("%q is not a date (like 2026-11-01)", s)
		}
		*dst = s
		return nil
	}
}

// setPrice reads the price of so many.
func setPrice(dst *float64, of float64) func(string) error {
	return func(s string) error {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !(v >= 0 && v <= 1e9) {
			return fmt.Errorf("%q is not a price in dollars (like 0.4)", s)
		}
		*dst = v / of
		return nil
	}
}

// readPrices reads the file, if one is named: ours say what to do with a line, theirs which lines are about the other service.
func readPrices(path string, ours, theirs map[string]func(string) error) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("parameter %s: %w", pricesParam, err)
	}
	dated := false
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		set := ours[name]
		if set == nil {
			set = theirs[name] // so that a mistake is found whichever store reads it first
		}
		if set == nil {
			known := slices.Concat(slices.Collect(maps.Keys(ours)), slices.Collect(maps.Keys(theirs)))
			return fmt.Errorf("parameter %s: %s, line %d: unknown name %q%s", pricesParam, path, n, name, didYouMean(name, known, ""))
		}
		if err := set(value); err != nil {
			return fmt.Errorf("parameter %s: %s, line %d: %s: %w", pricesParam, path, n, name, err)
		}
		dated = dated || name == "date"
	}
	if !dated {
		return fmt.Errorf("parameter %s: %s has no line \"date = 2026-11-01\": a price means nothing without one", pricesParam, path)
	}
	return lines.Err()
}
