package contract

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/queries"
)

// Pages are the files of docs/reference in Markdown, by path. example returns
// the committed example of a message, by its path below domain/testdata.
func Pages(p Prose, example func(path string) string) map[string]string {
	pages := map[string]string{"README.md": p.index()}
	for _, c := range Commands() {
		name := c.Type.Name()
		pages["commands/"+name+".md"] = p.commandPage(c, example("commands/"+name+".json"))
	}
	for _, e := range Events() {
		pages["events/"+e.ID+".md"] = p.eventPage(e, example("events/"+e.ID+".json"))
	}
	answers := Answers()
	for i, q := range Questions() {
		pages["queries/"+q.Type.Name()+".md"] = p.queryPage(q, answers[i])
	}
	return pages
}

const made = "<!-- Made from the Go types by internal/contract; do not edit. -->\n"

func (p Prose) commandPage(c Message, example string) string {
	name := c.Type.Name()
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %s\n\n%s\n\n", made, name, p.about(c.Type))
	fmt.Fprintf(&b, "| door | address |\n|---|---|\n")
	fmt.Fprintf(&b, "| request, answered by the [outcome](../README.md#outcome) | `%s` |\n", namespace.Command(name))
	fmt.Fprintf(&b, "| durable, by JetStream; secrets sealed | `%s` |\n", namespace.Submit(name))
	fmt.Fprintf(&b, "| HTTP | `POST /api/v1/commands/%s` |\n\n", name)
	b.WriteString(schemaLine("Schema", c))
	b.WriteString("## Members\n\n" + p.members(c))
	b.WriteString("\n## Errors\n\n| code | meaning |\n|---|---|\n")
	for _, v := range p.Values["outlink/domain.Code"] {
		if slices.Contains(p.Errors[name], v.Value) {
			fmt.Fprintf(&b, "| `%s` | %s |\n", v.Value, v.Text)
		}
	}
	b.WriteString("\nBesides these, any command may be answered with one of the [other codes](../README.md#errors).\n")
	fmt.Fprintf(&b, "\n## Example\n\n```json\n%s```\n", example)
	return b.String()
}

func (p Prose) eventPage(e Message, example string) string {
	aggregate := strings.Split(e.ID, ".")[1]
	subject := map[string]string{"link": ".events.link.LINK", "grant": ".events.grant.LINK.GRANT", "name": ".events.name.NAME"}[aggregate]
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %s\n\n%s\n\n", made, e.ID, p.Type(e.Type))
	fmt.Fprintf(&b, "Subject: `%s%s`, in the stream `%s`. The header `ce-type` is the name above.\n\n", namespace, subject, namespace.Events())
	b.WriteString(schemaLine("Schema", e))
	fmt.Fprintf(&b, "## Members\n\n%s\n## Example\n\n```json\n%s```\n", p.members(e), example)
	return b.String()
}

func schemaLine(what string, m Message) string {
	return fmt.Sprintf("%[1]s: [%[2]s](../../../domain/schemas/%[2]s.json), which a node serves as `/schemas/%[2]s.json`.\n\n", what, m.ID)
}

// members is a table of a message's members, the required ones first.
func (p Prose) members(m Message) string {
	s := m.Schema(p)
	required, properties := set(s["required"]), s["properties"].(map[string]any)
	all := Members(m.Type)
	slices.SortStableFunc(all, func(a, b Member) int {
		if required[a.Name] == required[b.Name] {
			return 0
		} else if required[a.Name] {
			return -1
		}
		return 1
	})
	var b strings.Builder
	b.WriteString("| member | type | required | meaning |\n|---|---|---|---|\n")
	for _, f := range all {
		need := ""
		if required[f.Name] {
			need = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, typeWords(properties[f.Name].(map[string]any)), need, cell(p.Member(f)))
	}
	if s["anyOf"] != nil {
		b.WriteString("\nAt least `refresh_token`, or `access_token` with `expires_at`, is required too.\n")
	}
	return b.String()
}

func cell(s string) string { return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s) }

func typeWords(s schema) string {
	switch {
	case s["maxLength"] != nil:
		return fmt.Sprintf("%s, at most %v characters", s["type"], s["maxLength"])
	case s["maximum"] != nil:
		return fmt.Sprintf("%s, at most %v", s["type"], s["maximum"])
	case s["oneOf"] != nil:
		return "string, or sealed `{from, ciphertext}`"
	case s["format"] == "uuid":
		return "UUID"
	case s["format"] == "date-time":
		return "time (RFC 3339)"
	case s["items"] != nil:
		return "list of " + typeWords(s["items"].(map[string]any))
	case s["$ref"] != nil, s["additionalProperties"] != nil:
		return "object"
	}
	if s["type"] == nil {
		return "any JSON"
	}
	return fmt.Sprint(s["type"])
}

