package demoprovider_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/oauth2"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/demoprovider"
	"outlink/internal/oauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// callback is a client's redirect URL, with the query of the last visit.
type callback struct {
	*httptest.Server
	query url.Values
}

func newCallback(t *testing.T) *callback {
	c := &callback{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { c.query = r.URL.Query() }))
	t.Cleanup(c.Close)
	return c
}

func options(t *testing.T) demoprovider.Options {
	return demoprovider.Options{
		Addr: "127.0.0.1:0", ClientID: "outlink-demo", ClientSecret: domain.NewSecret("s3cret/+ %:=&\""),
		AccessTokenLifetime: time.Minute, StateFile: filepath.Join(t.TempDir(), "demo.json"), Log: slog.New(slog.DiscardHandler),
	}
}

func start(t *testing.T, o demoprovider.Options) *demoprovider.Provider {
	t.Helper()
	p, err := demoprovider.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func registration(p *demoprovider.Provider, o demoprovider.Options, redirect string, style link.AuthStyle) provider.Registration {
	return provider.Registration{
		ClientID: o.ClientID, ClientSecret: o.ClientSecret, AuthStyle: style,
		AuthorizationEndpoint: p.AuthorizationEndpoint(), TokenEndpoint: p.TokenEndpoint(), RevocationEndpoint: p.RevocationEndpoint(),
		RedirectURL: redirect + "/oauth/callback/0199a000-0000-7000-8000-000000000003", Scopes: []string{"openid", "offline_access"},
	}
}

func keep(answer.Raw) error { return nil }

func TestFlowAndRestart(t *testing.T) {
	for name, style := range map[string]link.AuthStyle{"basic": link.Basic, "post": link.Body} {
		t.Run(name, func(t *testing.T) {
			o, back, c := options(t), newCallback(t), oauth.New(oauth.Options{Loopback: true})
			p := start(t, o)
			r := registration(p, o, back.URL, style)
			verifier := oauth2.GenerateVerifier()
			if err := demoprovider.SignIn(t.Context(), c.AuthorizationURL(r, "state-1", verifier)); err != nil {
				t.Fatal(err)
			}
			if back.query.Get("state") != "state-1" {
				t.Fatalf("state = %q", back.query.Get("state"))
			}
			code := domain.NewSecret(back.query.Get("code"))
			a := c.Exchange(t.Context(), r, code, domain.NewSecret(verifier))
			if a.Class != answer.Issued || a.Token.RefreshToken.IsZero() || a.Token.Lifetime < 58*time.Second || a.Token.Lifetime > time.Minute {
				t.Fatalf("Exchange: %+v, token %+v", a, a.Token)
			}
			if again := c.Exchange(t.Context(), r, code, domain.NewSecret(verifier)); again.Class != answer.GrantInvalid {
				t.Errorf("a code is good for one exchange, got %s", again.Class)
			}
			rt := a.Token.RefreshToken
			refresh(t, c, r, rt, 3)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}

			p = start(t, o)
			r = registration(p, o, back.URL, style)
			refresh(t, c, r, rt, 1)
			if err := c.Revoke(t.Context(), r, rt, "refresh_token"); err != nil {
				t.Fatal(err)
			}
			if a := c.Refresh(t.Context(), r, rt, nil, keep); a.Class != answer.GrantInvalid || a.Code != "invalid_grant" {
				t.Errorf("after Revoke: %+v", a)
			}
		})
	}
}

// refresh refreshes with the same token, n times.
func refresh(t *testing.T, c *oauth.Client, r provider.Registration, rt domain.Secret, n int) {
	t.Helper()
	for range n {
		a := c.Refresh(t.Context(), r, rt, nil, keep)
		if a.Class != answer.Issued || a.Token.AccessToken.IsZero() || !a.Token.RefreshToken.IsZero() && !a.Token.RefreshToken.Equal(rt) {
			t.Fatalf("Refresh: %+v", a)
		}
	}
}

