package main_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The rules on one file of code. Each returns its findings as lines.

func checkSize(r *repo, f file) (found []string) {
	limit := 500
	if f.test {
		limit = 800
	}
	if f.lines > limit {
		found = append(found, fmt.Sprintf("%s: %d lines, at most %d", f.path, f.lines, limit))
	}
	for _, d := range f.ast.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		lines := r.fset.Position(fn.End()).Line - r.fset.Position(fn.Pos()).Line + 1
		if lines > 70 {
			found = append(found, fmt.Sprintf("%s: %s has %d lines, at most 70", f.path, fn.Name.Name, lines))
		}
	}
	return found
}

// checkComments wants a comment on every exported name, beginning with the name. A group of constants or variables may
// have one for all.
func checkComments(r *repo, f file) (found []string) {
	if f.test {
		return nil
	}
	bad := func(n *ast.Ident, what string) {
		found = append(found, fmt.Sprintf("%s: %s %s", r.fset.Position(n.Pos()), n.Name, what))
	}
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d) && !wellKnown(d) {
				checkDoc(d.Doc, d.Name, bad)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				checkSpec(d, s, bad)
			}
		}
	}
	return found
}

func checkSpec(d *ast.GenDecl, s ast.Spec, bad func(*ast.Ident, string)) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			doc := s.Doc
			if doc == nil {
				doc = d.Doc
			}
			checkDoc(doc, s.Name, bad)
		}
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
				bad(n, "has no comment")
			}
		}
	}
}

func checkDoc(doc *ast.CommentGroup, n *ast.Ident, bad func(*ast.Ident, string)) {
	if doc == nil || strings.TrimSpace(doc.Text()) == "" {
		bad(n, "has no comment")
		return
	}
	words := strings.Fields(doc.Text())
	if len(words) > 1 && slices.Contains([]string{"A", "An", "The"}, words[0]) {
		words = words[1:]
	}
	if strings.TrimRight(words[0], ".,:;") != n.Name {
		bad(n, "has a comment that does not begin with its name")
	}
}

// wellKnown tells whether a method is one that the standard library explains: those of error, fmt.Stringer and slog.
func wellKnown(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "Is", "String", "LogValue"}, d.Name.Name)
}

// exportedReceiver tells whether a function is no method, or one of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	expr := d.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.IndexListExpr:
			expr = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return true
		}
	}
}

func checkInit(r *repo, f file) (found []string) {
	for _, d := range f.ast.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			found = append(found, fmt.Sprintf("%s: has an init function", r.fset.Position(fn.Pos())))
		}
	}
	return found
}

var (
	laterWord   = regexp.MustCompile(`^(//|/\*)\s*(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)
	issueNumber = regexp.MustCompile(`#\d+`)
)

func checkLater(r *repo, f file) (found []string) {
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if laterWord.MatchString(c.Text) && !issueNumber.MatchString(c.Text) {
				found = append(found, fmt.Sprintf("%s: something is left for later without an issue number", r.fset.Position(c.Pos())))
			}
		}
	}
	return found
}

// impure lists what a file that opens with "// Pure." may not touch: clocks and global sources of chance. An empty
// list means everything; with allow, everything else.
var impure = map[string]struct{ names, allow []string }{
	"time":                   {names: []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}},
	"math/rand":              {allow: []string{"Rand", "New", "NewSource", "NewZipf", "Source", "Zipf"}},
	"math/rand/v2":           {allow: []string{"Rand", "New", "NewPCG", "NewChaCha8", "NewZipf", "Source", "PCG", "ChaCha8", "Zipf"}},
	"crypto/rand":            {},
	"github.com/google/uuid": {names: []string{"New", "NewString", "NewRandom", "NewUUID", "NewV6", "NewV7"}},
}

func checkPure(r *repo, f file) (found []string) {
	if !strings.HasPrefix(string(f.src), "// Pure.") {
		return nil
	}
	names := map[string]string{} // as the file calls it -> import path
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := strings.TrimSuffix(path.Base(strings.TrimSuffix(p, "/v2")), ".go")
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		rule, watched := impure[names[x.Name]]
		if watched && !slices.Contains(rule.allow, sel.Sel.Name) && (rule.names == nil || slices.Contains(rule.names, sel.Sel.Name)) {
			found = append(found, fmt.Sprintf("%s: a pure file uses %s.%s", r.fset.Position(sel.Pos()), x.Name, sel.Sel.Name))
		}
		return true
	})
	return found
}

// checkVars finds package variables that change: those assigned to anywhere in their package, those declared without a
// value (they could only be there to change), and those that are a lock, pool, map or counter of package sync. files
// are those of one package; types are checked without its imports, which is enough to tell a local name from a global.
func checkVars(r *repo, files []file) (found []string) {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Error: func(error) {}, Importer: noImporter{}}
	var parsed []*ast.File
	for _, f := range files {
		parsed = append(parsed, f.ast)
	}
	pkg, _ := conf.Check(files[0].dir, r.fset, parsed, info) // errors are expected: nothing is imported
	bad := func(pos token.Pos, name, what string) {
		found = append(found, fmt.Sprintf("%s: package variable %s %s", r.fset.Position(pos), name, what))
	}
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool {
			for _, x := range written(n) {
				if v, ok := info.Uses[x].(*types.Var); ok && pkg != nil && v.Parent() == pkg.Scope() {
					bad(x.Pos(), x.Name, "is written")
				}
			}
			return true
		})
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				checkVarSpecs(g, bad)
			}
		}
	}
	return found
}

func checkVarSpecs(g *ast.GenDecl, bad func(token.Pos, string, string)) {
	for _, s := range g.Specs {
		v := s.(*ast.ValueSpec)
		if len(v.Values) == 0 && !embedded(g.Doc) && !embedded(v.Doc) {
			bad(v.Pos(), v.Names[0].Name, "has no value: it could only be there to change")
			continue
		}
		for _, value := range v.Values {
			if u, ok := value.(*ast.UnaryExpr); ok {
				value = u.X
			}
			lit, ok := value.(*ast.CompositeLit)
			if !ok {
				continue
			}
			sel, ok := lit.Type.(*ast.SelectorExpr)
			if !ok {
				continue
			}
			if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "sync" || x.Name == "atomic") {
				bad(v.Pos(), v.Names[0].Name, "is there to change")
			}
		}
	}
}

// embedded tells whether a variable gets its value from files, at build time.
func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// written returns the variables a statement writes: the x of x = 1, x.f = 1, x[i] = 1, x++.
func written(n ast.Node) (names []*ast.Ident) {
	var targets []ast.Expr
	switch s := n.(type) {
	case *ast.AssignStmt:
		if s.Tok != token.DEFINE {
			targets = s.Lhs
		}
	case *ast.IncDecStmt:
		targets = []ast.Expr{s.X}
	case *ast.RangeStmt:
		if s.Tok == token.ASSIGN {
			targets = []ast.Expr{s.Key, s.Value}
		}
	}
	for _, t := range targets {
		if x := root(t); x != nil {
			names = append(names, x)
		}
	}
	return names
}

func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// noImporter imports nothing.
type noImporter struct{}

func (noImporter) Import(path string) (*types.Package, error) {
	return nil, fmt.Errorf("%s is not imported here", path)
}
