package commands_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/testenv"
)

// door sends commands to a service on a real log.
type door struct {
	*commands.Service
	t *testing.T
}

func open(t *testing.T) door {
	t.Helper()
	return door{testenv.Node(t, testenv.NATS(t), t.TempDir(), "a", "commands").Commands, t}
}

type members map[string]any

// with is m with more members, and others in the place of its own.
func (m members) with(more members) members {
	all := members{}
	for _, from := range []members{m, more} {
		for k, v := range from {
			all[k] = v
		}
	}
	return all
}

func (d door) run(name string, m members) (commands.Outcome, error) {
	d.t.Helper()
	body, err := json.Marshal(m)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.Run(d.t.Context(), name, commands.Door{}, body)
}

func (d door) must(name string, m members) commands.Outcome {
	d.t.Helper()
	out, err := d.run(name, m)
	if err != nil {
		d.t.Fatalf("%s: %v", name, err)
	}
	return out
}

// refused expects a refusal with a code and some words of its message.
func (d door) refused(name string, m members, code domain.Code, says string) {
	d.t.Helper()
	if out, err := d.run(name, m); domain.CodeOf(err) != code || !strings.Contains(domain.Public(err).Message, says) {
		d.t.Errorf("%s %v: %+v, %v; want %s with %q", name, m, out, err, code, says)
	}
}

// valid is a link that may be created.
var valid = members{
	"name": "crm", "provider": "custom", "client_id": "id", "client_secret": "s3cret", "scopes": []string{"a"}, "auth_style": "basic",
	"authorization_endpoint": "https://login.example.com/authorize", "token_endpoint": "https://login.example.com/token",
}

// What a command about a grant is refused for says what there is not: the link, the
// grant, or a subject like that.
func TestNoSuchGrant(t *testing.T) {
	d := open(t)
	id, unknown := d.must("CreateOutgoingLink", valid).Link, uuid.NewString()
	for _, name := range []string{"RequestRefresh", "ReportTokenRejected", "SuspendGrant", "ResumeGrant", "RevokeGrant"} {
		m := members{"link_id": id}
		if name == "ReportTokenRejected" {
			m["generation"] = 1
		}
		d.refused(name, m.with(members{"link_id": unknown}), domain.NotFound, "link "+unknown+" does not exist")
		d.refused(name, m, domain.NotFound, "authorize the link first")
		for _, subject := range []string{"a\nb", "a\u202eb", strings.Repeat("x", 5000)} {
			d.refused(name, m.with(members{"subject": subject}), domain.InvalidArgument, "200 printable characters")
		}
	}
}

// An import is held to what a link is held to: what could not be sent, or ended before,
// is refused, and what is taken comes back as it was.
func TestImport(t *testing.T) {
	d := open(t)
	id := d.must("CreateOutgoingLink", valid).Link
	soon, never := time.Now().Add(time.Hour).UTC().Truncate(time.Second), "9999-12-31T00:00:00Z"
	whole := members{"link_id": id, "access_token": "at", "refresh_token": "rt", "expires_at": soon}
	for _, tt := range []struct {
		says string
		m    members
	}{
		{"access_token has", members{"access_token": "at\r\nX: y"}},
		{"access_token has", members{"access_token": "a t"}},
		{"access_token has", members{"access_token": "ät"}},
		{"refresh_token has", members{"refresh_token": "a\nb"}},
		{`token_type "mac"`, members{"token_type": "mac"}},
		{`token_type "Bearer`, members{"token_type": "Bearer\r\nX: y"}},
		{"stays where the", members{"token_type": "dpop"}},
		{`scopes have "a b"`, members{"scopes": []string{"a b"}}},
		{`scopes have ""`, members{"scopes": []string{""}}},
		{"200 printable", members{"subject": "  "}},
		{"leave it out", members{"refresh_token_expires_at": never}},
		{"which is over", members{"refresh_token_expires_at": "2001-01-01T00:00:00Z"}},
		{"expires_at is 2001", members{"refresh_token": nil, "expires_at": "2001-01-01T00:00:00Z"}},
	} {
		d.refused("RecordTokenIssued", whole.with(tt.m), domain.InvalidArgument, tt.says)
	}
	key := domain.Key{Link: id, Grant: d.must("RecordTokenIssued", whole.with(members{"token_type": "bearer", "refresh_token_expires_at": soon})).Grant}
	at, err := d.Grants.Load(t.Context(), key)
	if c := at.State.Credential; err != nil || c.TokenType != "Bearer" || !c.RefreshTokenExpiresAt.Equal(soon) || !c.ExpiresAt.Equal(soon) {
		t.Errorf("%+v, %v", c, err)
	}
	d.must("RecordTokenIssued", whole.with(members{"subject": "due", "expires_at": "2001-01-01T00:00:00Z"})) // it is renewed
	d.must("RecordTokenIssued", whole.with(members{"subject": "long", "refresh_token": "a b", "refresh_token_expires_at": "2199-01-01T00:00:00Z"}))
}

