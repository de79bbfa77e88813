// Package link decides what may happen to an outgoing OAuth link: a client
// registration at one provider.
//
// It is pure: no clock, no randomness, no I/O. A command asks the current
// [State] for a decision; the decision is one [Event], or nil when there is
// nothing left to do; [Evolve] folds that event into the next State. The client
// secret is never here: an event names its generation in the vault.
package link

import (
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
)

// Status is what a link can be used for.
type Status string

// The statuses. StatusAbsent is a link that was never created.
const (
	StatusAbsent   Status = ""
	StatusActive   Status = "active"
	StatusDegraded Status = "degraded" // refreshing is paused or slowed: see Reason
	StatusDisabled Status = "disabled" // by an operator; tokens are not served
	StatusDeleted  Status = "deleted"
)

// Reason says why a link is degraded. It is the link's trouble and never marks
// a grant as needing consent.
type Reason string

// The reasons.
const (
	ClientRejected      Reason = "client_rejected"      // the client secret is wrong or expired
	ClientDeleted       Reason = "client_deleted"       // the provider no longer knows the client
	EndpointUnreachable Reason = "endpoint_unreachable" // the token endpoint cannot be reached
	ScopeRejected       Reason = "scope_rejected"       // the provider refuses the scopes
	ConfigError         Reason = "config_error"         // the provider refuses the request as it is configured
)

// AuthStyle is how the client authenticates at the token endpoint (RFC 6749
// section 2.3.1). It is always explicit: guessing sends a refresh token twice.
type AuthStyle string

// The client authentication methods. The first two are older than the names of
// RFC 8414 (token_endpoint_auth_methods_supported), which the others carry. What
// proves the client is always the link's client secret: a password, a key or a
// certificate with its key.
const (
	Basic             AuthStyle = "basic"                       // client_secret_basic
	Body              AuthStyle = "body"                        // client_secret_post
	None              AuthStyle = "none"                        // a public client: PKCE only
	PrivateKeyJWT     AuthStyle = "private_key_jwt"             // RFC 7523: the secret is a signing key, JWK or PEM
	TLSClientAuth     AuthStyle = "tls_client_auth"             // RFC 8705: the secret is a certificate and its key, PEM
	SelfSignedTLSAuth AuthStyle = "self_signed_tls_client_auth" // the same, and the provider knows the certificate itself
)

// AuthStyles lists the client authentication methods.
func AuthStyles() []AuthStyle {
	return []AuthStyle{Basic, Body, PrivateKeyJWT, TLSClientAuth, SelfSignedTLSAuth, None}
}

// GrantType is a way to a token, by the name that it is requested with and that
// clients are registered for (RFC 7591 section 2).
type GrantType string

// The grant types. Refreshing belongs to those that a person consents to.
const (
	AuthorizationCode GrantType = "authorization_code"
	DeviceCode        GrantType = "urn:ietf:params:oauth:grant-type:device_code"    // RFC 8628: a person, on another device
	ClientCredentials GrantType = "client_credentials"                              // RFC 6749 section 4.4: the client itself, without a person
	JWTBearer         GrantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"     // RFC 7523 section 2.1: the same, by an assertion that it signs; see [Assertion]
	TokenExchange     GrantType = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693: the same, for another grant's token; see [Exchange]
)

// GrantTypes lists the grant types.
func GrantTypes() []GrantType {
	return append([]GrantType{AuthorizationCode, DeviceCode}, Requested()...)
}

// Requested lists the grant types by which the client itself requests tokens.
func Requested() []GrantType { return []GrantType{ClientCredentials, JWTBearer, TokenExchange} }

