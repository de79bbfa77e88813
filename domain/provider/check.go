package provider

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"outlink/domain"
	"outlink/domain/link"
)

// The longest values that are taken, in characters.
const (
	MaxName   = 120
	maxText   = 1000 // client id, scope, parameter
	maxURL    = 2000
	maxScopes = 200
	maxParams = 50
)

// reserved are the authorization request parameters that belong to the protocol.
// Overriding one undoes a protection; request and request_uri override them all.
var reserved = []string{
	"client_id", "redirect_uri", "response_type", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method", "request", "request_uri", "resource", "dpop_jkt",
}

// Problem is one thing that is wrong with a link's configuration.
type Problem struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// problems collects what is wrong.
type problems []Problem

func (ps *problems) add(field, format string, args ...any) {
	*ps = append(*ps, Problem{field, fmt.Sprintf(format, args...)})
}

// err is one invalid_argument error that lists all problems, or nil.
func (ps problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Field + " " + p.Problem
	}
	return domain.Errorf(domain.InvalidArgument, "the link cannot be configured like this: %s", strings.Join(lines, "; ")).
		With("problems", []Problem(ps))
}

// Check reports everything that is wrong with a completed configuration at once,
// as one invalid_argument error whose detail "problems" is a []Problem.
// What a host name resolves to is checked when a connection is made.
func (p Provider) Check(c link.Config, secretGiven bool, pol Policy) error {
	var ps problems
	ps.name(c.Name)
	ps.client(p, c, secretGiven)
	ps.grantTypes(c)
	ps.scopes(p, c)
	if ps.endpoint("authorization_endpoint", c.AuthorizationEndpoint, c.Uses(link.AuthorizationCode), pol) {
		ps.protocolQuery(c.AuthorizationEndpoint)
	}
	ps.endpoint("device_authorization_endpoint", c.DeviceEndpoint, c.Uses(link.DeviceCode), pol)
	ps.endpoint("pushed_authorization_request_endpoint", c.PushEndpoint, false, pol)
	ps.endpoint("token_endpoint", c.TokenEndpoint, true, pol)
	ps.endpoint("revocation_endpoint", c.RevocationEndpoint, false, pol)
	if c.Issuer != "" && ps.endpoint("issuer", c.Issuer, false, pol) && strings.Contains(c.Issuer, "?") {
		ps.add("issuer", "%s has a query; an issuer has none (RFC 8414 section 2)", shown(c.Issuer))
	}
	ps.params(c.AuthorizationParams)
	ps.resources(c.Resources)
	ps.assertion(c)
	ps.exchange(c)
	return ps.err()
}

func (ps *problems) name(name string) {
	switch n := utf8.RuneCountInString(name); {
	case strings.TrimSpace(name) == "":
		ps.add("name", "is missing; give the link a name that people recognise")
	case n > MaxName:
		ps.add("name", "has %d characters; %d is the most", n, MaxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		ps.add("name", "%s has control characters; leave them out", shown(name))
	}
}

func (ps *problems) client(p Provider, c link.Config, secretGiven bool) {
	switch {
	case c.ClientID == "":
		ps.add("client_id", "is missing; %s gave it to you when you registered the client", p.Name)
	case !Printable(c.ClientID) || len(c.ClientID) > maxText:
		ps.add("client_id", "%s is not printable ASCII of at most %d characters; copy it again", shown(c.ClientID), maxText)
	}
	switch c.AuthStyle {
	case link.Basic, link.Body, link.PrivateKeyJWT, link.TLSClientAuth, link.SelfSignedTLSAuth:
		if !secretGiven {
			ps.add("client_secret", "is missing; %s", secretAdvice(p))
		}
	case link.None:
		switch {
		case !p.PublicClients:
			ps.add("auth_style", `"none" is for public clients, and %s has none; use "basic" or "body" and give the client secret`, p.Name)
		case secretGiven:
			ps.add("client_secret", `is there, and auth_style "none" never sends it; use "basic" or "body", or create a link without a secret: one that has a secret keeps it`)
		}
	default:
		ps.add("auth_style", "%s is unknown; use one of %q", shown(string(c.AuthStyle)), link.AuthStyles())
	}
}

func secretAdvice(p Provider) string {
	if p.PublicClients {
		return `give it, or set auth_style "none" for a public client`
	}
	return "give the one that " + p.Name + " shows beside the client id"
}

func (ps *problems) scopes(p Provider, c link.Config) {
	scopes := c.Scopes
	if len(scopes) == 0 && !p.ScopesOptional {
		ps.add("scopes", "are missing; name what the access token is to be good for")
	}
	if len(scopes) > maxScopes {
		ps.add("scopes", "are %d; %d is the most", len(scopes), maxScopes)
		return
	}
	for _, required := range p.RequiredScopes {
		if c.AsksPerson() && !slices.Contains(scopes, required) {
			ps.add("scopes", "lack %s, without which %s issues no refresh token; add it", shown(required), p.Name)
		}
	}
	for _, s := range scopes {
		if !ScopeToken(s) || len(s) > maxText || p.ScopeSeparator != "" && strings.Contains(s, p.ScopeSeparator) {
			ps.add("scopes", `have %s, which is no scope (RFC 6749 section 3.3: printable ASCII without space, " and \); give each scope by itself`, shown(s))
		}
	}
}

// ScopeToken is RFC 6749 section 3.3: 1*( %x21 / %x23-5B / %x5D-7E ).
func ScopeToken(s string) bool {
	return s != "" && Printable(s) && !strings.ContainsAny(s, " \"\\")
}

// Printable is *VSCHAR of RFC 6749 appendix A.
func Printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}

