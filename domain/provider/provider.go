// Package provider knows OAuth providers: their endpoints and habits, as an
// entry of the catalogue says, and what a link to one of them must satisfy.
//
// It is pure. The catalogue is data (catalogue.yaml) that internal/catalogue
// reads; whatever needs the network, such as the addresses behind a host name,
// is checked again when a connection is made.
package provider

import (
	"slices"
	"strings"
	"time"

	"outlink/domain/answer"
	"outlink/domain/link"
)

// Custom is the key of the provider that presets nothing.
const Custom = "custom"

// RotationKind is what a provider does to a refresh token that was used.
type RotationKind string

// The kinds. Unknown is treated as strict for caution and as grace for speed.
const (
	Stable  RotationKind = "stable"  // the same token stays
	Grace   RotationKind = "grace"   // a new one; the old one works for a while
	Strict  RotationKind = "strict"  // a new one; the old one is dead, its reuse may end the grant
	Unknown RotationKind = "unknown" // custom providers
)

// Provider is an entry of the catalogue.
type Provider struct {
	Key                   string                  `yaml:"key" json:"key"`
	Name                  string                  `yaml:"name" json:"name"`
	AuthorizationEndpoint string                  `yaml:"authorization_endpoint" json:"authorization_endpoint,omitempty"`
	TokenEndpoint         string                  `yaml:"token_endpoint" json:"token_endpoint,omitempty"`
	RevocationEndpoint    string                  `yaml:"revocation_endpoint" json:"revocation_endpoint,omitempty"`
	Revocation            string                  `yaml:"revocation" json:"revocation,omitempty"`                                                       // what revoking a token ends: "project" is the user's whole access; "" is the grant
	DeviceEndpoint        string                  `yaml:"device_authorization_endpoint" json:"device_authorization_endpoint,omitempty"`                 // RFC 8628
	PushEndpoint          string                  `yaml:"pushed_authorization_request_endpoint" json:"pushed_authorization_request_endpoint,omitempty"` // RFC 9126
	Issuer                string                  `yaml:"issuer" json:"issuer,omitempty"`
	AuthStyle             link.AuthStyle          `yaml:"auth_style" json:"auth_style,omitempty"`
	GrantTypes            []link.GrantType        `yaml:"grant_types" json:"grant_types,omitempty"`         // none: authorization_code
	ScopeSeparator        string                  `yaml:"scope_separator" json:"scope_separator,omitempty"` // "" means a space
	RequiredScopes        []string                `yaml:"required_scopes" json:"required_scopes,omitempty"` // without these there is no refresh token
	ScopesOptional        bool                    `yaml:"scopes_optional" json:"scopes_optional,omitempty"` // a link may ask for none: the client's registration fixes them
	AuthorizationParams   map[string]string       `yaml:"authorization_params" json:"authorization_params,omitempty"`
	PublicClients         bool                    `yaml:"public_clients" json:"public_clients,omitempty"`                     // a client secret is not required
	NoPKCE                bool                    `yaml:"no_pkce" json:"no_pkce,omitempty"`                                   // the provider does not take part in RFC 7636
	DPoP                  bool                    `yaml:"dpop_bound_access_tokens" json:"dpop_bound_access_tokens,omitempty"` // the provider demands DPoP (RFC 9449)
	Assertion             link.Assertion          `yaml:"assertion" json:"assertion,omitzero"`                                // of links that use jwt-bearer
	Exchange              link.Exchange           `yaml:"exchange" json:"exchange,omitzero"`                                  // of links that use token-exchange
	TokenRequest          string                  `yaml:"token_request" json:"token_request,omitempty"`                       // "json" where the token endpoint wants that; "" means a form
	Response              Response                `yaml:"response" json:"response,omitzero"`
	Redirect              RedirectPolicy          `yaml:"redirect" json:"redirect"`
	Rotation              Rotation                `yaml:"rotation" json:"rotation"`
	Lifetimes             Lifetimes               `yaml:"lifetimes" json:"lifetimes,omitzero"`
	Errors                map[string]answer.Class `yaml:"errors" json:"errors,omitempty"`     // error codes with a meaning of their own
	Source                string                  `yaml:"source" json:"source,omitempty"`     // where the facts are from
	Verified              string                  `yaml:"verified" json:"verified,omitempty"` // the day they were confirmed
}

// Response is how a provider's token response departs from RFC 6749 section 5.
type Response struct {
	Nested         string   `yaml:"nested" json:"nested,omitempty"`                   // member that holds the token when the top level does not
	BearerTypes    []string `yaml:"bearer_types" json:"bearer_types,omitempty"`       // token types that mean Bearer
	ErrorMember    string   `yaml:"error_member" json:"error_member,omitempty"`       // member that holds the code when "error" does not
	ScopeSeparator string   `yaml:"scope_separator" json:"scope_separator,omitempty"` // "" means a space
}

// Bearer reports whether a token type means that whoever has the token may use it.
func (r Response) Bearer(kind string) bool {
	same := func(s string) bool { return strings.EqualFold(s, kind) }
	return same(answer.Bearer) || slices.ContainsFunc(r.BearerTypes, same)
}

// RedirectPolicy is what a provider demands of a redirect URL.
type RedirectPolicy struct {
	PublicHost    bool     `yaml:"public_host" json:"public_host,omitempty"`       // no raw IP address, and a public suffix
	LocalhostHTTP bool     `yaml:"localhost_http" json:"localhost_http,omitempty"` // localhost is exempt from these and from HTTPS
	RefusedHosts  []string `yaml:"refused_hosts" json:"refused_hosts,omitempty"`   // with everything below them
}

// Rotation is what happens to a used refresh token.
type Rotation struct {
	Kind               RotationKind  `yaml:"kind" json:"kind"`
	Grace              time.Duration `yaml:"grace" json:"grace,omitempty"`
	EndsOldAccessToken bool          `yaml:"ends_old_access_token" json:"ends_old_access_token,omitempty"`
}

// Lifetimes are what a provider documents and does not always say.
type Lifetimes struct {
	Access       time.Duration `yaml:"access" json:"access,omitempty"`               // assumed when an answer has no expires_in
	RefreshIdle  time.Duration `yaml:"refresh_idle" json:"refresh_idle,omitempty"`   // an unused refresh token dies after this
	Refresh      time.Duration `yaml:"refresh" json:"refresh,omitempty"`             // any refresh token dies after this
	RefreshFixed bool          `yaml:"refresh_fixed" json:"refresh_fixed,omitempty"` // refresh counts from the consent: a refresh does not move the end
}
