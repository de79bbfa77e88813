// Package demoprovider is the authorization server of `outlink dev`: an OpenID
// Provider on github.com/zitadel/oidc with one client and one demo user.
//
// It is for a developer's machine: it listens on loopback, signs in whoever
// presses the button, and keeps refresh tokens over a restart. Refresh tokens
// do not rotate (provider.Stable).
package demoprovider

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"

	"outlink/domain"
)

// Options configure the provider. All fields are required.
type Options struct {
	Addr                string // host:port on loopback; port 0 chooses one
	ClientID            string
	ClientSecret        domain.Secret
	AccessTokenLifetime time.Duration
	StateFile           string // where refresh tokens survive a restart
	Log                 *slog.Logger
}

// Provider is a running provider.
type Provider struct {
	url    string
	server *http.Server
}

// Start runs the provider until Close.
func Start(_ context.Context, o Options) (*Provider, error) {
	s, err := openStorage(o)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &Provider{url: "http://" + listener.Addr().String()}
	provider, err := op.NewProvider(&op.Config{
		CryptoKey: s.cryptoKey(), CodeMethodS256: true, AuthMethodPost: true, GrantTypeRefreshToken: true,
	}, s, op.StaticIssuer(p.url), op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("configure the provider: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("POST /login", s.login(op.AuthCallbackURL(provider), op.NewIssuerInterceptor(provider.IssuerFromRequest)))
	mux.Handle("/", provider)
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := p.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error("the demo provider ended", "error", err)
		}
	}()
	return p, nil
}

// Close ends the provider.
func (p *Provider) Close() error { return p.server.Close() }

// URL is the provider's issuer.
func (p *Provider) URL() string { return p.url }

// AuthorizationEndpoint is where a person consents.
func (p *Provider) AuthorizationEndpoint() string { return p.url + "/authorize" }

// TokenEndpoint issues tokens.
func (p *Provider) TokenEndpoint() string { return p.url + "/oauth/token" }

// RevocationEndpoint revokes tokens (RFC 7009).
func (p *Provider) RevocationEndpoint() string { return p.url + "/revoke" }

var loginTemplate = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Demo provider</title></head>
<body><main><h1>Demo provider</h1>
<p><strong>{{.Client}}</strong> asks for access to the demo account: {{range .Scopes}}<code>{{.}}</code> {{end}}</p>
<form method="post" action="/login"><input type="hidden" name="id" value="{{.ID}}">
<button name="decision" value="allow">Sign in as Demo User and allow</button>
<button name="decision" value="deny">Deny</button></form></main></body></html>
`))

func (s *storage) loginPage(w http.ResponseWriter, r *http.Request) {
	request, err := s.request(r.URL.Query().Get("id"))
	if err != nil {
		http.Error(w, "this sign-in is over; start again", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = loginTemplate.Execute(w, map[string]any{"Client": request.Client, "Scopes": request.Scopes, "ID": request.ID})
}

func (s *storage) login(callback func(context.Context, string) string, issuer *op.IssuerInterceptor) http.HandlerFunc {
	return issuer.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, err := s.request(r.FormValue("id"))
		switch {
		case err != nil:
			http.Error(w, "this sign-in is over; start again", http.StatusBadRequest)
		case r.FormValue("decision") == "allow":
			s.allow(request.ID)
			http.Redirect(w, r, callback(r.Context(), request.ID), http.StatusSeeOther)
		default:
			back := url.Values{"error": {"access_denied"}, "state": {request.State}}
			http.Redirect(w, r, request.RedirectURI+"?"+back.Encode(), http.StatusSeeOther)
		}
	})
}

var formID = regexp.MustCompile(`name="id" value="([^"]+)"`)

// SignIn opens the start page of an authorization and presses the button, as a
// person would.
func SignIn(ctx context.Context, startURL string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar, Timeout: 30 * time.Second}
	page, at, err := fetch(ctx, browser, http.MethodGet, startURL)
	if err != nil {
		return err
	}
	id := formID.FindStringSubmatch(page)
	if id == nil {
		return errors.New("there is no sign-in form on the page of the demo provider")
	}
	form := url.Values{"id": {id[1]}, "decision": {"allow"}}
	_, _, err = fetch(ctx, browser, http.MethodPost, at.ResolveReference(&url.URL{Path: "/login", RawQuery: form.Encode()}).String())
	return err
}
