package provider

import (
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// Registration is a client as its authorization server knows it: what a token
// request is made of, beside the code or the refresh token. It holds the client
// secret, so it is made when a request is due and kept nowhere.
type Registration struct {
	ClientID              string
	ClientSecret          domain.Secret // zero for a public client
	AuthStyle             link.AuthStyle
	AuthorizationEndpoint string
	TokenEndpoint         string
	RevocationEndpoint    string // "" where there is none
	DeviceEndpoint        string // "" where there is none
	PushEndpoint          string // "" where there is none
	Issuer                string // "" where it is not known
	RedirectURL           string
	Scopes                []string
	AuthorizationParams   map[string]string
	Resources             []string       // RFC 8707
	DPoPKey               domain.Secret  // seed of the key that a grant's tokens are bound to (RFC 9449); zero: bearer tokens
	GrantType             link.GrantType // that renews a token; "" means the refresh token
	Assertion             link.Assertion // with which the client requests tokens (RFC 7523)
	Exchange              link.Exchange
	SubjectToken          domain.Secret // that is exchanged (RFC 8693)
	Subject               string        // of the grant that the client requests tokens for
	Provider              Provider
}

// Requesting is the registration for tokens that the client requests by itself,
// for a grant of that subject. Nothing is used up by such a request, whatever
// becomes of refresh tokens.
func (r Registration) Requesting(t link.GrantType, subject string) Registration {
	r.GrantType, r.Subject, r.Provider.Rotation = t, subject, Rotation{Kind: Stable}
	return r
}

// OfSubject reports whether the client requests tokens for one subject of many:
// what is refused may then be that subject alone.
func (r Registration) OfSubject() bool {
	switch r.GrantType {
	case link.JWTBearer:
		return r.Assertion.Subject == "" && r.Subject != grant.DefaultSubject
	case link.TokenExchange:
		return r.Exchange.Subject == ""
	}
	return false
}
