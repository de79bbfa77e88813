package contract_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/contract"
)

const root = "../../"

// prose reads the doc comments of everything that messages are made of.
var prose = sync.OnceValue(func() contract.Prose {
	r := reader{contract.Prose{Text: map[string]string{}, Values: map[string][]contract.Value{}, Errors: map[string][]string{}}, map[string][]*ast.FuncDecl{}}
	for _, folder := range []string{"commands", "domain", "internal/httpapi", "internal/microapi", "internal/queries", "internal/tokens", "projections", "workers/notify"} {
		r.folder(folder)
	}
	for _, name := range commands.Names() {
		r.prose.Errors[name] = r.codes(name)
	}
	return r.prose
})

type reader struct {
	prose contract.Prose
	funcs map[string][]*ast.FuncDecl // of commands and domain, by name
}

func (r reader) folder(folder string) {
	err := filepath.WalkDir(root+folder, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, filepath.Dir(file))
		pkg := "outlink/" + filepath.ToSlash(rel) + "."
		for _, d := range parsed.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				r.declared(pkg, d)
			case *ast.FuncDecl:
				r.function(pkg, d)
			}
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
}

func (r reader) declared(pkg string, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			r.prose.Text[pkg+s.Name.Name] = text(s.Doc, d.Doc)
			if st, ok := s.Type.(*ast.StructType); ok {
				for _, f := range st.Fields.List {
					for _, name := range f.Names {
						r.prose.Text[pkg+s.Name.Name+"."+name.Name] = text(f.Doc, f.Comment)
					}
				}
			}
		case *ast.ValueSpec:
			typ, ok := s.Type.(*ast.Ident)
			if !ok || d.Tok != token.CONST || !ast.IsExported(s.Names[0].Name) {
				continue
			}
			if lit, ok := s.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				value, _ := strconv.Unquote(lit.Value)
				r.prose.Values[pkg+typ.Name] = append(r.prose.Values[pkg+typ.Name], contract.Value{Value: value, Text: text(s.Comment)})
			}
		}
	}
}

func (r reader) function(pkg string, d *ast.FuncDecl) {
	name := pkg + d.Name.Name
	if d.Recv != nil {
		on := d.Recv.List[0].Type
		if star, ok := on.(*ast.StarExpr); ok {
			on = star.X
		}
		if id, ok := on.(*ast.Ident); ok {
			name = pkg + id.Name + "." + d.Name.Name
		}
	}
	r.prose.Text[name] = text(d.Doc)
	if strings.HasPrefix(pkg, "outlink/commands.") || strings.HasPrefix(pkg, "outlink/domain") {
		r.funcs[d.Name.Name] = append(r.funcs[d.Name.Name], d)
	}
}

var docLink = regexp.MustCompile(`\[([A-Za-z.]+)\]`)

// text is the first comment that says something, in one line.
func text(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if s := strings.Join(strings.Fields(g.Text()), " "); s != "" {
			return docLink.ReplaceAllString(s, "$1")
		}
	}
	return ""
}

// codes are the errors in the functions that a command's method may call. It goes
// by names alone, which are told apart well enough here. What any of them may
// answer is left out.
func (r reader) codes(command string) []string {
	found, seen := map[string]bool{string(domain.InvalidArgument): true}, map[string]bool{}
	names := map[string]domain.Code{}
	for _, c := range domain.Codes() {
		names[camel(string(c))] = c
	}
	var visit func(name string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, f := range r.funcs[name] {
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				callee := called(call)
				if callee == "Errorf" && len(call.Args) > 0 {
					if sel, ok := call.Args[0].(*ast.SelectorExpr); ok && names[sel.Sel.Name] != "" {
						found[string(names[sel.Sel.Name])] = true
					}
				}
				visit(callee)
				return true
			})
		}
	}
	visit(command)
	return slices.DeleteFunc(texts(domain.Codes()), func(c string) bool {
		return !found[c] || c == string(domain.Unavailable) || c == string(domain.Internal)
	})
}

func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func texts(codes []domain.Code) []string {
	var all []string
	for _, c := range codes {
		all = append(all, string(c))
	}
	return all
}

func camel(snake string) string {
	var b strings.Builder
	for _, w := range strings.Split(snake, "_") {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

// No member of what people write or read is left unexplained.
func TestEveryMemberHasAMeaning(t *testing.T) {
	for _, m := range contract.Messages() {
		if prose().Type(m.Type) == "" {
			t.Errorf("%s: %s has no doc comment", m.ID, m.Type)
		}
		for _, member := range contract.Members(m.Type) {
			if prose().Member(member) == "" {
				t.Errorf("%s: %s has no comment on %s.%s", m.ID, member.Name, member.Owner, member.Field.Name)
			}
		}
	}
}
