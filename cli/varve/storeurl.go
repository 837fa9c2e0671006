// Pure.

package main

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// storeURL names a store: SCHEME://HOST/PATH?PARAMETERS. Credentials never stand in it.
type storeURL struct {
	scheme string
	host   string // bucket or table
	path   string // of a file or folder with its leading slash; of a bucket: the prefix, without
	params url.Values
	// faults is set by "fault+" in front of the scheme: what params the scheme itself does not take say which failures.
	faults url.Values
	// sim is set by "sim+" in front of the scheme, after "fault+" if both are there: which latency, model= and seed=.
	sim url.Values
	// prices is a file with a price list, of any store.
	prices string
}

// storeScheme is a kind of store, as a URL names it.
type storeScheme struct {
	name    string
	host    string   // what the host is; empty: there is none
	path    string   // what the path is; empty: there is none
	params  []string // that it takes
	example string
}

// The stores there are. A URL of another scheme is refused.
var (
	objectSchemes = []storeScheme{
		{"s3", "bucket", "prefix", []string{"region", "endpoint", "path_style", "checksum"}, "s3://bucket/prefix?region=eu-central-1"},
		{"minio", "bucket", "prefix", []string{"region", "endpoint", "path_style", "checksum"}, "minio://bucket/prefix?endpoint=http://127.0.0.1:9000&path_style=true"},
		{"file", "", "folder", nil, "file:///var/lib/varve/objects"},
		{"mem", "", "", []string{"reserve"}, "mem://"},
		{"null", "", "", nil, "null://"},
	}
	factSchemes = []storeScheme{
		{"dynamodb", "table", "", []string{"region", "endpoint"}, "dynamodb://table?region=eu-central-1"},
		{"bolt", "", "file", nil, "bolt:///var/lib/varve/facts.db"},
		{"mem", "", "", nil, "mem://"},
	}
)

// parseStoreURL takes raw apart. Errors say what is wrong, where, and what a right one looks like.
func parseStoreURL(raw string, schemes []storeScheme) (storeURL, error) {
	var s storeURL
	if raw == "" {
		return s, fmt.Errorf("no URL; like %s", schemes[0].example)
	}
	u, err := url.Parse(raw)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err // without the URL, which might hold a password
		}
		return s, fmt.Errorf("not a URL: %w; like %s", err, schemes[0].example)
	}
	if u.User != nil {
		return s, fmt.Errorf("credentials do not belong into a URL: they come from the AWS environment, files or role")
	}
	scheme, faulty := strings.CutPrefix(u.Scheme, "fault+")
	scheme, slow := strings.CutPrefix(scheme, "sim+")
	i := slices.IndexFunc(schemes, func(k storeScheme) bool { return k.name == scheme })
	if i < 0 {
		return s, fmt.Errorf("%q: the scheme %q is none of %s; like %s", raw, scheme, schemeNames(schemes), schemes[0].example)
	}
	s = storeURL{scheme: scheme, host: u.Host, path: u.Path, params: url.Values{}}
	if faulty {
		s.faults = url.Values{}
	}
	if slow {
		s.sim = url.Values{}
	}
	if err := s.splitParams(u.RawQuery, schemes[i]); err != nil {
		return s, fmt.Errorf("%q: %w", raw, err)
	}
	if err := s.checkShape(u, schemes[i]); err != nil {
		return s, fmt.Errorf("%q: %w; like %s", raw, err, schemes[i].example)
	}
	if schemes[i].path == "prefix" {
		s.path = strings.Trim(s.path, "/")
	}
	return s, nil
}

func schemeNames(schemes []storeScheme) string {
	var names []string
	for _, k := range schemes {
		names = append(names, k.name)
	}
	return strings.Join(names, ", ")
}

// simParams are the parameters of "sim+". The seed is that of the faults too.
var simParams = []string{"model", "seed"}

// pricesParam is a parameter of every store: see readPrices.
const pricesParam = "prices"

// splitParams parts the parameters of the scheme from those of the latency and of the faults.
func (s *storeURL) splitParams(query string, k storeScheme) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case (slices.Contains(k.params, name) || name == pricesParam) && len(values[name]) > 1:
			return fmt.Errorf("%s is given twice", name)
		case name == pricesParam:
			s.prices = values.Get(name)
		case slices.Contains(k.params, name):
			s.params[name] = values[name]
		case s.sim != nil && slices.Contains(simParams, name):
			s.sim[name] = values[name]
			if s.faults != nil && name == "seed" {
				s.faults[name] = values[name]
			}
		case s.faults != nil:
			s.faults[name] = values[name]
		default:
			known := k.params
			if s.sim != nil {
				known = slices.Concat(known, simParams)
			}
			return fmt.Errorf("%s:// takes no parameter %q%s", k.name, name, didYouMean(name, known, ""))
		}
	}
	return nil
}

func (s *storeURL) checkShape(u *url.URL, k storeScheme) error {
	path := strings.Trim(s.path, "/")
	switch {
	case u.Opaque != "":
		return fmt.Errorf("two slashes are missing after %q", k.name+":")
	case k.host != "" && s.host == "":
		return fmt.Errorf("no %s", k.host)
	case k.host == "" && s.host != "":
		if k.path == "" {
			return fmt.Errorf("nothing follows %s://", k.name)
		}
		return fmt.Errorf("%q stands where a host would: the path of a %s begins with a third slash", s.host, k.path)
	case k.path == "" && path != "":
		return fmt.Errorf("there is no path in %s://", k.name)
	case k.path != "" && k.path != "prefix" && path == "":
		return fmt.Errorf("no %s", k.path)
	case u.Fragment != "":
		return fmt.Errorf("what follows # is not used")
	}
	return nil
}

// flag reads a parameter that is true or false; absent is false.
func (s storeURL) flag(name string) (bool, error) {
	v := s.params.Get(name)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, usagef("parameter %s: %q is not true or false", name, v)
	}
	return b, nil
}
