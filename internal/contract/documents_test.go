package contract_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"outlink/commands"
	"outlink/internal/bus"
	"outlink/internal/contract"
	"outlink/internal/httpapi"
	"outlink/internal/queries"
)

func TestOpenAPI(t *testing.T) {
	b, err := contract.OpenAPI(prose())
	if err != nil {
		t.Fatal(err)
	}
	same(t, reference+"openapi.yaml", b)
}

func TestAsyncAPI(t *testing.T) {
	b, err := contract.AsyncAPI(prose())
	if err != nil {
		t.Fatal(err)
	}
	same(t, reference+"asyncapi.yaml", b)
}

// recorder notes the patterns that are registered.
type recorder struct {
	*http.ServeMux
	patterns map[string]bool
}

func (r recorder) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	r.patterns[pattern] = true
	r.ServeMux.HandleFunc(pattern, h)
}

// Every route that is registered is in the document, and every operation of the
// document is served by one.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	mux := recorder{http.NewServeMux(), map[string]bool{}}
	(&httpapi.API{}).Register(mux)
	maps.DeleteFunc(mux.patterns, func(p string, _ bool) bool { return !strings.Contains(p, " ") }) // of any method: they only refuse
	served := map[string]bool{}
	var document struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	load(t, "openapi.yaml", &document)
	for path, operations := range document.Paths {
		for method := range operations {
			_, pattern := mux.Handler(httptest.NewRequest(strings.ToUpper(method), strings.NewReplacer("{", "", "}", "").Replace(path), nil))
			if !mux.patterns[pattern] {
				t.Errorf("%s %s is documented and not served", method, path)
			}
			served[pattern] = true
		}
	}
	for pattern := range mux.patterns {
		if !served[pattern] {
			t.Errorf("%s is served and not documented", pattern)
		}
	}
}

// Every command, by both doors, and every query has its subject in the document,
// and so does every stream of messages that others subscribe to.
func TestAsyncAPIHasEverySubject(t *testing.T) {
	var document struct {
		Channels map[string]struct {
			Address string `yaml:"address"`
		} `yaml:"channels"`
	}
	load(t, "asyncapi.yaml", &document)
	addresses := map[string]bool{}
	for _, c := range document.Channels {
		addresses[c.Address] = true
	}
	n := bus.DefaultNamespace
	want := []string{n.Info(), n.Token("{link}"), "outlink.events.link.{link}", "outlink.events.grant.{link}.{grant}", "outlink.events.name.{name}", "outlink.notice.{kind}.{link}", "outlink.read.{link}", ""}
	for _, name := range commands.Names() {
		want = append(want, n.Command(name), n.Submit(name))
	}
	for _, name := range queries.Names() {
		want = append(want, n.Query(name))
	}
	for _, address := range want {
		if !addresses[address] {
			t.Errorf("no channel has the address %q", address)
		}
	}
	if len(addresses) != len(want) {
		t.Errorf("%d addresses, wanted %d", len(addresses), len(want))
	}
}

func load(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.Unmarshal(read(t, reference+name), into); err != nil {
		t.Fatal(err)
	}
}