// A new name is none that people take for another's; a link that has one keeps it
// until it is renamed.
func TestNames(t *testing.T) {
	d := open(t)
	id := d.must("CreateOutgoingLink", valid).Link
	for _, name := range []string{" crm", "crm ", "crm\u00a0", "c\u200brm", "\u202ecrm", "c\u2028rm", "c\x07rm"} {
		m := members{"name": name}
		d.refused("CreateOutgoingLink", valid.with(m), domain.InvalidArgument, "name")
		d.refused("UpdateOutgoingLink", m.with(members{"link_id": id}), domain.InvalidArgument, "name")
	}
	d.must("UpdateOutgoingLink", members{"link_id": id, "name": "Ünïcode für 日本　語 #1"})
	old := uuid.New()
	config := valid.with(members{"name": " old "})
	d.before(old, config)
	d.must("UpdateOutgoingLink", members{"link_id": old, "client_id": "other", "name": " old "})
	d.must("UpdateOutgoingLink", members{"link_id": old, "scopes": []string{"b"}})
	d.must("UpdateOutgoingLink", members{"link_id": old, "name": "new"})
}

// before is a link that was created before its name was looked at.
func (d door) before(id uuid.UUID, m members) {
	d.t.Helper()
	body, _ := json.Marshal(m)
	var e link.Created
	if err := json.Unmarshal(body, &e.Config); err != nil {
		d.t.Fatal(err)
	}
	e.SecretGeneration, e.At, e.RedirectURL = 1, time.Now(), "https://outlink.example.com/oauth/callback/"+id.String()
	if _, err := d.Links.Append(d.t.Context(), domain.Key{Link: id}, commands.Loaded[link.State]{}, e, commands.Meta{Time: time.Now(), Actor: "test"}); err != nil {
		d.t.Fatal(err)
	}
}

// What proves the client must fit before the link says that it is used: a password is
// no key, and none does not go away.
func TestAuthStyleThatTheSecretDoesNotFit(t *testing.T) {
	d := open(t)
	id := d.must("CreateOutgoingLink", valid).Link
	update := func(style string) members { return members{"link_id": id, "name": "other", "auth_style": style} }
	d.refused("UpdateOutgoingLink", update("none"), domain.InvalidArgument, "one that has a secret keeps it")
	d.refused("UpdateOutgoingLink", update("private_key_jwt"), domain.InvalidArgument, "replace the client secret")
	d.refused("UpdateOutgoingLink", update("tls_client_auth"), domain.InvalidArgument, "replace the client secret")
	d.must("CreateOutgoingLink", valid.with(members{"name": "other"})) // nothing was reserved
	d.must("UpdateOutgoingLink", members{"link_id": id, "auth_style": "body"})
	d.refused("ReplaceClientSecret", members{"link_id": id, "client_secret": signingKey(t)}, domain.InvalidArgument, "would be sent to the provider")
	link := members{"link_id": id}
	for _, to := range [][2]string{{"private_key_jwt", signingKey(t)}, {"basic", "a password"}} { // there and back
		d.must("DisableLink", link)
		d.must("UpdateOutgoingLink", link.with(members{"auth_style": to[0]}))
		d.must("ReplaceClientSecret", link.with(members{"client_secret": to[1]}))
		d.must("EnableLink", link)
	}
	d.must("UpdateOutgoingLink", link.with(members{"auth_style": "body"}))
	d.must("DisableLink", link)
	d.must("UpdateOutgoingLink", link.with(members{"auth_style": "private_key_jwt"}))
	d.refused("EnableLink", link, domain.InvalidArgument, "replace the client secret")

	moved := uuid.New() // without its secret
	d.before(moved, valid.with(members{"name": "moved"}))
	d.must("UpdateOutgoingLink", members{"link_id": moved, "auth_style": "private_key_jwt"})
	d.must("ReplaceClientSecret", members{"link_id": moved, "client_secret": signingKey(t)})
}

func signingKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// A provider is named when it is missing. Another link need not be there yet: of two that
// are submitted the second may be run first.
func TestWhatALinkRefersTo(t *testing.T) {
	d := open(t)
	d.refused("CreateOutgoingLink", valid.with(members{"provider": ""}), domain.InvalidArgument, "provider is missing")
	d.refused("CreateOutgoingLink", valid.with(members{"provider": "gogle"}), domain.InvalidArgument, `"gogle" is not in the catalogue`)

	d.must("CreateOutgoingLink", valid.with(members{
		"grant_types": []string{"urn:ietf:params:oauth:grant-type:token-exchange"}, "exchange": members{"subject_link_id": uuid.NewString()},
	}))
}
