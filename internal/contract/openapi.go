package contract

import (
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"outlink/internal/httpapi"
	"outlink/internal/queries"
)

// OpenAPI is the document of the HTTP API, as YAML.
func OpenAPI(p Prose) ([]byte, error) {
	g := newGenerator("#/components/schemas/", p)
	paths := map[string]document{}
	for _, r := range httpapi.Routes() {
		if strings.Contains(r.Path, "{command}") {
			for _, c := range Commands() {
				paths[strings.Replace(r.Path, "{command}", c.Type.Name(), 1)] = document{{strings.ToLower(r.Method), g.command(r, c)}}
			}
			continue
		}
		paths[r.Path] = document{{strings.ToLower(r.Method), g.operation(r)}}
	}
	var tags []document
	for _, name := range slices.Sorted(maps.Keys(httpapi.Tags)) {
		tags = append(tags, document{{"name", name}, {"description", httpapi.Tags[name]}})
	}
	problem := g.ref(Problem)
	return document{
		{"openapi", "3.1.0"},
		{"info", info("Outlink over HTTP", "Commands, queries and the pages that a person's browser comes by. Tokens are not served over HTTP, only over NATS.")},
		{"servers", []document{{{"url", "http://127.0.0.1:8480"}, {"description", "A node, where it listens unless configured otherwise."}}}},
		{"tags", tags},
		{"paths", paths},
		{"components", document{
			{"responses", document{{"Problem", document{
				{"description", "An error (RFC 9457); code is one of a closed set."},
				{"content", document{{"application/problem+json", document{{"schema", problem}}}}},
			}}}},
			{"schemas", g.components(inputs())},
		}},
	}.encode()
}

func (g generator) command(r httpapi.Route, c Message) document {
	name := c.Type.Name()
	return document{
		{"operationId", name},
		{"tags", []string{r.Tag}},
		{"summary", words(name)},
		{"description", g.prose.about(c.Type)},
		{"requestBody", document{{"required", true}, {"content", document{{"application/json", document{{"schema", g.ref(c)}}}}}}},
		{"responses", responses("The outcome.", http.StatusOK, "application/json", g.ref(Outcome))},
	}
}

func (g generator) operation(r httpapi.Route) document {
	d := document{{"operationId", r.ID}, {"tags", []string{r.Tag}}, {"summary", r.Summary}}
	description, answer := r.Means, schema{"type": "string"}
	question := map[string]Member{}
	if r.Query != "" {
		q, a := queries.Zero(r.Query)
		description, answer = g.prose.Type(reflect.TypeOf(q)), g.ref(Message{Type: reflect.TypeOf(a)})
		for _, m := range Members(reflect.TypeOf(q)) {
			question[m.Name] = m
		}
	}
	d = append(d, member{"description", description})
	if len(r.Params) > 0 {
		d = append(d, member{"parameters", g.parameters(r, question)})
	}
	media, status, means := r.Media, r.Status, "The answer."
	if media == "" {
		media = "application/json"
	}
	if media == "application/schema+json" || media == "application/yaml" {
		answer = schema{}
	}
	if status == 0 {
		status = http.StatusOK
	}
	if status == http.StatusSeeOther {
		means = "To the provider's authorization endpoint."
	}
	if r.Tag == "authorization" {
		return append(d, member{"responses", pages(means, status, answer)})
	}
	return append(d, member{"responses", responses(means, status, media, answer)})
}

func (g generator) parameters(r httpapi.Route, question map[string]Member) []document {
	var all []document
	for _, p := range r.Params {
		in := "query"
		if r.InPath(p) {
			in = "path"
		}
		typ, means := schema{"type": "string"}, p.Means
		if p.Number {
			typ = schema{"type": "integer", "format": "int64", "minimum": 0}
		}
		if r.Query != "" {
			asked := question[p.InQuestion()]
			means = g.prose.Member(asked)
			maps.Copy(typ, limits[asked.path()])
		}
		d := document{{"name", p.Name}, {"in", in}, {"description", means}, {"schema", typ}}
		if in == "path" {
			d = append(d, member{"required", true})
		}
		all = append(all, d)
	}
	return all
}

func responses(means string, status int, media string, s schema) document {
	return document{
		{strconv.Itoa(status), document{{"description", means}, {"content", document{{media, document{{"schema", s}}}}}}},
		{"default", document{{"$ref", "#/components/responses/Problem"}}},
	}
}

// pages are the responses of an address that a person's browser opens.
func pages(means string, status int, s schema) document {
	page := document{{"text/html", document{{"schema", s}}}}
	good := document{{"description", means}}
	if status == http.StatusSeeOther {
		good = append(good, member{"headers", document{{"Location", document{{"description", "The provider's authorization endpoint, with the request."}, {"schema", schema{"type": "string", "format": "uri"}}}}}})
	} else {
		good = append(good, member{"content", page})
	}
	return document{
		{strconv.Itoa(status), good},
		{"default", document{{"description", "A page that says what went wrong."}, {"content", page}}},
	}
}

var word = regexp.MustCompile(`[A-Z][a-z]+`)

// words is a name in words: DisableLink is "Disable link", RedirectURL "Redirect URL".
func words(name string) string {
	s := word.ReplaceAllStringFunc(name, func(w string) string { return " " + strings.ToLower(w) + " " })
	s = strings.Join(strings.Fields(s), " ")
	return strings.ToUpper(s[:1]) + s[1:]
}