// Config is what an administrator configures.
type Config struct {
	Name                  string            `json:"name"`
	Provider              string            `json:"provider"`
	ClientID              string            `json:"client_id"`
	Scopes                []string          `json:"scopes"`
	AuthorizationEndpoint string            `json:"authorization_endpoint"`
	TokenEndpoint         string            `json:"token_endpoint"`
	RevocationEndpoint    string            `json:"revocation_endpoint,omitempty"`
	Issuer                string            `json:"issuer,omitempty"` // expected iss of RFC 9207; empty: not checked when absent
	AuthStyle             AuthStyle         `json:"auth_style"`
	AuthorizationParams   map[string]string `json:"authorization_params,omitempty"`                  // sent to the authorization endpoint as they are
	Resources             []string          `json:"resources,omitempty"`                             // sent as resource with every request (RFC 8707)
	GrantTypes            []GrantType       `json:"grant_types,omitempty"`                           // none: authorization_code
	DeviceEndpoint        string            `json:"device_authorization_endpoint,omitempty"`         // RFC 8628
	PushEndpoint          string            `json:"pushed_authorization_request_endpoint,omitempty"` // RFC 9126; empty: requests go through the browser
	DPoP                  bool              `json:"dpop_bound_access_tokens,omitempty"`              // tokens are bound to a key of the grant's own (RFC 9449)
	Assertion             Assertion         `json:"assertion,omitzero"`                              // of the grant type jwt-bearer
	Exchange              Exchange          `json:"exchange,omitzero"`                               // of the grant type token-exchange
	RedirectURL           string            `json:"redirect_url"`
}

// Uses reports whether the link gets tokens that way.
func (c Config) Uses(t GrantType) bool {
	if len(c.GrantTypes) == 0 {
		return t == AuthorizationCode
	}
	return slices.Contains(c.GrantTypes, t)
}

// Ways are the grant types by which the link gets tokens, named or not.
func (c Config) Ways() []GrantType {
	return slices.DeleteFunc(GrantTypes(), func(t GrantType) bool { return !c.Uses(t) })
}

// Requests are the ways by which the client itself requests the link's tokens.
func (c Config) Requests() []GrantType {
	return slices.DeleteFunc(Requested(), func(t GrantType) bool { return !c.Uses(t) })
}

// AsksPerson reports whether a person consents to the link's grants.
func (c Config) AsksPerson() bool { return c.Uses(AuthorizationCode) || c.Uses(DeviceCode) }

// State is a link folded from its events. The zero State is a link that was
// never created.
type State struct {
	Config
	Created          bool      `json:"created,omitempty"`
	CreatedAt        time.Time `json:"created_at,omitzero"`
	Removed          bool      `json:"removed,omitempty"`
	Paused           bool      `json:"paused,omitempty"`
	Trouble          Reason    `json:"trouble,omitempty"`
	TroubleCode      string    `json:"trouble_code,omitempty"` // the provider's error code
	TroubleSince     time.Time `json:"trouble_since,omitzero"`
	ConfigVersion    uint64    `json:"config_version,omitempty"`    // grows with each change an open authorization must not survive
	SecretGeneration uint64    `json:"secret_generation,omitempty"` // 0: no client secret
	Version          uint64    `json:"version,omitempty"`           // events so far
}

// Status is the link's status; a deletion outweighs a pause, a pause a trouble.
func (s State) Status() Status {
	switch {
	case !s.Created:
		return StatusAbsent
	case s.Removed:
		return StatusDeleted
	case s.Paused:
		return StatusDisabled
	case s.Trouble != "":
		return StatusDegraded
	}
	return StatusActive
}

// Evolve returns the State after e. It never refuses: what happened, happened.
func Evolve(s State, e Event) State {
	s.Version++
	switch e := e.(type) {
	case Created:
		s.Config, s.Created, s.CreatedAt = e.Config, true, e.At
		s.SecretGeneration, s.ConfigVersion = e.SecretGeneration, 1
	case Updated:
		s.Config = e.Config
		s.ConfigVersion++
		s = s.healed() // a new configuration deserves a new try
	case ClientSecretReplaced:
		s.SecretGeneration = e.Generation
		s.ConfigVersion++
		s = s.healed()
	case Degraded:
		if s.Trouble == "" {
			s.TroubleSince = e.At
		}
		s.Trouble, s.TroubleCode = e.Reason, e.ProviderCode
	case Recovered:
		s = s.healed()
	case Disabled:
		s.Paused = true
	case Enabled:
		s.Paused = false
	case Deleted:
		s.Removed = true
	}
	return s
}

