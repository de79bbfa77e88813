package contract

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
)

// dialect is the JSON Schema version of every schema.
const dialect = "https://json-schema.org/draft/2020-12/schema"

// schema is a JSON Schema, or a part of one.
type schema = map[string]any

// Schema is the message's own JSON Schema, with all that it refers to.
func (m Message) Schema(p Prose) map[string]any {
	g := newGenerator("#/$defs/", p)
	s := g.whole(m)
	s["$schema"] = dialect
	s["title"] = m.ID
	defs := g.components(func(reflect.Type) bool { return m.Input })
	delete(defs, componentName(m.Type, ""))
	if len(defs) > 0 {
		s["$defs"] = defs
	}
	return s
}

// generator makes schemas that refer to each other.
type generator struct {
	registry huma.Registry
	prefix   string
	prose    Prose
}

func newGenerator(prefix string, p Prose) generator {
	r := huma.NewMapRegistry(prefix, componentName)
	r.RegisterTypeAlias(reflect.TypeFor[uuid.UUID](), reflect.TypeFor[idSchema]())
	r.RegisterTypeAlias(reflect.TypeFor[domain.SecretInput](), reflect.TypeFor[secretSchema]())
	r.RegisterTypeAlias(reflect.TypeFor[domain.Code](), reflect.TypeFor[codeSchema]())
	r.RegisterTypeAlias(reflect.TypeFor[link.AuthStyle](), reflect.TypeFor[authStyleSchema]())
	return generator{registry: r, prefix: prefix, prose: p}
}

// whole is a message's schema, not a reference to it.
func (g generator) whole(m Message) schema {
	return g.finish(g.registry.Schema(m.Type, false, ""), m.Type, m.Input)
}

// ref refers to a message's schema and makes sure that it is there.
func (g generator) ref(m Message) schema {
	g.registry.Schema(m.Type, true, "")
	return schema{"$ref": g.prefix + componentName(m.Type, "")}
}

// components are all schemas referred to so far, by name.
func (g generator) components(input func(reflect.Type) bool) map[string]any {
	all := map[string]any{}
	for name, s := range g.registry.Map() {
		t := g.registry.TypeFromRef(g.prefix + name)
		all[name] = g.finish(s, t, input(t))
	}
	return all
}

// finish adds what doc comments say. What Outlink reads refuses unknown members,
// as its decoder does; what it writes allows them, so that it may say more later.
func (g generator) finish(from *huma.Schema, t reflect.Type, input bool) schema {
	s := asMap(from)
	if s["additionalProperties"] == false && !input {
		delete(s, "additionalProperties")
	}
	if doc := g.prose.Type(t); doc != "" {
		s["description"] = doc
	}
	properties, _ := s["properties"].(map[string]any)
	for _, f := range Members(t) {
		p, ok := properties[f.Name].(map[string]any)
		if doc := g.prose.Member(f); ok && doc != "" {
			p["description"] = doc
		}
		if ok && input {
			maps.Copy(p, limits[f.path()])
		}
		if !input && f.Field.Type != reflect.TypeFor[domain.Code]() {
			delete(p, "enum") // but for error codes, there may be more one day
		}
	}
	if t == reflect.TypeFor[commands.RecordTokenIssued]() { // a token, and an access token alone needs its end
		s["anyOf"] = []any{schema{"required": []any{"refresh_token"}}, schema{"required": []any{"access_token", "expires_at"}}}
	}
	return s
}

func asMap(v any) map[string]any {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a schema is plain data
	}
	var m map[string]any
	_ = json.Unmarshal(b, &m)
	return m
}

// Member is a member of a JSON object and the field that it comes from.
type Member struct {
	Name  string
	Field reflect.StructField
	Owner reflect.Type // the struct that declares it
}

func (m Member) path() string { return path(m.Owner) + "." + m.Field.Name }

// Members are the members of a struct's JSON, in the order of its fields.
func Members(t reflect.Type) []Member {
	if t.Kind() != reflect.Struct {
		return nil
	}
	var all []Member
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "-" || name == "" {
			continue
		}
		owner := t
		for _, i := range f.Index[:len(f.Index)-1] {
			owner = owner.Field(i).Type
		}
		all = append(all, Member{Name: name, Field: f, Owner: owner})
	}
	return all
}

// componentName names a type's schema. Events and other things of an aggregate
// are named after it too: many aggregates have something that is Created.
func componentName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for _, aggregate := range []string{"link", "grant", "name"} {
		if strings.HasSuffix(t.PkgPath(), "/domain/"+aggregate) {
			return strings.ToUpper(aggregate[:1]) + aggregate[1:] + name
		}
	}
	return name
}

type idSchema struct{}

func (idSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "uuid"}
}

type codeSchema struct{}

func (codeSchema) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, c := range domain.Codes() {
		s.Enum = append(s.Enum, string(c))
	}
	return s
}

type authStyleSchema struct{}

func (authStyleSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: []any{string(link.Basic), string(link.Body), string(link.None)}}
}

// secretSchema is [domain.SecretInput] in both its forms.
type secretSchema struct{}

func (secretSchema) Schema(huma.Registry) *huma.Schema {
	some := 1
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeString, Description: "In clear: taken by the request door and over HTTP, refused by the submit door."},
		{
			Type: huma.TypeObject, Description: "Sealed to the curve key that outlink.info gives (nkeys xkey).",
			Required: []string{"from", "ciphertext"}, AdditionalProperties: false,
			Properties: map[string]*huma.Schema{
				"from":       {Type: huma.TypeString, MinLength: &some, Description: "The sender's public curve key, “X…”."},
				"ciphertext": {Type: huma.TypeString, MinLength: &some, ContentEncoding: "base64"},
			},
		},
	}}
}
