package contract

import (
	"reflect"
	"slices"
	"strings"
)

// Prose is what doc comments say. It is read from the source by the tests, which
// alone have it.
type Prose struct {
	// Text is a comment by the path of what it is about: "outlink/domain/link.Created",
	// "outlink/domain/link.Created.At", "outlink/commands.Service.DisableLink".
	Text map[string]string

	// Values are the constants of a type, by the type's path, in their order.
	Values map[string][]Value

	// Errors are the codes that a command can be refused with, by the command's name.
	Errors map[string][]string
}

// Value is a constant and what is said of it.
type Value struct{ Value, Text string }

// Type is what is said of a type, without its name where that only repeats what
// the reader looks at: "DisableLink takes a link …" is "Takes a link …".
func (p Prose) Type(t reflect.Type) string {
	said := p.Text[path(t)]
	rest, ok := strings.CutPrefix(said, t.Name()+" ")
	if verb, _, _ := strings.Cut(rest, " "); !ok || slices.Contains([]string{"is", "are", "has"}, verb) {
		return said
	}
	return strings.ToUpper(rest[:1]) + rest[1:]
}

// about is what is said of a command's or a query's type and of its method, unless
// the latter says nothing.
func (p Prose) about(t reflect.Type) string {
	method := p.Text[t.PkgPath()+".Service."+t.Name()]
	does, ok := strings.CutPrefix(method, t.Name()+" ")
	if !ok || does == "runs the command." || does == "runs the query." {
		return p.Type(t)
	}
	return p.Type(t) + " It " + does
}

// Member is what is said of a member, with the values that it may have.
func (p Prose) Member(m Member) string {
	said := p.Text[m.path()]
	if said == "" {
		said = glossary[m.Name]
	}
	if span := spans[m.path()]; span != "" {
		said += "; " + span
	}
	t := m.Field.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var values []string
	for _, v := range p.Values[path(t)] {
		switch {
		case v.Text != "":
			values = append(values, v.Value+" ("+v.Text+")")
		case v.Value != "": // else it is what there is before anything has happened
			values = append(values, v.Value)
		}
	}
	switch {
	case len(values) == 0:
		return said
	case said == "":
		return "one of: " + strings.Join(values, "; ")
	}
	return said + "; one of: " + strings.Join(values, "; ")
}

func path(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }
