package web

import (
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// What a form can say of the ways to a token, by the names that commands have for
// it. Two more are for problems of a whole.
var wayFields = []string{
	"grant_types", "client_key", "device_authorization_endpoint", "pushed_authorization_request_endpoint", "resources", "dpop_bound_access_tokens",
	"assertion", "assertion.issuer", "assertion.subject", "assertion.audience", "assertion.scopes",
	"exchange", "exchange.subject_link_id", "exchange.subject", "exchange.subject_token_type", "exchange.requested_token_type", "exchange.audience",
}

var grantTypes = []struct {
	Type  link.GrantType
	Words string
}{
	{link.AuthorizationCode, "a person consents in the browser"},
	{link.DeviceCode, "a person enters a code on another device"},
	{link.ClientCredentials, "the client itself, by its credentials"},
	{link.JWTBearer, "the client itself, by an assertion that it signs"},
	{link.TokenExchange, "in exchange for a token of another link"},
}

var places = []struct {
	Place link.Place
	Words string
}{
	{"", "where the provider wants them"},
	{link.InRequest, "in the request"},
	{link.InAssertion, "in the assertion"},
	{link.Nowhere, "nowhere: they are fixed at the provider"},
}

// shortWay is a grant type in a few words.
func shortWay(t link.GrantType) string {
	for _, g := range grantTypes {
		if g.Type == t {
			return g.Words
		}
	}
	return string(t)
}

// ways are how a link's tokens are had.
func ways(c link.Config) string {
	var all []string
	for _, t := range c.Ways() {
		all = append(all, shortWay(t))
	}
	return strings.Join(all, "; ")
}

// readWays reads from a form how tokens are had, but for the other link.
func readWays(q url.Values, d *commands.Draft) {
	text := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	for _, t := range q["grant_types"] {
		d.GrantTypes = append(d.GrantTypes, link.GrantType(t))
	}
	d.DeviceEndpoint, d.PushEndpoint = text("device_authorization_endpoint"), text("pushed_authorization_request_endpoint")
	d.Resources, d.DPoP = strings.Fields(q.Get("resources")), q.Get("dpop_bound_access_tokens") != ""
	d.Assertion = link.Assertion{
		Issuer: text("assertion.issuer"), Subject: text("assertion.subject"), Audience: text("assertion.audience"), Scopes: link.Place(text("assertion.scopes")),
		NoSubject: q.Get("assertion.no_subject") != "", Alone: q.Get("assertion.alone") != "",
	}
	d.Exchange = link.Exchange{
		Subject: text("exchange.subject"), SubjectTokenType: text("exchange.subject_token_type"),
		RequestedTokenType: text("exchange.requested_token_type"), Audience: text("exchange.audience"),
	}
}

// exchangedLink is the link whose tokens are exchanged.
func exchangedLink(q url.Values) (uuid.UUID, error) {
	text := strings.TrimSpace(q.Get("exchange.subject_link_id"))
	if text == "" {
		return uuid.Nil, nil
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return id, refused("exchange.subject_link_id", "is no link's id; take it from the page of the other link")
	}
	return id, nil
}

// scopesOf are a draft's scopes. The form begins with those that a refresh token
// needs, and where nobody is asked there is none.
func scopesOf(p provider.Provider, d commands.Draft) []string {
	if p.Complete(d.Config()).AsksPerson() {
		return d.Scopes
	}
	return slices.DeleteFunc(slices.Clone(d.Scopes), func(s string) bool { return slices.Contains(p.RequiredScopes, s) })
}

// secretOf is what the client proves itself with: a secret, or a key.
func secretOf(q url.Values) (domain.SecretInput, error) {
	secret, key := q.Get("client_secret"), strings.TrimSpace(q.Get("client_key"))
	if secret != "" && key != "" {
		return domain.SecretInput{}, refused("client_key", "is given beside a client secret; give the one that client authentication needs")
	}
	if secret+key == "" {
		return domain.SecretInput{}, nil
	}
	return domain.SecretInput{Clear: domain.NewSecret(secret + key)}, nil
}

// refused is an error about one field.
func refused(field, why string) error {
	return domain.Errorf(domain.InvalidArgument, "%s %s", field, why).With("problems", []provider.Problem{{Field: field, Problem: why}})
}

// needsKey reports whether the client authenticates by a key in the secret's place.
func needsKey(a link.AuthStyle) bool {
	return a == link.PrivateKeyJWT || a == link.TLSClientAuth || a == link.SelfSignedTLSAuth
}

// besideKey moves what is said of the client secret to where a key is given.
func besideKey(a link.AuthStyle, problems map[string]string) {
	if problem, said := problems["client_secret"]; said && needsKey(a) {
		problems["client_key"] = problem
		delete(problems, "client_secret")
	}
}

// usesWays reports whether there is something to see or to correct there.
func (v draftView) usesWays() bool {
	d, byPerson := v.Draft, []link.GrantType{link.AuthorizationCode}
	return len(d.GrantTypes) > 0 && !slices.Equal(d.GrantTypes, byPerson) || len(d.Resources) > 0 || d.DPoP || needsKey(d.AuthStyle) ||
		d.Assertion != (link.Assertion{}) || d.Exchange != (link.Exchange{}) ||
		slices.ContainsFunc(wayFields, func(field string) bool { return v.Problems[field] != "" })
}
