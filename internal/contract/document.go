package contract

import (
	"bytes"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// document is a YAML mapping whose members stay in the order that a reader wants.
type document []member

type member struct {
	name  string
	value any
}

// MarshalYAML implements yaml.Marshaler.
func (d document) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, m := range d {
		var name, value yaml.Node
		name.SetString(m.name)
		if err := value.Encode(m.value); err != nil {
			return nil, err
		}
		n.Content = append(n.Content, &name, &value)
	}
	return n, nil
}

func (d document) encode() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# Made from the Go types by internal/contract; do not edit.\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(d); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

func info(title, description string) document {
	return document{
		{"title", title},
		{"version", Version},
		{"description", description},
		{"contact", document{{"name", "Outlink"}}},
		{"license", document{{"name", "Apache-2.0"}, {"url", "https://www.apache.org/licenses/LICENSE-2.0"}}},
	}
}

// inputs tells the types that Outlink reads from those that it writes.
func inputs() func(reflect.Type) bool {
	all := map[reflect.Type]bool{}
	for _, m := range Messages() {
		all[m.Type] = m.Input
	}
	return func(t reflect.Type) bool { return all[t] }
}
