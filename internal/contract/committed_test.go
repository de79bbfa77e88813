package contract_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"outlink/internal/contract"
)

var (
	// update writes anew what is generated.
	update = flag.Bool("update", false, "write schemas, documents, pages and examples")

	// release declares the present schemas and examples released. From then on
	// they change compatibly or get a new version; -update does not touch them.
	release = flag.Bool("release", false, "declare the present schemas and examples released")
)

// Where the committed files are.
const (
	schemas   = root + "domain/schemas/"
	examples  = root + "domain/testdata/"
	released  = root + "domain/testdata/released/"
	reference = root + "docs/reference/"
)

// same holds a generated file against the committed one.
func same(t *testing.T, file string, b []byte) {
	t.Helper()
	if *update {
		write(t, file, b)
	}
	committed, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(committed, b) {
		t.Errorf("%s is not what the code says (%v); see what changes: go test ./internal/contract -update", file, err)
	}
}

// only reports files that nothing generates any more, or removes them.
func only(t *testing.T, pattern string, wanted map[string]bool) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		switch {
		case wanted[filepath.Base(file)]:
		case *update:
			_ = os.Remove(file)
		default:
			t.Errorf("nothing is called %s any more", file)
		}
	}
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each message has a committed schema, the schema is a good one, and it is what
// the Go type says.
func TestSchemas(t *testing.T) {
	wanted := map[string]bool{}
	for _, m := range contract.Messages() {
		file := m.ID + ".json"
		wanted[file] = true
		same(t, schemas+file, indented(t, m.Schema(prose())))
		if problem := compile(t, schemas+file).Validate("no object"); problem == nil {
			t.Errorf("%s takes anything", file)
		}
	}
	only(t, schemas+"*.json", wanted)
}

// What was released stays good: its schema changes compatibly only.
func TestReleasedSchemas(t *testing.T) {
	now := map[string]contract.Message{}
	for _, m := range contract.Messages() {
		now[m.ID+".json"] = m
	}
	for name, m := range now {
		changed := parse(t, string(indented(t, m.Schema(prose()))))
		old, err := os.ReadFile(released + "schemas/" + name)
		if err != nil && !*release {
			t.Errorf("%s is not released; when it is as it shall stay: go test ./internal/contract -release", name)
			continue
		}
		if err == nil {
			if problems := contract.Incompatible(parse(t, string(old)), changed, m.Input); len(problems) > 0 {
				t.Errorf("%s breaks what was released; make a new version instead:\n  %s", name, strings.Join(problems, "\n  "))
				continue
			}
		}
		if *release {
			write(t, released+"schemas/"+name, indented(t, changed))
		}
	}
	files, _ := filepath.Glob(released + "schemas/*.json")
	for _, file := range files {
		if _, ok := now[filepath.Base(file)]; !ok {
			t.Errorf("%s was released and is gone", file)
		}
	}
}

// A required member that is added to a real command is found, and so is an
// event that loses one.
func TestReleasedSchemasAreCompared(t *testing.T) {
	command := parse(t, string(read(t, released+"schemas/outlink.command.DisableLink.v1.json")))
	changed := parse(t, string(read(t, released+"schemas/outlink.command.DisableLink.v1.json")))
	changed["required"] = append(changed["required"].([]any), "reason")
	if got := contract.Incompatible(command, changed, true); len(got) != 1 || got[0] != "reason: is newly required" {
		t.Errorf("a required member: %q", got)
	}
	event := parse(t, string(read(t, released+"schemas/outlink.grant.token_issued.v1.json")))
	lost := parse(t, string(read(t, released+"schemas/outlink.grant.token_issued.v1.json")))
	delete(lost["properties"].(map[string]any), "generation")
	if got := contract.Incompatible(event, lost, false); len(got) != 1 || got[0] != "generation: was removed" {
		t.Errorf("a lost member: %q", got)
	}
}

func compile(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	compiled, err := compiler.Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func fits(t *testing.T, schemaFile string, document []byte) error {
	t.Helper()
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, schemaFile).Validate(instance)
}
