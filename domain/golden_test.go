package domain_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/name"
)

// update writes the golden files anew; internal/contract writes the schemas, and
// keeps what was released. That is history: change an event only by a new version
// with an upcaster.
var update = flag.Bool("update", false, "write golden files")

var (
	id = uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	at = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)

	config = link.Config{
		Name: "crm", Provider: "custom", ClientID: "client", Scopes: []string{"a", "b"},
		AuthorizationEndpoint: "https://op.example/authorize", TokenEndpoint: "https://op.example/token",
		RevocationEndpoint: "https://op.example/revoke", Issuer: "https://op.example", AuthStyle: link.Basic,
		AuthorizationParams: map[string]string{"prompt": "consent"}, RedirectURL: "https://outlink.example/oauth/callback/x",
		Resources: []string{"https://api.example"}, GrantTypes: []link.GrantType{link.AuthorizationCode, link.ClientCredentials},
		DeviceEndpoint: "https://op.example/device", PushEndpoint: "https://op.example/par", DPoP: true,
		Exchange: link.Exchange{
			Link: id, Subject: "anna", SubjectTokenType: link.AccessTokenType, RequestedTokenType: link.AccessTokenType, Audience: "https://api.example",
		},
		Assertion: link.Assertion{Issuer: "client", Subject: "robot", Audience: "https://op.example", NoSubject: true, Scopes: link.InAssertion, Alone: true},
	}

	links = []link.Event{
		link.Created{Config: config, SecretGeneration: 1, At: at},
		link.Updated{Config: config, At: at},
		link.ClientSecretReplaced{Generation: 2, At: at},
		link.Degraded{Reason: link.ClientRejected, ProviderCode: "invalid_client", At: at},
		link.Recovered{At: at},
		link.Disabled{Reason: "audit", At: at},
		link.Enabled{Reason: "audit over", At: at},
		link.Deleted{Reason: "unused", At: at},
	}

	grants = []grant.Event{
		grant.AuthorizationBegun{
			Authorization: id, Subject: "default", ConfigVersion: 1, RedirectURL: config.RedirectURL,
			AuthorizationEndpoint: config.AuthorizationEndpoint, TokenEndpoint: config.TokenEndpoint, Issuer: config.Issuer,
			Device: true, ExpiresAt: at.Add(10 * time.Minute), At: at,
		},
		grant.AuthorizationConsumed{Authorization: id, At: at},
		grant.AuthorizationFailed{Authorization: id, Reason: grant.AuthorizationDenied, ProviderCode: "access_denied", At: at},
		grant.TokenIssued{
			Exchange: id, Subject: "default", Cause: grant.ByRefresh, Generation: 2, From: 1, TokenType: "Bearer", Scopes: []string{"a"},
			ReceivedAt: at, ExpiresAt: at.Add(time.Hour), ExpiryAssumed: true, RefreshAt: at.Add(40 * time.Minute), Refreshable: true,
			Rotated: true, RefreshTokenHash: "0123456789abcdef", RefreshTokenExpiresAt: at.Add(24 * time.Hour),
			ConsentEndsAt: at.Add(24 * time.Hour), ClientID: "client", Fallback: true,
		},
		grant.TokenRequested{Subject: "default", GrantType: link.ClientCredentials, At: at},
		grant.FallbackKept{Attempt: id, Generation: 2, RefreshTokenHash: "0123456789abcdef", ReceivedAt: at, At: at},
		grant.RefreshRequested{Generation: 2, Reason: "a reader needs a token", Rejected: true, Resend: true, At: at},
		grant.RefreshStarted{Attempt: id, Generation: 2, Node: "n1", Boot: id, Journal: id, LeaseSeconds: 240, TakeoverOf: id, At: at},
		grant.RefreshDeferred{Attempt: id, Reason: grant.RateLimited, ProviderCode: "slow_down", HTTPStatus: 429, Requests: 2, Unknown: 1, RetryAt: at.Add(time.Minute), At: at},
		grant.RefreshUnreadable{Attempt: id, HTTPStatus: 200, Problem: "the answer is successful and cannot be read", At: at},
		grant.RefreshStalled{Since: at, Last: grant.Transient, At: at.Add(24 * time.Hour)},
		grant.ReauthorizationDueSoon{Days: 14, EndsAt: at.Add(14 * 24 * time.Hour), At: at},
		grant.ReauthorizationRequired{Attempt: id, Reason: grant.GrantInvalid, ProviderCode: "invalid_grant", At: at},
		grant.Suspended{Reason: "audit", At: at},
		grant.Resumed{Reason: "audit over", At: at},
		grant.Revoked{Reason: "left", At: at},
		grant.Erased{RevokedAtProvider: true, Problem: "none", At: at},
	}

	names = []name.Event{name.Reserved{Name: "crm", Link: id, At: at}}
)

// Every event's name and JSON stand in a file: old ones decode for ever, and
// each fits its schema.
func TestEventsAreWhatTheyWere(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range links {
		golden(t, link.Kinds.Type(e), e, func(typ string, b []byte) (any, error) { return link.Kinds.Decode(typ, b) })
		seen[link.Kinds.Type(e)] = true
	}
	for _, e := range grants {
		golden(t, grant.Kinds.Type(e), e, func(typ string, b []byte) (any, error) { return grant.Kinds.Decode(typ, b) })
		seen[grant.Kinds.Type(e)] = true
	}
	for _, e := range names {
		golden(t, name.Kinds.Type(e), e, func(typ string, b []byte) (any, error) { return name.Kinds.Decode(typ, b) })
		seen[name.Kinds.Type(e)] = true
	}
	for _, typ := range append(append(link.Kinds.Types(), grant.Kinds.Types()...), name.Kinds.Types()...) {
		if !seen[typ] {
			t.Errorf("%s has no golden file", typ)
		}
	}
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil || len(files) != len(seen) {
		t.Errorf("%d golden files for %d events, %v: an event was removed or renamed", len(files), len(seen), err)
	}
}

func golden(t *testing.T, typ string, e any, decode func(string, []byte) (any, error)) {
	t.Helper()
	file, schemaFile := filepath.Join("testdata", "events", typ+".json"), filepath.Join("schemas", typ+".json")
	encoded := indent(t, e)
	if *update {
		write(t, file, encoded)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encoded, want) {
		t.Errorf("%s encodes as\n%s\nand was\n%s", typ, encoded, want)
	}
	back, err := decode(typ, want)
	if err != nil || !reflect.DeepEqual(back, e) {
		t.Errorf("%s decodes as %+v, %v", typ, back, err)
	}
	compiled, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(instance); err != nil {
		t.Errorf("%s does not fit its schema: %v", typ, err)
	}
	if compiled.Validate(map[string]any{}) == nil {
		t.Errorf("the schema of %s takes anything", typ)
	}
}

func indent(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func write(t *testing.T, file string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
