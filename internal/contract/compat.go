package contract

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Incompatible says what a changed schema would break for those who know the
// released one; nothing means that the change may be made under the same version.
//
// Of what Outlink reads, a document that was good must stay good; of what it
// writes, a member that a reader relies on must stay as it is.
func Incompatible(released, changed map[string]any, input bool) []string {
	c := comparison{released: released, changed: changed, input: input, seen: map[string]bool{}}
	c.compare("", released, changed)
	slices.Sort(c.found)
	return slices.Compact(c.found)
}

type comparison struct {
	released, changed schema // whole documents, for references
	input             bool
	found             []string
	seen              map[string]bool // pairs of references: a schema may refer to itself
}

func (c *comparison) say(at, format string, args ...any) {
	if at == "" {
		at = "the document"
	}
	c.found = append(c.found, strings.TrimPrefix(at, ".")+": "+fmt.Sprintf(format, args...))
}

func (c *comparison) compare(at string, old, latest schema) {
	if ref, ok := old["$ref"].(string); ok {
		pair := fmt.Sprint(ref, latest["$ref"])
		if c.seen[pair] {
			return
		}
		c.seen[pair] = true
	}
	old, latest = follow(c.released, old), follow(c.changed, latest)
	if !reflect.DeepEqual(set(old["type"]), set(latest["type"])) {
		c.say(at, "the type was %v and is %v", old["type"], latest["type"])
	}
	c.required(at, old, latest)
	c.properties(at, old, latest)
	c.unknown(at, old, latest)
	c.rest(at, old, latest)
	if items, ok := old["items"].(map[string]any); ok {
		now, _ := latest["items"].(map[string]any)
		c.compare(at+"[]", items, now)
	}
}

func (c *comparison) required(at string, old, latest schema) {
	was, is := set(old["required"]), set(latest["required"])
	if c.input {
		was, is = is, was
	}
	for name := range was {
		switch {
		case is[name]:
		case c.input:
			c.say(at+"."+name, "is newly required")
		default:
			c.say(at+"."+name, "was always there and may now be missing")
		}
	}
}

func (c *comparison) properties(at string, old, latest schema) {
	was, _ := old["properties"].(map[string]any)
	is, _ := latest["properties"].(map[string]any)
	for name, p := range was {
		before, _ := p.(map[string]any)
		now, ok := is[name].(map[string]any)
		if !ok {
			c.say(at+"."+name, "was removed")
			continue
		}
		c.compare(at+"."+name, before, now)
	}
}

// unknown compares what is said of members that have no schema of their own.
func (c *comparison) unknown(at string, old, latest schema) {
	was, is := old["additionalProperties"], latest["additionalProperties"]
	before, ok1 := was.(map[string]any)
	now, ok2 := is.(map[string]any)
	switch {
	case ok1 && ok2:
		c.compare(at+".*", before, now)
	case ok1 != ok2:
		c.say(at, "other members were %v and are %v", was, is)
	case is == false && was != false:
		c.say(at, "unknown members are newly refused")
	}
}

// rest holds that whatever else a schema demands is the same. Words are free,
// and so are values added to a set that Outlink reads.
func (c *comparison) rest(at string, old, latest schema) {
	keys := schema{}
	maps.Copy(keys, old)
	maps.Copy(keys, latest)
	for key := range keys {
		switch key {
		case "type", "required", "properties", "items", "additionalProperties", "$ref", "$defs", "$schema", "$id",
			"title", "description", "examples", "default", "deprecated":
			continue
		case "enum":
			if c.input && old["enum"] != nil && subset(set(old["enum"]), set(latest["enum"])) {
				continue
			}
		}
		if !reflect.DeepEqual(bare(old[key]), bare(latest[key])) {
			c.say(at, "%s was %v and is %v", key, old[key], latest[key])
		}
	}
}

func follow(document, s schema) schema {
	ref, ok := s["$ref"].(string)
	if !ok {
		return s
	}
	defs, _ := document["$defs"].(map[string]any)
	to, _ := defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	return to
}

// set is a string or a list of strings, as a set.
func set(v any) map[string]bool {
	all := map[string]bool{}
	switch v := v.(type) {
	case string:
		all[v] = true
	case []any:
		for _, s := range v {
			all[fmt.Sprint(s)] = true
		}
	}
	return all
}

func subset(a, b map[string]bool) bool {
	for k := range a {
		if !b[k] {
			return false
		}
	}
	return true
}

// bare is a part of a schema without its words.
func bare(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for k, e := range v {
			if k != "description" && k != "title" && k != "examples" {
				m[k] = bare(e)
			}
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = bare(e)
		}
		return l
	}
	return v
}
