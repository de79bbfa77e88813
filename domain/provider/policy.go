package provider

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"outlink/domain/link"
)

// Policy is what the operator of this installation allows.
type Policy struct {
	PublicURL       string                 // where browsers reach Outlink, such as https://outlink.example.com
	AllowedPrefixes []netip.Prefix         // addresses that endpoints may have although they are not public
	LoopbackHTTP    bool                   // development only: endpoints on this machine, without TLS
	PublicSuffix    func(host string) bool // whether host has a registrable domain under a public suffix
}

// Complete fills in what the provider presets and the configuration leaves out.
// Endpoints are preset together or not at all: an authorization endpoint of one
// tenant and a token endpoint of another do not fit.
func (p Provider) Complete(c link.Config) link.Config {
	if c.AuthorizationEndpoint == "" && c.TokenEndpoint == "" {
		c.AuthorizationEndpoint, c.TokenEndpoint = p.AuthorizationEndpoint, p.TokenEndpoint
		c.RevocationEndpoint = or(c.RevocationEndpoint, p.RevocationEndpoint)
		c.DeviceEndpoint = or(c.DeviceEndpoint, p.DeviceEndpoint)
		c.PushEndpoint = or(c.PushEndpoint, p.PushEndpoint)
		c.Issuer = or(c.Issuer, p.Issuer)
	}
	if c.Uses(link.JWTBearer) {
		c.Assertion = c.Assertion.Over(p.Assertion)
	}
	if c.Uses(link.TokenExchange) {
		c.Exchange = c.Exchange.Over(p.Exchange)
	}
	c.DPoP = c.DPoP || p.DPoP // what a provider demands, no link can leave out
	c.AuthStyle = or(c.AuthStyle, or(p.AuthStyle, link.Body))
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = slices.Clone(p.GrantTypes)
	}
	c.Scopes = slices.Clone(c.Scopes)
	for _, s := range p.RequiredScopes {
		if c.AsksPerson() && !slices.Contains(c.Scopes, s) {
			c.Scopes = append(c.Scopes, s)
		}
	}
	params := make(map[string]string, len(p.AuthorizationParams)+len(c.AuthorizationParams))
	for _, from := range []map[string]string{p.AuthorizationParams, c.AuthorizationParams} {
		for k, v := range from {
			params[k] = v
		}
	}
	c.AuthorizationParams = nil
	if len(params) > 0 {
		c.AuthorizationParams = params
	}
	return c
}

func or[T ~string](s, otherwise T) T {
	if s != "" {
		return s
	}
	return otherwise
}

// special are the address blocks beyond netip's own predicates that never hold
// a public authorization server (RFC 6890). The guard at dial time knows more.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), // NAT64, which may lead to a private address
}

// addressProblem says why an endpoint may not have that address, or "".
func (pol Policy) addressProblem(a netip.Addr) string {
	if a.Zone() != "" {
		return "has an address with a zone, which means something on one machine only"
	}
	a = a.Unmap()
	for _, allowed := range pol.AllowedPrefixes {
		if allowed.Contains(a) {
			return ""
		}
	}
	if a.IsLoopback() && pol.LoopbackHTTP {
		return ""
	}
	if kind := privateKind(a); kind != "" {
		return "has the " + kind + " address " + a.String() + ", which is refused unless the operator allows its prefix"
	}
	return ""
}

func privateKind(a netip.Addr) string {
	switch {
	case a.IsUnspecified():
		return "unspecified"
	case a.IsLoopback():
		return "loopback"
	case a.IsLinkLocalUnicast(), a.IsLinkLocalMulticast(), a.IsInterfaceLocalMulticast():
		return "link-local"
	case a.IsMulticast():
		return "multicast"
	case a.IsPrivate():
		return "private"
	}
	for _, block := range special {
		if block.Contains(a) {
			return "special-purpose"
		}
	}
	return ""
}

// loopbackHost reports whether host names this machine, by name or address.
func loopbackHost(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// numericHost reports whether a host that is no IP address ends in a number, as
// in 127.1 or 0x7f000001: some resolvers read those as addresses (WHATWG URL).
func numericHost(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" {
		return false
	}
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil || strings.Trim(last, "0123456789") == ""
}

// shown quotes a value for an error message: short, on one line, and without
// the password that a URL may hold before its "@".
func shown(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = "…" + s[i:]
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '\uFFFD'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 100 {
		s = string(r[:100]) + "…"
	}
	return `"` + s + `"`
}
