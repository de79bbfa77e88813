package provider

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"outlink/domain/link"
)

func (ps *problems) grantTypes(c link.Config) {
	for _, t := range c.GrantTypes {
		if !slices.Contains(link.GrantTypes(), t) {
			ps.add("grant_types", "have %s, which is unknown; use %q", shown(string(t)), link.GrantTypes())
		}
	}
	if c.Uses(link.JWTBearer) && c.AuthStyle != link.PrivateKeyJWT {
		ps.add("grant_types", `have "%s", whose assertions the client secret signs; give a key as client secret and auth_style "private_key_jwt"`, link.JWTBearer)
	}
	if c.Uses(link.ClientCredentials) && c.AuthStyle == link.None {
		ps.add("grant_types", `have "client_credentials", which a public client has none of (RFC 6749 section 4.4); give its client secret and an auth_style`)
	}
}

// assertion checks claims, which are any text (RFC 7519 section 4.1).
func (ps *problems) assertion(c link.Config) {
	if c.Assertion != (link.Assertion{}) && !c.Uses(link.JWTBearer) {
		ps.add("assertion", `is of use for the grant type "%s" only; add that, or leave the assertion out`, link.JWTBearer)
	}
	if p := c.Assertion.Scopes; p != "" && !slices.Contains(link.Places(), p) {
		ps.add("assertion.scopes", "is %s; use one of %q", shown(string(p)), link.Places())
	}
	ps.text("assertion.issuer", c.Assertion.Issuer)
	ps.text("assertion.subject", c.Assertion.Subject)
	ps.text("assertion.audience", c.Assertion.Audience)
}

// text checks what is sent to the provider as it is.
func (ps *problems) text(field, value string) {
	if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) || len(value) > maxText {
		ps.add(field, "%s has control characters, or more than %d bytes; correct it", shown(value), maxText)
	}
}

// exchange checks whose token is given for which.
func (ps *problems) exchange(c link.Config) {
	x := c.Exchange
	switch uses := c.Uses(link.TokenExchange); {
	case !uses && x != (link.Exchange{}):
		ps.add("exchange", `is of use for the grant type "%s" only; add that, or leave the exchange out`, link.TokenExchange)
	case uses && x.Link == uuid.Nil:
		ps.add("exchange.subject_link_id", "is missing; name the link whose tokens are exchanged")
	}
	ps.text("exchange.subject", x.Subject)
	ps.text("exchange.audience", x.Audience)
	ps.tokenType("exchange.subject_token_type", x.SubjectTokenType)
	ps.tokenType("exchange.requested_token_type", x.RequestedTokenType)
}

// tokenType checks a token type identifier (RFC 8693 section 3).
func (ps *problems) tokenType(field, value string) {
	u, err := url.Parse(value)
	if value != "" && (err != nil || !u.IsAbs() || !ScopeToken(value) || len(value) > maxURL) {
		ps.add(field, "%s is no URI (RFC 8693 section 3); give one such as %s", shown(value), link.AccessTokenType)
	}
}
