package node_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/internal/queries"
)

// contracts holds what goes through the doors of a node against the committed
// schemas.
type contracts struct {
	*installation
	checked map[string]int
}

func (c contracts) fits(schema string, document []byte) {
	c.t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	s, err := compiler.Compile("../../domain/schemas/" + schema + ".json")
	if err != nil {
		c.t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		c.t.Fatalf("%s: %v in %s", schema, err, document)
	}
	if err := s.Validate(instance); err != nil {
		c.t.Errorf("%v\n%s", err, document)
	}
	c.checked[schema]++
}

// request sends a document that fits, and holds the reply, good or bad, against
// its own schema. It returns the error's code, if it is one.
func (c contracts) request(subject, question, answer, document string) domain.Code {
	c.t.Helper()
	c.fits(question, []byte(document))
	return c.ask(subject, answer, document)
}

func (c contracts) ask(subject, answer, document string) domain.Code {
	c.t.Helper()
	reply, err := c.nc.Request(subject, []byte(document), 20*time.Second)
	if err != nil {
		c.t.Fatalf("%s: %v", subject, err)
	}
	code := reply.Header.Get("Nats-Service-Error-Code")
	if code != "" {
		answer = "outlink.error.v1"
	}
	c.fits(answer, reply.Data)
	return domain.Code(code)
}

func (c contracts) command(name, document string) domain.Code {
	c.t.Helper()
	return c.request("outlink.command."+name, "outlink.command."+name+".v1", "outlink.outcome.v1", document)
}

// What a running node takes and answers is what the schemas say: commands of
// the required members alone, outcomes, errors, queries, tokens, events, and the
// answers over HTTP.
func TestTrafficFitsTheContract(t *testing.T) {
	c := contracts{start(t), map[string]int{}}
	o := newOP(t, 3600)
	id := c.createLink(o, "crm")
	only := func(members string, args ...any) string {
		return fmt.Sprintf(`{"link_id": %q`+members+`}`, append([]any{id.String()}, args...)...)
	}
	c.command("CreateOutgoingLink", `{"name": "g", "provider": "google", "client_id": "c"}`) // the provider wants more
	begun := c.do("BeginAuthorization", commands.BeginAuthorization{Header: commands.Header{CommandID: uuid.New()}, Link: id})
	jar, _ := cookiejar.New(nil)
	if status, page := browse(t, jar, begun.AuthorizationURL); status != http.StatusOK {
		t.Fatalf("the callback answered %d: %s", status, page)
	}
	c.request("outlink.token.get."+id.String(), "outlink.token.request.v1", "outlink.token.reply.v1", `{"min_ttl": "1s", "purpose": "test"}`)
	for _, step := range []struct{ command, document string }{
		{"RequestRefresh", only("")},
		{"ReportTokenRejected", only(`, "generation": 1`)},
		{"SuspendGrant", only("")},
		{"ResumeGrant", only(`, "subject": "default"`)},
		{"DisableLink", only("")},
		{"EnableLink", only(`, "reason": "test"`)},
		{"UpdateOutgoingLink", only(`, "name": "crm-2"`)},
		{"ReplaceClientSecret", only(`, "client_secret": %q`, clientSecret)},
		{"BeginAuthorization", only("")},
		{"RecordTokenIssued", only(`, "subject": "other", "refresh_token": "canary-r"`)},
		{"RecordTokenIssued", only(`, "subject": "third", "access_token": "canary-a", "expires_at": "2036-01-01T00:00:00Z"`)},
	} {
		if code := c.command(step.command, step.document); code != "" {
			t.Errorf("%s with what is required was refused: %s", step.command, code)
		}
	}
	g := grant.ID(id, "default").String()
	for query, document := range map[string]string{
		"ListProviders": `{}`, "RedirectURL": `{"provider": "google"}`, "ListLinks": `{"fresh": true}`, "CountLinks": `{}`,
		"ShowLink": `{"link": "crm-2", "fresh": true}`, "ListGrants": only(""), "ShowGrant": `{"grant_id": "` + g + `"}`,
		"ExplainGrant": `{"grant_id": "` + g + `"}`, "ProjectionStatus": `{}`, "ListEvents": only(`, "limit": 3`),
	} {
		if code := c.request("outlink.query."+query, "outlink.query."+query+".v1", "outlink.answer."+query+".v1", document); code != "" {
			t.Errorf("%s: %s", query, code)
		}
	}
	if got := len(queries.Names()); got != 10 {
		t.Errorf("%d queries; are all of them asked here?", got)
	}
	c.ask("outlink.info", "outlink.info.v1", "")
	c.http("/api/v1/links/"+id.String(), "outlink.answer.ShowLink.v1")
	c.http("/api/v1/links/"+uuid.NewString(), "outlink.problem.v1")
	c.command("RevokeGrant", only(""))
	c.command("DeleteLink", only(""))
	c.events()
	if c.checked["outlink.grant.token_issued.v1"] == 0 || c.checked["outlink.error.v1"] == 0 || len(c.checked) < 45 {
		t.Errorf("checked %d schemas: %v", len(c.checked), c.checked)
	}
}

func (c contracts) http(path, schema string) {
	c.t.Helper()
	res, err := http.Get(c.node.URL() + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	c.fits(schema, body)
}

// events holds every event so far against the schema of its type.
func (c contracts) events() {
	c.t.Helper()
	deleted := false
	c.eventually("deleted", func(r domain.Record) bool {
		c.fits(r.Type, r.Data)
		deleted = deleted || r.Type == "outlink.link.deleted.v1"
		return deleted
	})
}

// A command cannot do without what its schema requires: about a link and a grant
// that are there, each example is refused when a required member is missing. One
// with a member that is not known is, too.
func TestRequiredMembersAreRequired(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	id := i.createLink(o, "crm")
	i.do("RecordTokenIssued", map[string]any{"link_id": id, "refresh_token": "canary-r"})
	for _, name := range commands.Names() {
		example, err := os.ReadFile(filepath.Join("../../domain/testdata/commands", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := domain.Schemas.ReadFile("schemas/outlink.command." + name + ".v1.json")
		if err != nil {
			t.Fatal(err)
		}
		var s struct{ Required []string }
		if err := json.Unmarshal(schema, &s); err != nil || len(s.Required) == 0 {
			t.Fatalf("%s requires %v, %v", name, s.Required, err)
		}
		for _, missing := range append(s.Required, "") {
			var members map[string]any
			if err := json.Unmarshal(example, &members); err != nil {
				t.Fatal(err)
			}
			members["command_id"], members["link_id"] = uuid.NewString(), id
			delete(members, "expected_version")
			delete(members, "grant_id") // the subject says it
			delete(members, missing)
			if missing == "" {
				members["unknown"] = 1
			}
			err := i.c.Do(i.ctx(), name, members, &commands.Outcome{})
			if code := domain.CodeOf(err); err == nil || code != domain.InvalidArgument && code != domain.NotFound {
				t.Errorf("%s without %q: %v", name, missing, err)
			}
		}
	}
}
