package contract_test

import (
	"encoding/json"
	"strings"
	"testing"

	"outlink/internal/contract"
)

// The rule is proven on changes that it must refuse, and on some that it must not.
func TestIncompatible(t *testing.T) {
	const released = `{"type": "object", "additionalProperties": false, "required": ["link"], "properties": {
		"link": {"type": "string", "format": "uuid", "description": "a link"}, "style": {"type": "string", "enum": ["a", "b"]},
		"scopes": {"type": ["array", "null"], "items": {"type": "string"}}, "params": {"type": "object", "additionalProperties": {"type": "string"}},
		"try": {"$ref": "#/$defs/Try"}, "secret": {"oneOf": [{"type": "string"}, {"type": "object"}]}},
		"$defs": {"Try": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 0}, "again": {"$ref": "#/$defs/Try"}}}}}`
	for name, tt := range map[string]struct {
		replace, by   string
		input, output string // what is said; "" when the change is fine
	}{
		"nothing":                 {"", "", "", ""},
		"other words":             {"a link", "the link", "", ""},
		"a new optional member":   {`"link": {`, `"more": {"type": "string"}, "link": {`, "", ""},
		"a member newly required": {`["link"]`, `["link", "scopes"]`, "scopes: is newly required", ""},
		"a new required member":   {`["link"], "properties": {`, `["link", "more"], "properties": {"more": {"type": "string"}, `, "more: is newly required", ""},
		"no longer required":      {`"required": ["link"], `, "", "", "link: was always there and may now be missing"},
		"a removed member":        {`"style": {"type": "string", "enum": ["a", "b"]},`, "", "style: was removed", "style: was removed"},
		"a renamed member":        {`"style": {`, `"way": {`, "style: was removed", "style: was removed"},
		"a changed type":          {`"scopes": {"type": ["array", "null"], "items": {"type": "string"}}`, `"scopes": {"type": "string"}`, "scopes: the type was", "scopes: the type was"},
		"a changed type of items": {`"items": {"type": "string"}`, `"items": {"type": "integer"}`, "scopes[]: the type was", "scopes[]: the type was"},
		"a changed type of more":  {`"additionalProperties": {"type": "string"}`, `"additionalProperties": {"type": "integer"}`, "params.*: the type was", "params.*: the type was"},
		"null no longer":          {`["array", "null"]`, `"array"`, "scopes: the type was", "scopes: the type was"},
		"one value more":          {`["a", "b"]`, `["a", "b", "c"]`, "", "style: enum was"},
		"one value less":          {`["a", "b"]`, `["a"]`, "style: enum was", "style: enum was"},
		"a new enum":              {`"type": "string", "format": "uuid"`, `"type": "string", "format": "uuid", "enum": ["x"]`, "link: enum was", "link: enum was"},
		"another format":          {`"format": "uuid"`, `"format": "uri"`, "link: format was", "link: format was"},
		"a new pattern":           {`"format": "uuid"`, `"format": "uuid", "pattern": "^x"`, "link: pattern was", "link: pattern was"},
		"a higher minimum":        {`"minimum": 0`, `"minimum": 1`, "try.n: minimum was", "try.n: minimum was"},
		"nested, required":        {`["n"]`, `["n", "again"]`, "try.again: is newly required", ""},
		"nested, not required":    {`"required": ["n"], `, "", "", "try.n: was always there"},
		"another alternative":     {`{"type": "string"}, {"type": "object"}`, `{"type": "string"}`, "secret: oneOf was", "secret: oneOf was"},
	} {
		changed := strings.Replace(released, tt.replace, tt.by, 1)
		if tt.replace != "" && changed == released {
			t.Errorf("%s: nothing was changed", name)
		}
		for want, got := range map[*string][]string{
			&tt.input:  contract.Incompatible(parse(t, released), parse(t, changed), true),
			&tt.output: contract.Incompatible(parse(t, released), parse(t, changed), false),
		} {
			all := strings.Join(got, "\n")
			if (*want == "") != (all == "") || !strings.Contains(all, *want) {
				t.Errorf("%s: said %q, not %q", name, all, *want)
			}
		}
	}
	open := strings.Replace(released, `"additionalProperties": false, `, "", 1)
	if got := contract.Incompatible(parse(t, open), parse(t, released), true); len(got) != 1 || !strings.Contains(got[0], "newly refused") {
		t.Errorf("unknown members are refused at once: %q", got)
	}
	if got := contract.Incompatible(parse(t, released), parse(t, open), true); len(got) != 0 {
		t.Errorf("unknown members are taken: %q", got)
	}
}

func parse(t *testing.T, s string) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatal(err)
	}
	return m
}
