package main_test

import (
	"slices"
	"strings"
	"testing"
)

const module = "github.com/varvelog/varve/"

// room is one line of the import table: which packages of ours it may import. A pattern that ends in "/..." matches a
// folder and everything below, "*" matches one path element.
type room struct {
	dir   string
	may   []string // in code that ships
	tests []string // besides these, in tests
}

// The groups of the table.
var (
	leaves    = []string{"objstore/bundle", "objstore/recordbatch", "agent/cache", "agent/peer", "agent/memory", "metastore/records"}
	contracts = []string{"objstore", "metastore"}
	levelOne  = []string{"agent/cluster", "agent/wal", "agent/partition", "agent/replica", "agent/fetch", "agent/segment", "agent/topic", "agent/group", "agent/txn", "agent/auth"}
	memStores = []string{"objstore/mem", "objstore/fault", "objstore/meter", "metastore/mem", "metastore/fault"}
	storeKit  = []string{"objstore/storetest", "metastore/storetest", "objstore/mem", "metastore/mem", "localstack/servers"}
)

// importTable is the law of who may import whom: imports point down only. The first line that matches a folder holds.
var importTable = []room{
	{"objstore", nil, []string{"objstore/mem"}},
	{"metastore", nil, nil},
	{"objstore/bundle", nil, nil},
	{"objstore/recordbatch", nil, nil},
	{"agent/cache", []string{"agent/memory"}, nil}, // memory is the one byte budget of the agent, a leaf below cache
	{"agent/memory", nil, nil},
	{"agent/peer", nil, nil},
	{"metastore/records", []string{"metastore"}, []string{"metastore/mem"}},
	{"objstore/s3", []string{"objstore", "objstore/s3answer"}, join(storeKit, "objstore/s3test")},
	{"objstore/minio", []string{"objstore", "objstore/s3answer"}, join(storeKit, "objstore/s3test")},
	{"objstore/s3test", []string{"objstore", "objstore/mem", "objstore/storetest", "localstack/servers"}, nil},
	{"objstore/*", []string{"objstore"}, storeKit},
	{"metastore/*", []string{"metastore"}, storeKit},

	{"agent/cluster", []string{"metastore", "metastore/records", "agent/peer"}, memStores},
	{"agent/probe", join(contracts, "metastore/records"), memStores},
	{"agent/topic", []string{"metastore", "metastore/records"}, memStores},
	{"agent/group", []string{"metastore", "metastore/records"}, memStores},
	{"agent/txn", []string{"metastore", "metastore/records"}, memStores},
	{"agent/auth", []string{"metastore", "metastore/records"}, memStores},
	// wal sees recordbatch besides the page's list: the footer of a bundle describes each batch.
	{"agent/wal", join(contracts, "metastore/records", "objstore/bundle", "objstore/recordbatch", "agent/memory"), memStores},
	{"agent/partition", []string{"objstore/bundle", "objstore/recordbatch", "metastore/records", "agent/memory"}, nil},
	{"agent/replica", []string{"objstore/bundle", "metastore", "metastore/records", "agent/peer"}, memStores},
	{"agent/fetch", join(contracts, "metastore/records", "objstore/bundle", "objstore/recordbatch", "agent/cache", "agent/memory"), memStores},
	{"agent/segment", join(contracts, "metastore/records", "objstore/bundle", "objstore/recordbatch", "agent/cache", "agent/memory"), memStores},

	// In tests kafka commits what it appended, by footers of its own.
	{"agent/kafka", join(levelOne, "objstore/recordbatch", "metastore/records", "agent/memory"), join(memStores, "objstore", "objstore/bundle", "metastore")},
	{"agent/console", levelOne, memStores},
	{"agent/simtest/model", nil, nil},
	{"agent/simtest", join(memStores, "agent/...", "client/...", "objstore/...", "metastore/..."), nil},
	{"agent", join(join(contracts, leaves...), "agent/*"), memStores},
	{"client", nil, nil},
	{"client/scan", join(contracts, "metastore/records", "objstore/bundle", "objstore/recordbatch"), memStores},

	{"cli/varve", []string{"agent", "client/...", "objstore/...", "metastore/...", "agent/cache", "agent/peer", "agent/memory", "cli/bench", "cli/meta"}, storeKit},
	{"cli/varve/e2e", []string{"localstack/servers"}, []string{"objstore/...", "metastore/...", "client/..."}},
	{"cli/varve/e2e/goclients", nil, nil}, // a module of its own: clients that the main one must not depend on
	{"cli/bench", []string{"client", "objstore/meter"}, nil},
	{"cli/meta", join(contracts, "metastore/records", "objstore/bundle", "objstore/recordbatch"), memStores},
	{"localstack/servers", nil, nil},
	{"localstack/create", []string{"localstack/servers"}, nil},
}

