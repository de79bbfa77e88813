package oauth_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/catalogue"
	"outlink/internal/oauth"
)

func shipped(t *testing.T) provider.Catalogue {
	t.Helper()
	c, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// of is a registration at a provider of the catalogue whose token endpoint is ours.
func of(p provider.Provider, endpoint string) provider.Registration {
	r := at(endpoint)
	r.Provider, r.AuthStyle = p, p.AuthStyle
	if p.Key == provider.Custom {
		r.AuthStyle = link.Body
	}
	return r
}

const days = 24 * time.Hour

// What each provider of the catalogue answers to a refresh, read when it comes
// and read again from the journal.
func TestProviderAnswers(t *testing.T) {
	type row struct {
		key, name, body string
		status          int
		class           answer.Class
		code            string
		access, refresh string
		refreshLife     time.Duration
		scopes          string
	}
	rows := []row{
		{key: "custom", name: "RFC 6749", body: `{"access_token":"a","token_type":"Bearer","expires_in":60,"refresh_token":"r","scope":"x,y z"}`, class: answer.Issued, access: "a", refresh: "r", scopes: "x,y z"},
		{key: "custom", name: "Keycloak", body: `{"access_token":"a","token_type":"Bearer","refresh_token":"r","refresh_expires_in":1800}`, class: answer.Issued, access: "a", refresh: "r", refreshLife: 30 * time.Minute},
		{key: "custom", name: "Keycloak, offline", body: `{"access_token":"a","token_type":"Bearer","refresh_token":"r","refresh_expires_in":0}`, class: answer.Issued, access: "a", refresh: "r"},
		{key: "custom", name: "error none", body: `{"access_token":"a","error":"none"}`, class: answer.Issued, access: "a"},
		{key: "custom", name: "error false", body: `{"access_token":"a","error":false}`, class: answer.Issued, access: "a"},
		{key: "custom", name: "error empty", body: `{"access_token":"a","error":""}`, class: answer.Issued, access: "a"},
		{key: "custom", name: "error beside an empty token", body: `{"access_token":"","error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "custom", name: "error beside a token, refused", status: 400, body: `{"access_token":"a","error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "custom", name: "status is no code", status: 400, body: `{"status":"invalid_grant"}`, class: answer.Ambiguous},
		{key: "google", name: "renewed", body: `{"access_token":"a","expires_in":3599,"scope":"openid email","token_type":"Bearer"}`, class: answer.Issued, access: "a", scopes: "openid email"},
		{key: "google", name: "time-based access", body: `{"access_token":"a","refresh_token":"r","refresh_token_expires_in":604799,"token_type":"Bearer"}`, class: answer.Issued, access: "a", refresh: "r", refreshLife: 604799 * time.Second},
		{key: "google", name: "session control", status: 400, body: `{"error":"invalid_grant","error_subtype":"invalid_rapt"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "google", name: "deleted client", status: 401, body: `{"error":"deleted_client"}`, class: answer.ClientDeleted, code: "deleted_client"},
		{key: "google", name: "policy", status: 400, body: `{"error":"admin_policy_enforced"}`, class: answer.InteractionRequired, code: "admin_policy_enforced"},
		{key: "microsoft", name: "renewed", body: `{"token_type":"Bearer","scope":"User.Read Mail.Read","expires_in":3599,"access_token":"a","refresh_token":"r"}`, class: answer.Issued, access: "a", refresh: "r", scopes: "User.Read Mail.Read"},
		{key: "microsoft", name: "idle", status: 400, body: `{"error":"invalid_grant","error_codes":[700082]}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "microsoft", name: "sign-in frequency", status: 400, body: `{"error":"interaction_required","error_codes":[70043]}`, class: answer.InteractionRequired, code: "interaction_required"},
		{key: "microsoft", name: "expired secret", status: 401, body: `{"error":"invalid_client","error_codes":[7000222]}`, class: answer.ClientRejected, code: "invalid_client"},
		{key: "github", name: "renewed", body: `{"access_token":"a","expires_in":28800,"refresh_token":"r","refresh_token_expires_in":15897600,"scope":"repo,gist","token_type":"bearer"}`, class: answer.Issued, access: "a", refresh: "r", refreshLife: 184 * days, scopes: "repo gist"},
		{key: "github", name: "expiry off", body: `{"access_token":"a","scope":"","token_type":"bearer"}`, class: answer.Issued, access: "a"},
		{key: "github", name: "dead", body: `{"error":"bad_refresh_token"}`, class: answer.GrantInvalid, code: "bad_refresh_token"},
		{key: "github", name: "wrong secret", body: `{"error":"incorrect_client_credentials"}`, class: answer.ClientRejected, code: "incorrect_client_credentials"},
		{key: "gitlab", name: "renewed", body: `{"access_token":"a","token_type":"Bearer","expires_in":7200,"refresh_token":"r","created_at":1}`, class: answer.Issued, access: "a", refresh: "r"},
		{key: "gitlab", name: "dead", status: 400, body: `{"error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "slack", name: "bot", body: `{"ok":true,"access_token":"a","refresh_token":"r","expires_in":43200,"token_type":"bot","scope":"chat:write,users:read","authed_user":{"id":"U1"}}`, class: answer.Issued, access: "a", refresh: "r", scopes: "chat:write users:read"},
		{key: "slack", name: "user", body: `{"ok":true,"authed_user":{"id":"U1","access_token":"a","refresh_token":"r","expires_in":43200,"token_type":"user","scope":"search:read,im:read"}}`, class: answer.Issued, access: "a", refresh: "r", scopes: "search:read im:read"},
		{key: "slack", name: "both: the bot's", body: `{"ok":true,"access_token":"a","token_type":"bot","authed_user":{"access_token":"u","refresh_token":"s","token_type":"user"}}`, class: answer.Issued, access: "a"},
		{key: "slack", name: "dead", body: `{"ok":false,"error":"invalid_refresh_token"}`, class: answer.GrantInvalid, code: "invalid_refresh_token"},
		{key: "slack", name: "expired", body: `{"ok":false,"error":"token_expired"}`, class: answer.GrantInvalid, code: "token_expired"},
		{key: "slack", name: "wrong secret", body: `{"ok":false,"error":"bad_client_secret"}`, class: answer.ClientRejected, code: "bad_client_secret"},
		{key: "atlassian", name: "renewed", body: `{"access_token":"a","refresh_token":"r","expires_in":3600,"scope":"read:me offline_access","token_type":"Bearer"}`, class: answer.Issued, access: "a", refresh: "r", scopes: "read:me offline_access"},
		{key: "atlassian", name: "dead", status: 403, body: `{"error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "atlassian", name: "wrong secret", status: 401, body: `{"error":"access_denied"}`, class: answer.ClientRejected, code: "access_denied"},
		{key: "dropbox", name: "renewed", body: `{"access_token":"a","token_type":"bearer","expires_in":14400}`, class: answer.Issued, access: "a"},
		{key: "dropbox", name: "dead", status: 400, body: `{"error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "hubspot", name: "renewed", body: `{"access_token":"a","refresh_token":"sent","expires_in":1800,"token_type":"bearer"}`, class: answer.Issued, access: "a", refresh: "sent"},
		{key: "hubspot", name: "dead", status: 400, body: `{"status":"BAD_REFRESH_TOKEN","message":"missing or unknown refresh token"}`, class: answer.GrantInvalid, code: "BAD_REFRESH_TOKEN"},
		{key: "hubspot", name: "another status", status: 400, body: `{"status":"error"}`, class: answer.Ambiguous},
		{key: "salesforce", name: "renewed", body: `{"access_token":"a","instance_url":"https://x.example","token_type":"Bearer","scope":"api refresh_token"}`, class: answer.Issued, access: "a", scopes: "api refresh_token"},
		{key: "salesforce", name: "dead", status: 400, body: `{"error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "zoom", name: "renewed", body: `{"access_token":"a","token_type":"bearer","refresh_token":"r","expires_in":3599,"scope":"user:read"}`, class: answer.Issued, access: "a", refresh: "r", refreshLife: 90 * days, scopes: "user:read"},
		{key: "zoom", name: "dead", status: 400, body: `{"error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "notion", name: "renewed", body: `{"access_token":"a","token_type":"bearer","refresh_token":"r","workspace_id":"w"}`, class: answer.Issued, access: "a", refresh: "r"},
		{key: "notion", name: "dead", status: 400, body: `{"error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "linkedin", name: "renewed", body: `{"access_token":"a","expires_in":5183999,"refresh_token":"sent","refresh_token_expires_in":86400}`, class: answer.Issued, access: "a", refresh: "sent", refreshLife: days},
		{key: "linkedin", name: "renewed, the end not said", body: `{"access_token":"a","refresh_token":"sent"}`, class: answer.Issued, access: "a", refresh: "sent"},
		{key: "linkedin", name: "dead", status: 400, body: `{"error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "box", name: "renewed", body: `{"access_token":"a","expires_in":3600,"refresh_token":"r","restricted_to":[],"token_type":"bearer"}`, class: answer.Issued, access: "a", refresh: "r", refreshLife: 60 * days},
		{key: "box", name: "dead", status: 400, body: `{"error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "xero", name: "renewed", body: `{"access_token":"a","expires_in":1800,"token_type":"Bearer","refresh_token":"r","scope":"openid offline_access"}`, class: answer.Issued, access: "a", refresh: "r", scopes: "openid offline_access"},
		{key: "xero", name: "dead", status: 400, body: `{"error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "quickbooks", name: "renewed", body: `{"access_token":"a","token_type":"bearer","expires_in":3600,"refresh_token":"r","x_refresh_token_expires_in":8640000}`, class: answer.Issued, access: "a", refresh: "r", refreshLife: 100 * days},
		{key: "quickbooks", name: "dead", status: 400, body: `{"error":"invalid_grant"}`, class: answer.GrantInvalid, code: "invalid_grant"},
		{key: "zoho", name: "renewed", body: `{"access_token":"a","api_domain":"https://www.zohoapis.com","token_type":"Bearer","expires_in":3600,"scope":"A.READ,B.ALL"}`, class: answer.Issued, access: "a", scopes: "A.READ B.ALL"},
		{key: "zoho", name: "throttled", body: `{"error":"Access Denied","status":"failure"}`, class: answer.RateLimited, code: "Access Denied"},
		{key: "zoho", name: "throttled with 400", status: 400, body: `{"error":"Access Denied","status":"failure"}`, class: answer.RateLimited, code: "Access Denied"},
		{key: "zoho", name: "dead", body: `{"error":"invalid_code"}`, class: answer.GrantInvalid, code: "invalid_code"},
	}
	// The refresh token is the body's own: what was sent is not in the answer.
	for value, want := range map[string]string{`null`: "", `""`: "", `false`: "", `"sent"`: "sent", `"new"`: "new"} {
		rows = append(rows, row{key: "custom", name: "refresh_token " + value, body: `{"access_token":"a","refresh_token":` + value + `}`, class: answer.Issued, access: "a", refresh: want})
	}
	rows = append(rows, row{key: "custom", name: "no refresh_token", body: `{"access_token":"a"}`, class: answer.Issued, access: "a"})

	all := shipped(t)
	succeeded, failed := map[string]bool{}, map[string]bool{}
	c := oauth.New(loopback)
	for _, tt := range rows {
		if tt.status == 0 {
			tt.status = 200
		}
		succeeded[tt.key] = succeeded[tt.key] || tt.class == answer.Issued
		failed[tt.key] = failed[tt.key] || tt.class != answer.Issued
		t.Run(tt.key+" "+tt.name, func(t *testing.T) {
			p, err := all.Get(tt.key)
			if err != nil {
				t.Fatal(err)
			}
			endpoint, _ := server(t, says(tt.status, tt.body))
			r := of(p, endpoint)
			came := c.Refresh(t.Context(), r, domain.NewSecret("sent"), nil, keepNothing)
			read := c.Read(r, answer.Raw{Status: tt.status, ContentType: "application/json", Body: []byte(tt.body)})
			for how, a := range map[string]answer.Answer{"came": came, "read": read} {
				if a.Class != tt.class || a.Code != tt.code {
					t.Fatalf("%s: %s %q (%s), want %s %q", how, a.Class, a.Code, a.Problem, tt.class, tt.code)
				}
				if a.Class != answer.Issued {
					continue
				}
				k := a.Token
				if k.AccessToken.Reveal() != tt.access || k.RefreshToken.Reveal() != tt.refresh || k.RefreshToken.IsZero() != (tt.refresh == "") {
					t.Errorf("%s: tokens %q %q", how, k.AccessToken.Reveal(), k.RefreshToken.Reveal())
				}
				if k.RefreshTokenLifetime != tt.refreshLife || !slices.Equal(k.Scopes, strings.Fields(tt.scopes)) {
					t.Errorf("%s: the refresh token lives %s, scopes %q", how, k.RefreshTokenLifetime, k.Scopes)
				}
			}
		})
	}
	for _, p := range all.All() {
		if !succeeded[p.Key] || !failed[p.Key] {
			t.Errorf("%s: no success or no failure in the table", p.Key)
		}
	}
}

// A consent starts the life that the provider documents.
func TestDocumentedRefreshLife(t *testing.T) {
	for _, p := range shipped(t).All() {
		endpoint, _ := server(t, says(200, `{"access_token":"a","refresh_token":"r"}`))
		a := oauth.New(loopback).Exchange(t.Context(), of(p, endpoint), domain.NewSecret("code"), domain.NewSecret("v"))
		if a.Class != answer.Issued || a.Token.RefreshTokenLifetime != p.Lifetimes.Refresh {
			t.Errorf("%s: %+v", p.Key, a)
		}
	}
}

// What each provider is sent: JSON or a form, and PKCE where it takes part.
func TestProviderRequests(t *testing.T) {
	const verifier = "canary-verifier"
	for _, p := range shipped(t).All() {
		t.Run(p.Key, func(t *testing.T) {
			sent := map[string]any{}
			var kind string
			var basic bool
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				kind = r.Header.Get("Content-Type")
				_, _, basic = r.BasicAuth()
				if kind == "application/json" {
					_ = json.Unmarshal(body, &sent)
				} else if form, err := url.ParseQuery(string(body)); err == nil {
					for k := range form {
						sent[k] = form.Get(k)
					}
				}
				_, _ = w.Write([]byte(`{"access_token":"a"}`))
			}))
			t.Cleanup(s.Close)
			r, c := of(p, s.URL), oauth.New(loopback)
			if a := c.Exchange(t.Context(), r, domain.NewSecret("the code"), domain.NewSecret(verifier)); a.Class != answer.Issued {
				t.Fatalf("%+v", a)
			}
			want := "application/x-www-form-urlencoded"
			if p.Key == "atlassian" || p.Key == "notion" {
				want = "application/json"
			}
			if kind != want || sent["code"] != "the code" || sent["grant_type"] != "authorization_code" {
				t.Errorf("sent as %s: %v", kind, sent)
			}
			if _, inBody := sent["client_secret"]; basic == inBody || basic != (r.AuthStyle == link.Basic) {
				t.Errorf("the client secret is in the header: %v, in the body: %v", basic, inBody)
			}
			u, err := url.Parse(c.AuthorizationURL(r, "state", verifier))
			if err != nil {
				t.Fatal(err)
			}
			without := p.Key == "slack" || p.Key == "linkedin"
			_, proved := sent["code_verifier"]
			if proved == without || u.Query().Has("code_challenge") == without || u.Query().Has("code_challenge_method") == without {
				t.Errorf("PKCE: verifier %v, URL %s", proved, u)
			}
		})
	}
}
