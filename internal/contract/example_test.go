package contract_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/advice"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/name"
	"outlink/domain/notice"
	"outlink/internal/contract"
	"outlink/internal/microapi"
)

var (
	id      = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	theLink = uuid.MustParse("0199a000-0000-7000-8000-000000000001")
	at      = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)
	version = uint64(3)

	header = commands.Header{CommandID: id, ExpectedVersion: &version, Actor: "user:anna", Correlation: "ticket-42", Reason: "audit"}
	which  = commands.GrantRef{Link: theLink, Subject: "default"}
	sealed = domain.SecretInput{Sealed: &domain.Sealed{From: "XDBO6PUUFHNAPFSSZVBMOSSIZVU5AQDLO4OT5FCQDMZDUKGBBMS4FIGR", Ciphertext: []byte("a sealed secret")}}
	style  = link.Basic

	exchange  = link.Exchange{Link: id, Subject: "anna", SubjectTokenType: link.AccessTokenType, RequestedTokenType: link.AccessTokenType, Audience: "https://api.example"}
	assertion = link.Assertion{Issuer: "client", Subject: "robot", Audience: "https://op.example", NoSubject: true, Scopes: link.InAssertion, Alone: true}
)

// commandExamples are one of each command, with all its members.
var commandExamples = map[string]any{
	"CreateOutgoingLink": commands.CreateOutgoingLink{
		Header: commands.Header{CommandID: id, Actor: "user:anna", Correlation: "ticket-42"}, Link: theLink, ClientSecret: sealed,
		Draft: commands.Draft{
			Name: "crm", Provider: "custom", ClientID: "client", Scopes: []string{"a", "b"}, AuthorizationEndpoint: "https://op.example/authorize",
			TokenEndpoint: "https://op.example/token", RevocationEndpoint: "https://op.example/revoke", Issuer: "https://op.example",
			AuthStyle: link.Basic, AuthorizationParams: map[string]string{"prompt": "consent"},
			DeviceEndpoint: "https://op.example/device", PushEndpoint: "https://op.example/par",
			Resources: []string{"https://api.example"}, GrantTypes: link.GrantTypes(), DPoP: true, Assertion: assertion, Exchange: exchange,
		},
	},
	"UpdateOutgoingLink": commands.UpdateOutgoingLink{
		Header: header, Link: theLink, Name: some("crm-2"), ClientID: some("client"), Scopes: []string{"a"},
		AuthorizationEndpoint: some("https://op.example/authorize"), TokenEndpoint: some("https://op.example/token"),
		RevocationEndpoint: some("https://op.example/revoke"), Issuer: some("https://op.example"), AuthStyle: &style,
		AuthorizationParams: &map[string]string{"prompt": "consent"},
		DeviceEndpoint:      some("https://op.example/device"), PushEndpoint: some("https://op.example/par"),
		Resources: &[]string{"https://api.example"}, GrantTypes: link.GrantTypes(), DPoP: some(true), Assertion: &assertion, Exchange: &exchange,
	},
	"ReplaceClientSecret": commands.ReplaceClientSecret{Header: header, Link: theLink, ClientSecret: sealed},
	"DisableLink":         commands.DisableLink{Header: header, Link: theLink},
	"EnableLink":          commands.EnableLink{Header: header, Link: theLink},
	"DeleteLink":          commands.DeleteLink{Header: header, Link: theLink},
	"BeginAuthorization":  commands.BeginAuthorization{Header: header, Link: theLink, Subject: "default", Device: true},
	"RequestToken":        commands.RequestToken{Header: header, Link: theLink, Subject: "default", GrantType: link.JWTBearer},
	"RecordTokenIssued": commands.RecordTokenIssued{
		Header: header, Link: theLink, Subject: "default", RefreshToken: sealed, AccessToken: sealed, TokenType: "Bearer",
		Scopes: []string{"a", "b"}, ExpiresAt: at.Add(time.Hour), RefreshTokenExpiresAt: at.Add(24 * time.Hour),
	},
	"RequestRefresh":      commands.RequestRefresh{Header: header, GrantRef: which, Generation: 2, Resend: true},
	"ReportTokenRejected": commands.ReportTokenRejected{Header: header, GrantRef: commands.GrantRef{Link: theLink, Grant: id}, Generation: 2},
	"SuspendGrant":        commands.SuspendGrant{Header: header, GrantRef: which},
	"ResumeGrant":         commands.ResumeGrant{Header: header, GrantRef: which},
	"RevokeGrant":         commands.RevokeGrant{Header: header, GrantRef: which},
}