// endpoint checks a URL that is stored or requested, and reports whether it is
// there and all right.
func (ps *problems) endpoint(field, raw string, required bool, pol Policy) bool {
	before := len(*ps)
	if raw == "" {
		if required {
			ps.add(field, "is missing; give the endpoints of one server that the link's grant types need")
		}
		return false
	}
	u, err := url.Parse(raw)
	switch {
	case len(raw) > maxURL:
		ps.add(field, "has %d characters; %d is the most", len(raw), maxURL)
	case err != nil || !Printable(raw) || strings.Contains(raw, " "):
		ps.add(field, "%s is no URL; give one such as https://login.example.com/oauth2/token", shown(raw))
	case u.User != nil:
		ps.add(field, "has a user name or password before the host; leave that out")
	case strings.Contains(raw, "#"):
		ps.add(field, "%s has a fragment; leave out everything from # on (RFC 6749 section 3.1)", shown(raw))
	case u.Hostname() == "" || u.Opaque != "":
		ps.add(field, "%s has no host; give a URL such as https://login.example.com/oauth2/token", shown(raw))
	default:
		ps.host(field, raw, u, pol)
	}
	return len(*ps) == before
}

func (ps *problems) host(field, raw string, u *url.URL, pol Policy) {
	host := u.Hostname()
	local := loopbackHost(host)
	switch {
	case u.Scheme == "http" && local && pol.LoopbackHTTP:
	case u.Scheme != "https":
		ps.add(field, "%s is not HTTPS; secrets travel to it, so give its https:// URL", shown(raw))
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if problem := pol.addressProblem(a); problem != "" {
			ps.add(field, "%s %s", shown(raw), problem)
		}
		return
	}
	switch {
	case local && !pol.LoopbackHTTP:
		ps.add(field, "%s is on this machine, which only the development mode allows", shown(raw))
	case numericHost(host):
		ps.add(field, "%s has a number for a host, which some resolvers read as an address; give the host name", shown(raw))
	}
}

// resources are absolute URIs without a fragment (RFC 8707 section 2). Outlink
// never opens them, so that any host will do.
func (ps *problems) resources(resources []string) {
	if len(resources) > maxScopes {
		ps.add("resources", "are %d; %d is the most", len(resources), maxScopes)
		return
	}
	for _, r := range resources {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || strings.Contains(r, "#") || !ScopeToken(r) || len(r) > maxURL {
			ps.add("resources", "have %s, which is no absolute URI without fragment (RFC 8707); give one such as https://api.example.com/", shown(r))
		}
	}
}

// protocolQuery refuses an authorization endpoint that brings protocol parameters along.
func (ps *problems) protocolQuery(raw string) {
	u, err := url.Parse(raw)
	if err != nil {
		return
	}
	query := u.Query()
	for _, name := range reserved {
		if query.Has(name) {
			ps.add("authorization_endpoint", "has the parameter %s in its query, which Outlink sets itself; leave it out", name)
		}
	}
}

func (ps *problems) params(params map[string]string) {
	if len(params) > maxParams {
		ps.add("authorization_params", "are %d; %d is the most", len(params), maxParams)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		value := params[name]
		switch {
		case slices.Contains(reserved, strings.ToLower(name)):
			ps.add("authorization_params", "must not set %s, which Outlink sets itself; leave it out", name)
		case name == "response_mode" && value != "query":
			ps.add("authorization_params", `set response_mode %s; the callback reads "query" only, so leave it out`, shown(value))
		case name == "prompt" && slices.Contains(strings.Fields(value), "none"):
			ps.add("authorization_params", `set prompt "none", with which a provider asks nobody for consent; leave it out`)
		case !ScopeToken(name) || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) || len(name)+len(value) > maxText:
			ps.add("authorization_params", "have the parameter %s with a name or value that no URL should carry; correct it", shown(name))
		}
	}
}