func (p Prose) index() string {
	var b strings.Builder
	b.WriteString(made + `# Reference

What goes through Outlink's doors. All of it is made from the Go types and held against them by tests.

| document | served as | printed by |
|---|---|---|
| [openapi.yaml](openapi.yaml): HTTP | ` + "`/openapi.yaml`" + ` | ` + "`outlink schema openapi`" + ` |
| [asyncapi.yaml](asyncapi.yaml): NATS | ` + "`/asyncapi.yaml`" + ` | ` + "`outlink schema asyncapi`" + ` |
| [JSON Schemas](../../domain/schemas), draft 2020-12 | ` + "`/schemas/NAME.json`" + ` | ` + "`outlink schema events`, `outlink schema commands`" + ` |

A schema's name ends in its version. Under one version, what Outlink reads never demands more, and what it writes never says less: a
test compares each schema with the released one. What it reads refuses unknown members; whoever reads what it writes must allow them.

`)
	b.WriteString("## Commands\n\n| command | what it does |\n|---|---|\n")
	for _, c := range Commands() {
		fmt.Fprintf(&b, "| [%[1]s](commands/%[1]s.md) | %[2]s |\n", c.Type.Name(), first(p.Type(c.Type)))
	}
	fmt.Fprintf(&b, "\nA command has %d bytes at most, by any door.\n", commands.MaxSize)
	b.WriteString("\n## Outcome\n\n" + p.Type(Outcome.Type) + "\n\n" + p.members(Outcome))
	b.WriteString("\n## Queries\n\n| query | what it does |\n|---|---|\n")
	for _, q := range Questions() {
		fmt.Fprintf(&b, "| [%[1]s](queries/%[1]s.md) | %[2]s |\n", q.Type.Name(), first(p.Type(q.Type)))
	}
	fmt.Fprintf(&b, `
Queries are answered by a read model, which follows the log. To read what you have just written, give the %[1]ssequence%[1]s of the
command's outcome as %[1]smin_sequence%[1]s, or say %[1]s"fresh": true%[1]s (over NATS alone) for all that the log has now: the answer waits for it,
%[2]s at most, and is %[1]s%[3]s%[1]s after that. A read model that has stopped is not waited for; then %[1]sstale%[1]s says why.
`, "`", queries.MaxWait, domain.Unavailable)
	b.WriteString("\n## Events\n\n| event | what happened |\n|---|---|\n")
	for _, e := range Events() {
		fmt.Fprintf(&b, "| [%[1]s](events/%[1]s.md) | %[2]s |\n", e.ID, first(p.Type(e.Type)))
	}
	fmt.Fprintf(&b, "\n## Notices\n\n%s Subject: `%s.notice.KIND.LINK`.\n\n%s", p.Type(Notice.Type), namespace, p.members(Notice))
	fmt.Fprintf(&b, "\n## Tokens\n\nA request to `%s` asks for an access token. All of it may be left out:\n\n%s\nThe reply, which is sealed for a reader that registered a curve key:\n\n%s",
		namespace.Token("LINK"), p.members(TokenRequest), p.members(TokenReply))
	b.WriteString("\n## Errors\n\n| code | meaning | HTTP status | exit code |\n|---|---|---|---|\n")
	for _, v := range p.Values["outlink/domain.Code"] {
		code := domain.Code(v.Value)
		fmt.Fprintf(&b, "| `%s` | %s | %d | %d |\n", v.Value, v.Text, code.HTTPStatus(), code.Exit())
	}
	fmt.Fprintf(&b, "\nTwo statuses over HTTP say more than their code, `%s`: %d for a wrong method, with the header `Allow`, and %d for a command that is too large.\n",
		domain.InvalidArgument, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge)
	b.WriteString("\nOver NATS the code is in the header `Nats-Service-Error-Code`, and the body is\n\n" + p.members(Error))
	b.WriteString("\n## Headers of an event\n\n| header | meaning |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(EventHeaders)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, EventHeaders[name])
	}
	return b.String()
}

// first is the first sentence.
func first(s string) string {
	if i := strings.Index(s, ". "); i > 0 {
		return s[:i+1]
	}
	return s
}