// outcomeExamples are what else goes through the doors, each by the name of its
// file, which begins with its schema's.
var outcomeExamples = map[string]any{
	"outlink.outcome.v1.link": commands.Outcome{Link: theLink, Sequence: 7, Version: 1, Events: []string{"outlink.link.created.v1"}, RedirectURL: "https://outlink.example/oauth/callback/" + theLink.String()},
	"outlink.outcome.v1.authorization": commands.Outcome{
		Link: theLink, Grant: id, Sequence: 8, Version: 1, Events: []string{"outlink.grant.authorization_begun.v1"},
		AuthorizationURL: "https://outlink.example/oauth/start/" + theLink.String() + "?ticket=AZ", Authorization: id, ExpiresAt: some(at.Add(10 * time.Minute)),
	},
	"outlink.outcome.v1.nothing": commands.Outcome{Link: theLink, Sequence: 7, Version: 1, Events: []string{}},
	"outlink.error.v1":           *domain.Errorf(domain.Conflict, "it is at version 4, not at the expected 3; read it again and decide anew").With("version", 4.0),
	"outlink.token.request.v1":   microapi.TokenRequest{Subject: "default", MinTTL: "30s", MinSequence: 8, Purpose: "sync"},
	"outlink.token.request.v1.dpop": microapi.TokenRequest{
		DPoP: &microapi.ProofRequest{Method: "GET", URL: "https://api.example/me", Nonce: "eyJ7S_zG.eyJbjoz"},
	},
	"outlink.token.reply.v1":      microapi.TokenReply{AccessToken: "an access token", TokenType: "Bearer", ExpiresAt: at, Scopes: []string{"a"}, Generation: 2},
	"outlink.token.reply.v1.dpop": microapi.TokenReply{AccessToken: "an access token", TokenType: "DPoP", ExpiresAt: at, Scopes: []string{"a"}, Generation: 2, DPoPProof: "a proof"},
}

// noticeExamples are one of each kind of notice.
var noticeExamples = map[notice.Kind]notice.Notice{
	notice.ReauthorizationRequired: {Grant: id, Subject: "default", Reason: string(grant.GrantInvalid), ProviderCode: "invalid_grant"},
	notice.ReauthorizationDueSoon:  {Grant: id, Subject: "default", EndsAt: at.Add(14 * 24 * time.Hour)},
	notice.ReauthorizationHeld:     {},
	notice.TokenStale:              {Grant: id, Subject: "default", Reason: string(grant.Transient)},
	notice.RefreshStalled:          {Grant: id, Subject: "default", Reason: string(grant.Transient)},
	notice.AnswerUnreadable:        {Count: 6, Reason: "the answer is successful and cannot be read"},
	notice.LinkDegraded:            {Reason: string(link.ClientRejected), ProviderCode: "invalid_client"},
	notice.LinkRecovered:           {},
	notice.ProjectionStopped:       {Projection: "links", Reason: "projection links stopped before sequence 9 (outlink.link.painted.v1): unknown event type"},
	notice.ForeignMessage:          {Reason: "it has no message authentication code (MAC)"},
}

func some[T any](v T) *T { return &v }

