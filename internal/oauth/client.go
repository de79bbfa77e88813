// Package oauth speaks to authorization servers. It is the only package that
// knows golang.org/x/oauth2.
//
// That library builds the requests and reads the answers; what it must not do
// is kept from it: it never guesses the client authentication, never follows a
// redirect, never sees an answer that was not read completely first, and never
// refreshes by itself. Nothing here logs.
package oauth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"code.dny.dev/ssrf"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/dpop"
)

// Options configure a Client.
type Options struct {
	AllowedPrefixes []netip.Prefix // addresses that may be dialled although they are not public
	Loopback        bool           // development: addresses of this machine, any port, without TLS
	RootCAs         *x509.CertPool // nil: the system's
	Deadline        time.Duration  // of one request; 0 means 90 s: a short one loses rotated tokens
}

// Client sends token requests.
type Client struct {
	options   Options
	transport http.RoundTripper // of clients without a certificate
	deadline  time.Duration
	nonces    dpop.Nonces // of token endpoints
}

// New makes a Client.
func New(o Options) *Client {
	if o.Deadline == 0 {
		o.Deadline = 90 * time.Second
	}
	return &Client{options: o, deadline: o.Deadline, transport: transport(o, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs})}
}

func transport(o Options, c *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second, Control: guard(o)}
	return &http.Transport{
		Proxy:                  nil, // a proxy would dial for us, past the guard
		DialContext:            dialer.DialContext,
		TLSClientConfig:        c,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    15 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// A connection that the server closed meanwhile would make it unknown
		// whether a request arrived.
		DisableKeepAlives: true,
	}
}

// guard refuses addresses that are not public, after the name was resolved, so
// that a name cannot lead elsewhere than it did when it was checked.
func guard(o Options) func(network, address string, c syscallConn) error {
	options := []ssrf.Option{ssrf.WithAnyPort()}
	for _, p := range o.AllowedPrefixes {
		if p.Addr().Is4() {
			options = append(options, ssrf.WithAllowedV4Prefixes(p))
		} else {
			options = append(options, ssrf.WithAllowedV6Prefixes(p))
		}
	}
	if o.Loopback {
		options = append(options,
			ssrf.WithAllowedV4Prefixes(netip.MustParsePrefix("127.0.0.0/8")),
			ssrf.WithAllowedV6Prefixes(netip.MustParsePrefix("::1/128")))
	}
	return ssrf.New(options...).Safe
}

func config(r provider.Registration) *oauth2.Config {
	style, secret := oauth2.AuthStyleInParams, ""
	switch r.AuthStyle {
	case link.Basic:
		style, secret = oauth2.AuthStyleInHeader, r.ClientSecret.Reveal()
	case link.Body:
		secret = r.ClientSecret.Reveal()
	}
	id, scopes := r.ClientID, r.Scopes
	if r.GrantType == link.JWTBearer && r.Assertion.Alone {
		id = ""
	}
	if r.GrantType == link.JWTBearer && r.Assertion.Scopes != "" && r.Assertion.Scopes != link.InRequest {
		scopes = nil
	}
	if sep := r.Provider.ScopeSeparator; sep != "" && sep != " " {
		scopes = []string{strings.Join(scopes, sep)}
	}
	return &oauth2.Config{
		ClientID: id, ClientSecret: secret, RedirectURL: r.RedirectURL, Scopes: scopes,
		Endpoint: oauth2.Endpoint{AuthURL: r.AuthorizationEndpoint, TokenURL: r.TokenEndpoint, AuthStyle: style},
	}
}

// AuthorizationURL is where a person gives consent, with PKCE S256 (RFC 7636)
// unless the provider takes no part in it: some refuse parameters they do not know.
func (c *Client) AuthorizationURL(r provider.Registration, state, verifier string) string {
	var options []oauth2.AuthCodeOption
	if !r.Provider.NoPKCE {
		options = append(options, oauth2.S256ChallengeOption(verifier))
	}
	for k, v := range r.AuthorizationParams {
		options = append(options, oauth2.SetAuthURLParam(k, v))
	}
	if jkt := thumbprint(r.DPoPKey); jkt != "" {
		options = append(options, oauth2.SetAuthURLParam("dpop_jkt", jkt))
	}
	u := config(r).AuthCodeURL(state, options...)
	if len(r.Resources) > 0 { // the library sets a parameter once, and this one may be repeated
		u += "&" + url.Values{"resource": r.Resources}.Encode()
	}
	return u
}

// Exchange sends an authorization code, once (RFC 6749 section 4.1.3).
func (c *Client) Exchange(ctx context.Context, r provider.Registration, code, verifier domain.Secret) answer.Answer {
	var options []oauth2.AuthCodeOption
	if !r.Provider.NoPKCE {
		options = append(options, oauth2.VerifierOption(verifier.Reveal()))
	}
	return c.request(ctx, r, &exchange{}, func(ctx context.Context) (*oauth2.Token, error) {
		return config(r).Exchange(ctx, code.Reveal(), options...)
	})
}

