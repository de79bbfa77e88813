package contract

import (
	"fmt"
	"reflect"
	"strings"

	"outlink/internal/httpapi"
)

func (p Prose) queryPage(question, answer Message) string {
	name := question.Type.Name()
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %s\n\n%s\n\n", made, name, p.about(question.Type))
	fmt.Fprintf(&b, "| door | address |\n|---|---|\n| request | `%s` |\n", namespace.Query(name))
	for _, r := range httpapi.Routes() {
		if r.Query == name {
			fmt.Fprintf(&b, "| HTTP | `%s`%s |\n", r.Pattern(), inQuery(r))
		}
	}
	b.WriteString("\n" + schemaLine("Schema of the question", question) + schemaLine("Schema of the answer", answer) + "## Members\n\n")
	if len(Members(question.Type)) == 0 {
		b.WriteString("None: ask `{}`, or nothing.\n")
	} else {
		b.WriteString(p.members(question))
	}
	b.WriteString("\n## Answer\n\n" + p.members(answer) + p.parts("", answer.Type))
	b.WriteString("\nInstead of it there may be one of the [errors](../README.md#errors).\n")
	return b.String()
}

// inQuery names the parameters of a route's query string, where they are called
// otherwise than the members with that name.
func inQuery(r httpapi.Route) string {
	var all []string
	for _, p := range r.Params {
		if r.InPath(p) {
			continue
		}
		said := "`" + p.Name + "`"
		if p.Member != "" {
			said += " (`" + p.Member + "`)"
		}
		all = append(all, said)
	}
	if len(all) == 0 {
		return ""
	}
	return " with " + strings.Join(all, ", ")
}

// parts are tables of the objects that an answer consists of.
func (p Prose) parts(prefix string, t reflect.Type) string {
	var b strings.Builder
	for _, m := range Members(t) {
		part, list := m.Field.Type, ""
		for part.Kind() == reflect.Pointer || part.Kind() == reflect.Slice {
			if part.Kind() == reflect.Slice {
				list = "[]"
			}
			part = part.Elem()
		}
		if len(Members(part)) > 0 {
			name := prefix + m.Name + list
			fmt.Fprintf(&b, "\n### `%s`\n\n%s%s", name, p.members(Message{Type: part}), p.parts(name+".", part))
		}
	}
	return b.String()
}