// Every command has an example with each of its members, which decodes into the
// command that it was and fits the schema.
func TestCommandsAreWhatTheyWere(t *testing.T) {
	for _, m := range contract.Commands() {
		command := shortID(m)
		file, example := examples+"commands/"+command+".json", commandExamples[command]
		if example == nil {
			t.Errorf("%s has no example", command)
			continue
		}
		golden(t, file, schemas+m.ID+".json", example)
		members := parse(t, string(read(t, file)))
		for _, member := range contract.Members(m.Type) {
			if _, ok := members[member.Name]; !ok && !slices.Contains([]string{"expected_version", "reason", "grant_id", "subject"}, member.Name) {
				t.Errorf("the example of %s has no %s", command, member.Name)
			}
		}
	}
	only(t, examples+"commands/*.json", names(commandExamples))
}

// Outcomes, errors and tokens likewise.
func TestOutcomesAreWhatTheyWere(t *testing.T) {
	for name, example := range outcomeExamples {
		schema := name[:strings.Index(name, ".v1")+3]
		golden(t, examples+"outcomes/"+name+".json", schemas+schema+".json", example)
	}
	only(t, examples+"outcomes/*.json", names(outcomeExamples))
}

// Every kind of notice likewise.
func TestNoticesAreWhatTheyWere(t *testing.T) {
	all := map[string]any{}
	for kind, n := range noticeExamples {
		n.ID, n.Kind, n.Link, n.LinkName, n.At, n.Sequence = id, kind, theLink, "crm", at, 9
		n.Advice = advice.Advice{Why: "Why it is so.", Fix: "What a person can do."}
		all[string(kind)] = n
		golden(t, examples+"notices/"+string(kind)+".json", schemas+contract.Notice.ID+".json", n)
	}
	only(t, examples+"notices/*.json", names(all))
	for _, v := range prose().Values["outlink/workers/notice.Kind"] {
		if all[v.Value] == nil {
			t.Errorf("a notice of kind %s has no example", v.Value)
		}
	}
}

func names(m map[string]any) map[string]bool {
	all := map[string]bool{}
	for name := range maps.Keys(m) {
		all[name+".json"] = true
	}
	return all
}

func shortID(m contract.Message) string {
	return strings.TrimSuffix(m.ID[strings.LastIndexByte(strings.TrimSuffix(m.ID, ".v1"), '.')+1:], ".v1")
}

func golden(t *testing.T, file, schema string, example any) {
	t.Helper()
	same(t, file, indented(t, example))
	b := read(t, file)
	back := reflect.New(reflect.TypeOf(example))
	if err := strictly(b, back.Interface()); err != nil || !reflect.DeepEqual(back.Elem().Interface(), example) {
		t.Errorf("%s does not decode into what it was: %v", file, err)
	}
	if err := fits(t, schema, b); err != nil {
		t.Errorf("%s does not fit its schema: %v", file, err)
	}
}