// Refresh sends a refresh token, once (RFC 6749 section 6), or the request of the
// registration's grant type, which needs none. Guard is asked when
// the connection stands, immediately before a byte of the request leaves; its
// error keeps the request back. A complete successful answer goes to keep before
// anybody tries to read it.
func (c *Client) Refresh(ctx context.Context, r provider.Registration, refreshToken domain.Secret, guard func() error, keep func(answer.Raw) error) answer.Answer {
	return c.request(ctx, r, &exchange{guard: guard, keep: keep, renews: true}, renewing(r, refreshToken))
}

// request sends a token request with whatever proves the client.
func (c *Client) request(ctx context.Context, r provider.Registration, t *exchange, send func(context.Context) (*oauth2.Token, error)) answer.Answer {
	now := time.Now()
	p, err := c.prove(r, now)
	if err != nil {
		return answer.Answer{Class: answer.ConfigError, Problem: err.Error(), SentAt: now}
	}
	t.transport, t.params = p.transport, p.params
	if len(r.Resources) > 0 {
		t.params["resource"] = r.Resources
	}
	c.bind(t, r)
	return c.send(ctx, r, t, send)
}

// Read reads an answer that was kept, as Refresh would have. It needs no secret
// of the client's, which may be another by now.
func (c *Client) Read(r provider.Registration, raw answer.Raw) answer.Answer {
	return c.send(context.Background(), r, &exchange{transport: replay(raw), renews: true, bound: true}, renewing(r, domain.NewSecret("kept")))
}

func renewing(r provider.Registration, token domain.Secret) func(context.Context) (*oauth2.Token, error) {
	if r.GrantType != "" {
		return requesting(r, r.GrantType, nil)
	}
	return func(ctx context.Context) (*oauth2.Token, error) {
		return config(r).TokenSource(ctx, &oauth2.Token{RefreshToken: token.Reveal()}).Token()
	}
}

// requesting sends a token request of any grant type. The library has this for
// client credentials (RFC 6749 section 4.4), with room for the others.
func requesting(r provider.Registration, t link.GrantType, params url.Values) func(context.Context) (*oauth2.Token, error) {
	c := config(r)
	all := url.Values{"grant_type": {string(t)}}
	maps.Copy(all, params)
	return (&clientcredentials.Config{
		ClientID: c.ClientID, ClientSecret: c.ClientSecret, TokenURL: c.Endpoint.TokenURL, AuthStyle: c.Endpoint.AuthStyle,
		Scopes: c.Scopes, EndpointParams: all,
	}).Token
}

// replay is the transport that gives an answer once more.
type replay answer.Raw

func (a replay) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.Status, Header: http.Header{"Content-Type": {a.ContentType}}, Body: io.NopCloser(bytes.NewReader(a.Body)),
	}, nil
}

func (c *Client) send(ctx context.Context, r provider.Registration, t *exchange, request func(context.Context) (*oauth2.Token, error)) answer.Answer {
	t.profile = r.Provider
	ctx, cancel := context.WithTimeout(ctx, c.deadline)
	defer cancel()
	sentAt := time.Now()
	hc := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	token, err := request(context.WithValue(ctx, oauth2.HTTPClient, hc))
	a := t.answer(token, err)
	a.SentAt = sentAt
	if t.acted() {
		a.Requests = 1
	}
	return a
}

// Revoke asks the provider to revoke a token (RFC 7009). The hint is
// "refresh_token" or "access_token". Its error says why it is not known to be
// revoked.
func (c *Client) Revoke(ctx context.Context, r provider.Registration, token domain.Secret, hint string) error {
	ctx, cancel := context.WithTimeout(ctx, c.deadline)
	defer cancel()
	res, err := c.post(ctx, r, r.RevocationEndpoint, url.Values{"token": {token.Reveal()}, "token_type_hint": {hint}})
	if code := domain.CodeOf(err); code == domain.InvalidArgument {
		return err
	}
	if err != nil {
		return domain.Errorf(domain.Unavailable, "the revocation endpoint did not answer")
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
		return domain.Errorf(domain.Unavailable, "the revocation endpoint answered with status %d", res.StatusCode)
	}
	return nil
}

// blocked reports whether a connection was refused for what the endpoint is.
func blocked(err error) bool {
	var cert *tls.CertificateVerificationError
	return prohibited(err) || errors.As(err, &cert)
}

func prohibited(err error) bool {
	return errors.Is(err, ssrf.ErrProhibitedIP) || errors.Is(err, ssrf.ErrProhibitedNetwork) || errors.Is(err, ssrf.ErrProhibitedPort)
}

// unsent says in our own words why no connection came about. A library's error
// text may hold an address, never a secret, and is still not passed on.
func unsent(err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case prohibited(err):
		return "the token endpoint has an address that is not allowed"
	case errors.As(err, &dns):
		return "the token endpoint's host name does not resolve"
	case errors.As(err, &cert):
		return "the token endpoint's certificate is not valid"
	case errors.Is(err, context.DeadlineExceeded):
		return "the token endpoint could not be reached in time"
	}
	return "the token endpoint could not be reached"
}
