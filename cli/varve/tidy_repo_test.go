package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// repo is the repository as the rules see it. It is read once and never changed.
type repo struct {
	root  string
	fset  *token.FileSet
	files []file
	texts []string // paths of every other file, from the root
}

// file is one parsed Go file, whatever its build tags.
type file struct {
	path  string // from the root, with slashes
	dir   string
	test  bool
	lines int
	src   []byte
	ast   *ast.File
}

// readRepository reads once for all rules.
var readRepository = sync.OnceValues(func() (*repo, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	r := &repo{root: root, fset: token.NewFileSet()}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(root, path, d.Name())
		}
		return r.add(path)
	})
	return r, err
})

func repository(t *testing.T) *repo {
	t.Helper()
	r, err := readRepository()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.files) == 0 {
		t.Fatal("no Go file found")
	}
	return r
}

// skipDir leaves out what git ignores: made by builds and by running.
func skipDir(root, path, name string) error {
	switch {
	case path == root || name == ".ci":
		return nil
	case strings.HasPrefix(name, "."), name == "bin", name == "target":
		return filepath.SkipDir
	}
	return nil
}

func (r *repo) add(path string) error {
	rel, err := filepath.Rel(r.root, path)
	if err != nil {
		return err
	}
	rel = filepath.ToSlash(rel)
	if !strings.HasSuffix(rel, ".go") {
		r.texts = append(r.texts, rel)
		return nil
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := r.parse(rel, src)
	if err != nil {
		return err
	}
	r.files = append(r.files, f)
	return nil
}

func (r *repo) parse(rel string, src []byte) (file, error) {
	parsed, err := parser.ParseFile(r.fset, rel, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, err
	}
	return file{
		path:  rel,
		dir:   filepath.ToSlash(filepath.Dir(rel)),
		test:  strings.HasSuffix(rel, "_test.go"),
		lines: strings.Count(string(src), "\n"),
		src:   src,
		ast:   parsed,
	}, nil
}

func (f file) imports() []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// parseSource makes a one-file repository, to show that a rule finds a fault.
func parseSource(t *testing.T, path, src string) (*repo, file) {
	t.Helper()
	r := &repo{fset: token.NewFileSet()}
	f, err := r.parse(path, []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	r.files = append(r.files, f)
	return r, f
}