// restricted lists packages of others that only some rooms may see, tests apart.
var restricted = []struct {
	prefix string
	rooms  []string
	why    string
}{
	{"github.com/twmb/franz-go/pkg/kmsg", []string{"agent/kafka", "client", "cli/*"}, "no other room knows a Kafka field or error code"},
	{"github.com/twmb/franz-go/pkg/kfake", nil, "a reference for tests"},
	{"github.com/twmb/franz-go", []string{"agent/kafka", "client/...", "cli/..."}, "the client library is for clients"},
	{"github.com/aws/", []string{"objstore/s3", "metastore/dynamo", "localstack/servers", "cli/varve"}, "one driver knows one service"},
	{"github.com/minio/", []string{"objstore/minio"}, "one driver knows one service"},
	{"go.etcd.io/bbolt", []string{"metastore/bolt"}, "one driver knows one store"},
	{"github.com/urfave/cli", []string{"cli/varve"}, "a thin layer, so that a move is mechanical"},
	{"localstack/", []string{"localstack/..."}, "a helper of tests"},
}

func TestImportsPointDown(t *testing.T) {
	for _, f := range repository(t).files {
		line, ok := roomOf(f.dir)
		if !ok {
			t.Errorf("%s: the folder %s is not in the import table", f.path, f.dir)
			continue
		}
		for _, imp := range f.imports() {
			if !mayImport(line, f, imp) {
				t.Errorf("%s: %s may not import %s", f.path, f.dir, imp)
			}
		}
	}
}

func TestOutsidePackagesStayInTheirRooms(t *testing.T) {
	for _, f := range repository(t).files {
		for _, imp := range f.imports() {
			for _, r := range restricted {
				if !strings.HasPrefix(imp, r.prefix) {
					continue
				}
				if !f.test && !matchAny(r.rooms, f.dir) {
					t.Errorf("%s: imports %s: %s", f.path, imp, r.why)
				}
				break
			}
		}
	}
}

func TestImportTableFindsEachFault(t *testing.T) {
	for _, c := range []struct {
		dir, imp string
		test     bool
		want     bool
	}{
		{"agent/wal", module + "objstore", false, true},
		{"agent/wal", module + "agent/partition", false, false},
		{"objstore/s3", module + "metastore", false, false},
		{"objstore/s3", module + "objstore/mem", false, false},
		{"objstore/s3", module + "objstore/mem", true, true},
		{"agent", module + "objstore/s3", false, false},
		{"client/scan", module + "agent", false, false},
		{"cli/bench", module + "agent", true, false},
		{"agent/partition", module + "objstore", true, false},
		{"cli/varve", module + "metastore/dynamo", false, true},
		{"agent/wal", "strings", false, true},
	} {
		line, ok := roomOf(c.dir)
		if !ok {
			t.Fatalf("no line for %s", c.dir)
		}
		if got := mayImport(line, file{dir: c.dir, test: c.test}, c.imp); got != c.want {
			t.Errorf("%s importing %s (test %v): allowed %v, want %v", c.dir, c.imp, c.test, got, c.want)
		}
	}
}

func roomOf(dir string) (room, bool) {
	for _, r := range importTable {
		if match(r.dir, dir) {
			return r, true
		}
	}
	return room{}, false
}

// mayImport tells whether a file of the room may import imp. Outside packages are not its business, and a package's
// external test imports the package itself.
func mayImport(r room, f file, imp string) bool {
	ours, ok := strings.CutPrefix(imp, module)
	if !ok {
		return true
	}
	if matchAny(r.may, ours) {
		return true
	}
	return f.test && (ours == f.dir || matchAny(r.tests, ours))
}

func matchAny(patterns []string, dir string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, dir) })
}

// match compares a folder with a pattern of the table.
func match(pattern, dir string) bool {
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return dir == base || strings.HasPrefix(dir, base+"/")
	}
	if base, ok := strings.CutSuffix(pattern, "/*"); ok {
		rest, below := strings.CutPrefix(dir, base+"/")
		return below && !strings.Contains(rest, "/")
	}
	return pattern == dir
}

// join concatenates without writing to either slice.
func join(a []string, b ...string) []string { return slices.Concat(a, b) }
