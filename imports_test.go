package outlink_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// may says which packages of Outlink a folder may import; pure folders import
// nothing from outside but uuid and the second version of encoding/json. An arrow
// that runs back up fails the build.
var may = []struct {
	folder string
	allow  []string
	pure   bool
}{
	{"domain/", []string{"outlink/domain"}, true},
	{"commands/client/outlinktest/", []string{"outlink/domain", "outlink/commands", "outlink/internal"}, false},
	{"commands/client/", []string{"outlink/domain", "outlink/commands"}, false},
	{"commands/", []string{"outlink/domain"}, true},
	{"projections/", []string{"outlink/domain", "outlink/projections"}, false},
	{"workers/", []string{"outlink/domain", "outlink/commands", "outlink/projections", "outlink/workers"}, false},
	{"internal/", []string{"outlink/domain", "outlink/commands", "outlink/projections", "outlink/workers", "outlink/internal", "outlink/docs"}, false},
}

func TestImportsRunOneWay(t *testing.T) {
	checked := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		checked++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			if problem := forbidden(filepath.ToSlash(path), name); problem != "" {
				t.Errorf("%s imports %s: %s", path, name, problem)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 50 {
		t.Errorf("only %d files were checked", checked)
	}
}

func forbidden(path, name string) string {
	for _, rule := range may {
		if !strings.HasPrefix(path, rule.folder) {
			continue
		}
		if strings.HasPrefix(name, "outlink/") {
			for _, a := range rule.allow {
				if name == a || strings.HasPrefix(name, a+"/") {
					return ""
				}
			}
			return "the arrow runs the wrong way"
		}
		if rule.pure && strings.Contains(name, ".") && name != "github.com/google/uuid" && !strings.HasPrefix(name, "github.com/go-json-experiment/json") {
			return "this folder knows no technology"
		}
		return ""
	}
	return ""
}

// The rule is proven on imports that it must refuse.
func TestForbiddenImports(t *testing.T) {
	for path, name := range map[string]string{
		"domain/grant/grant.go":     "outlink/commands",
		"domain/link/link.go":       "github.com/nats-io/nats.go",
		"commands/service.go":       "outlink/projections",
		"commands/client/client.go": "outlink/internal/bus",
		"projections/engine.go":     "outlink/internal/bus",
		"workers/refresh/worker.go": "outlink/internal/oauth",
		"internal/eventlog/log.go":  "outlink/cmd/outlink",
	} {
		if forbidden(path, name) == "" {
			t.Errorf("%s may import %s", path, name)
		}
	}
}