func strictly(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// What was released keeps decoding, and fits the schema of today.
func TestReleasedExamples(t *testing.T) {
	if *release {
		keep(t)
	}
	checked := 0
	for folder, check := range map[string]func(name string, b []byte) (schema string, err error){
		"events": func(name string, b []byte) (string, error) { return name, decodeEvent(name, b) },
		"commands": func(name string, b []byte) (string, error) {
			return "outlink.command." + name + ".v1", strictly(b, reflect.New(reflect.TypeOf(commands.Zero(name))).Interface())
		},
		"notices": func(_ string, b []byte) (string, error) {
			return contract.Notice.ID, json.Unmarshal(b, &notice.Notice{})
		},
		"outcomes": func(name string, b []byte) (string, error) {
			id := name[:strings.Index(name, ".v1")+3]
			for _, m := range contract.Messages() {
				if m.ID == id {
					return id, json.Unmarshal(b, reflect.New(m.Type).Interface())
				}
			}
			return id, os.ErrNotExist
		},
	} {
		files, _ := filepath.Glob(released + folder + "/*.json")
		for _, file := range files {
			b := read(t, file)
			schema, err := check(strings.TrimSuffix(filepath.Base(file), ".json"), b)
			if err != nil {
				t.Errorf("%s no longer decodes: %v", file, err)
				continue
			}
			if err := fits(t, schemas+schema+".json", b); err != nil {
				t.Errorf("%s no longer fits: %v", file, err)
			}
			checked++
		}
	}
	if least := len(contract.Events()) + len(commandExamples) + len(noticeExamples) + len(outcomeExamples); checked < least {
		t.Errorf("%d released examples, of %d", checked, least)
	}
}

// keep copies the examples that were not released yet.
func keep(t *testing.T) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(examples), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(file, "released") {
			return err
		}
		if _, err := os.Stat(released + file); err == nil {
			return nil
		}
		write(t, released+file, read(t, examples+file))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func decodeEvent(typ string, b []byte) error {
	_, err1 := link.Kinds.Decode(typ, b)
	_, err2 := grant.Kinds.Decode(typ, b)
	_, err3 := name.Kinds.Decode(typ, b)
	if err1 != nil && err2 != nil && err3 != nil {
		return err1
	}
	return nil
}

// A secret is a string or a sealed object, and nothing else; unknown members of
// a command are refused, of an event they are not.
func TestWhatSchemasRefuse(t *testing.T) {
	for document, tt := range map[string]struct {
		schema string
		good   bool
	}{
		`{"link_id": "` + id.String() + `", "client_secret": "clear"}`:                                  {"outlink.command.ReplaceClientSecret.v1", true},
		`{"link_id": "` + id.String() + `", "client_secret": {"from": "X", "ciphertext": "YQ=="}}`:      {"outlink.command.ReplaceClientSecret.v1", true},
		`{"link_id": "` + id.String() + `", "client_secret": {"from": "X"}}`:                            {"outlink.command.ReplaceClientSecret.v1", false},
		`{"link_id": "` + id.String() + `", "client_secret": 7}`:                                        {"outlink.command.ReplaceClientSecret.v1", false},
		`{"link_id": "` + id.String() + `"}`:                                                            {"outlink.command.ReplaceClientSecret.v1", false},
		`{"link_id": "` + id.String() + `", "lnik_id": 1}`:                                              {"outlink.command.DisableLink.v1", false},
		`{"link_id": "` + id.String() + `"} `:                                                           {"outlink.command.DisableLink.v1", true},
		`{}`:                                                                                            {"outlink.command.DisableLink.v1", false},
		`{"link_id": "` + id.String() + `", "refresh_token": "r"}`:                                      {"outlink.command.RecordTokenIssued.v1", true},
		`{"link_id": "` + id.String() + `", "access_token": "a"}`:                                       {"outlink.command.RecordTokenIssued.v1", false},
		`{"link_id": "` + id.String() + `", "access_token": "a", "expires_at": "2026-11-23T12:00:00Z"}`: {"outlink.command.RecordTokenIssued.v1", true},
		`{"name": "crm", "provider": "google", "client_id": "c"}`:                                       {"outlink.command.CreateOutgoingLink.v1", true},
		`{"name": "crm", "provider": "google", "client_id": "c", "auth_style": "guess"}`:                {"outlink.command.CreateOutgoingLink.v1", false},
		`{"at": "2026-11-23T12:00:00Z", "more": true}`:                                                  {"outlink.link.recovered.v1", true},
		`{"more": true}`:                                 {"outlink.link.recovered.v1", false},
		`{"min_ttl": "30s", "more": true}`:               {"outlink.token.request.v1", false},
		`{"code": "conflict", "message": "", "more": 1}`: {"outlink.error.v1", true},
		`{"code": "oops", "message": ""}`:                {"outlink.error.v1", false},
	} {
		if err := fits(t, schemas+tt.schema+".json", []byte(document)); (err == nil) != tt.good {
			t.Errorf("%s for %s: %v", document, tt.schema, err)
		}
	}
}
