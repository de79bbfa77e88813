package contract_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"outlink/internal/contract"
)

// The pages are what the types, their comments and the examples say; their links
// lead somewhere.
func TestPages(t *testing.T) {
	pages := contract.Pages(prose(), func(path string) string { return string(read(t, examples+path)) })
	wanted := map[string]bool{}
	for path, page := range pages {
		same(t, reference+path, []byte(page))
		wanted[filepath.Base(path)] = true
	}
	only(t, reference+"commands/*", wanted)
	only(t, reference+"events/*", wanted)
	only(t, reference+"queries/*", wanted)
	link := regexp.MustCompile(`\]\(([^)#]+)`)
	for path, page := range pages {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(reference+path), m[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// Every query has a page with all its members, and with all of its answer.
func TestQueriesHavePages(t *testing.T) {
	pages := contract.Pages(prose(), func(string) string { return "" })
	answers := contract.Answers()
	for i, q := range contract.Questions() {
		page := pages["queries/"+q.Type.Name()+".md"]
		for _, m := range append(contract.Members(q.Type), contract.Members(answers[i].Type)...) {
			if !strings.Contains(page, "| `"+m.Name+"` |") {
				t.Errorf("the page of %s does not say %s", q.Type.Name(), m.Name)
			}
		}
	}
}

// Every command can be refused, and its page says how.
func TestEveryCommandHasErrors(t *testing.T) {
	for command, codes := range prose().Errors {
		if len(codes) < 3 {
			t.Errorf("%s has only the errors %v", command, codes)
		}
	}
}

// The headers that are documented are those that the log writes.
func TestEventHeaders(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), root+"internal/eventlog/envelope.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "header") {
			name, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			written[name] = true
			if contract.EventHeaders[name] == "" {
				t.Errorf("the header %s is not documented", name)
			}
		}
		return true
	})
	for name := range contract.EventHeaders {
		if !written[name] {
			t.Errorf("no event has the header %s", name)
		}
	}
}