// The refresh token is on disk when it is handed out, and only its hash is.
func TestStateFileBeforeAnswer(t *testing.T) {
	o, back, c := options(t), newCallback(t), oauth.New(oauth.Options{Loopback: true})
	r := registration(start(t, o), o, back.URL, link.Basic)
	verifier := oauth2.GenerateVerifier()
	if err := demoprovider.SignIn(t.Context(), c.AuthorizationURL(r, "s", verifier)); err != nil {
		t.Fatal(err)
	}
	a := c.Exchange(t.Context(), r, domain.NewSecret(back.query.Get("code")), domain.NewSecret(verifier))
	if a.Class != answer.Issued {
		t.Fatalf("Exchange: %+v", a)
	}
	// A second provider on the same file is what a restart after kill -9 finds.
	second := registration(start(t, o), o, back.URL, link.Basic)
	refresh(t, c, second, a.Token.RefreshToken, 1)

	info, err := os.Stat(o.StateFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("state file: %v, %v", info.Mode(), err)
	}
	b, _ := os.ReadFile(o.StateFile)
	if strings.Contains(string(b), a.Token.RefreshToken.Reveal()) {
		t.Error("the state file holds the refresh token itself")
	}
}

func TestRefuses(t *testing.T) {
	o, back, c := options(t), newCallback(t), oauth.New(oauth.Options{Loopback: true})
	p := start(t, o)
	r := registration(p, o, back.URL, link.Basic)

	wrong := r
	wrong.ClientSecret = domain.NewSecret("wrong")
	if a := c.Refresh(t.Context(), wrong, domain.NewSecret("x"), nil, keep); a.Class != answer.ClientRejected {
		t.Errorf("wrong client secret: %s", a.Class)
	}
	elsewhere := r
	elsewhere.RedirectURL = "http://example.com/oauth/callback/x"
	plain := strings.Replace(c.AuthorizationURL(r, "s", oauth2.GenerateVerifier()), "S256", "plain", 1)
	for name, u := range map[string]string{
		"another redirect URL": c.AuthorizationURL(elsewhere, "s", oauth2.GenerateVerifier()),
		"PKCE plain":           plain,
		"a forgotten sign-in":  p.URL() + "/login?id=nobody",
	} {
		if err := demoprovider.SignIn(t.Context(), u); err == nil {
			t.Errorf("%s: signed in", name)
		}
	}
	for _, addr := range []string{"0.0.0.0:0", ":0"} {
		o := o
		o.Addr = addr
		if p, err := demoprovider.Start(context.Background(), o); err == nil {
			_ = p.Close()
			t.Errorf("Start listens on %s", addr)
		}
	}
}

// An unknown client is told so in the words of RFC 6749 section 5.2, however it
// says who it is.
func TestUnknownClient(t *testing.T) {
	p := start(t, options(t))
	for name, grantType := range map[string]string{"refresh": "refresh_token", "code": "authorization_code"} {
		for _, basic := range []bool{true, false} {
			form := url.Values{"grant_type": {grantType}, "refresh_token": {"x"}, "code": {"x"}, "redirect_uri": {"http://localhost/oauth/callback/x"}}
			if !basic {
				form.Set("client_id", "nobody")
				form.Set("client_secret", "s")
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.TokenEndpoint(), strings.NewReader(form.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if basic {
				r.SetBasicAuth("nobody", "s")
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if grantType == "refresh_token" && (res.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), `"invalid_client"`)) || res.StatusCode >= 500 {
				t.Errorf("%s, basic %t: %d %s", name, basic, res.StatusCode, body)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestDeny(t *testing.T) {
	o, back, c := options(t), newCallback(t), oauth.New(oauth.Options{Loopback: true})
	r := registration(start(t, o), o, back.URL, link.Basic)
	res, err := http.Get(c.AuthorizationURL(r, "state-2", oauth2.GenerateVerifier()))
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if !strings.Contains(string(page), "<strong>outlink-demo</strong>") || !strings.Contains(string(page), "<code>offline_access</code>") {
		t.Errorf("the page does not say who asks for what:\n%s", page)
	}
	if !strings.HasPrefix(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error("no Content-Security-Policy")
	}
	at := res.Request.URL
	res, err = http.PostForm(at.Scheme+"://"+at.Host+"/login", url.Values{"id": {at.Query().Get("id")}, "decision": {"deny"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if back.query.Get("error") != "access_denied" || back.query.Get("state") != "state-2" {
		t.Errorf("callback got %v", back.query)
	}
	http.DefaultClient.CloseIdleConnections()
}