func (s State) healed() State {
	s.Trouble, s.TroubleCode, s.TroubleSince = "", "", time.Time{}
	return s
}

// Fold folds a history, oldest first.
func Fold(history []Event) State {
	var s State
	for _, e := range history {
		s = Evolve(s, e)
	}
	return s
}

// exists refuses to decide about a link that is not there.
func (s State) exists(id uuid.UUID) error {
	switch s.Status() {
	case StatusAbsent:
		return domain.Errorf(domain.NotFound, "link %s does not exist", id)
	case StatusDeleted:
		return domain.Errorf(domain.FailedPrecondition, "link %s is deleted; create a new one", id)
	}
	return nil
}

// Create decides whether the link comes into being. Creating it again with the
// same configuration is a repeat: there is nothing left to do.
func (s State) Create(id uuid.UUID, e Created) (Event, error) {
	switch {
	case !s.Created:
		return e, nil
	case !s.Removed && sameConfig(s.Config, e.Config):
		return nil, nil
	}
	return nil, domain.Errorf(domain.AlreadyExists, "link %s exists already with another configuration; leave out --id, or update the link", id)
}

// Update decides on a new configuration.
func (s State) Update(id uuid.UUID, e Updated) (Event, error) {
	if err := s.exists(id); err != nil || sameConfig(s.Config, e.Config) {
		return nil, err
	}
	return e, nil
}

// ReplaceClientSecret decides on a new client secret, already in the vault
// under the event's generation.
func (s State) ReplaceClientSecret(id uuid.UUID, e ClientSecretReplaced) (Event, error) {
	if err := s.exists(id); err != nil || e.Generation <= s.SecretGeneration {
		return nil, err
	}
	return e, nil
}

// Degrade decides whether the link has a new trouble. The same trouble again is
// no news: a link is degraded once, however many of its grants noticed.
func (s State) Degrade(id uuid.UUID, e Degraded) (Event, error) {
	if err := s.exists(id); err != nil || s.Trouble == e.Reason {
		return nil, err
	}
	return e, nil
}

// Recover decides whether a success ends the link's trouble.
func (s State) Recover(id uuid.UUID, e Recovered) (Event, error) {
	if err := s.exists(id); err != nil || s.Trouble == "" {
		return nil, err
	}
	return e, nil
}

// Disable decides whether the link is taken out of service.
func (s State) Disable(id uuid.UUID, e Disabled) (Event, error) {
	if err := s.exists(id); err != nil || s.Paused {
		return nil, err
	}
	return e, nil
}

// Enable decides whether the link is put back into service.
func (s State) Enable(id uuid.UUID, e Enabled) (Event, error) {
	if err := s.exists(id); err != nil || !s.Paused {
		return nil, err
	}
	return e, nil
}

// Delete decides whether the link ends. Deleting it twice is harmless.
func (s State) Delete(id uuid.UUID, e Deleted) (Event, error) {
	switch s.Status() {
	case StatusAbsent:
		return nil, s.exists(id)
	case StatusDeleted:
		return nil, nil
	}
	return e, nil
}

// Usable refuses work for a link that is out of service.
func (s State) Usable(id uuid.UUID) error {
	if err := s.exists(id); err != nil {
		return err
	}
	if s.Paused {
		return domain.Errorf(domain.FailedPrecondition, "link %s (%s) is disabled; an operator can enable it: outlink link enable %s", id, s.Name, id)
	}
	return nil
}

func sameConfig(a, b Config) bool {
	if len(a.AuthorizationParams) == 0 && len(b.AuthorizationParams) == 0 {
		a.AuthorizationParams, b.AuthorizationParams = nil, nil
	}
	if len(a.Resources) == 0 && len(b.Resources) == 0 {
		a.Resources, b.Resources = nil, nil
	}
	if len(a.GrantTypes) == 0 && len(b.GrantTypes) == 0 {
		a.GrantTypes, b.GrantTypes = nil, nil
	}
	return reflect.DeepEqual(a, b)
}
