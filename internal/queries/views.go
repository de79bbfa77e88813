package queries

import (
	"time"

	"github.com/google/uuid"

	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/projections"
)

// LinkView is a link as people and programs see it. The client secret is never
// part of it, only whether there is one.
type LinkView struct {
	Staleness
	Link                  uuid.UUID               `json:"link_id"`
	Name                  string                  `json:"name"`
	Provider              string                  `json:"provider"`
	Status                link.Status             `json:"status"`
	Reason                link.Reason             `json:"reason,omitempty"`
	ProviderCode          string                  `json:"provider_code,omitempty"`
	ClientID              string                  `json:"client_id"`
	ClientSecretSet       bool                    `json:"client_secret_set"`
	Scopes                []string                `json:"scopes"`
	AuthorizationEndpoint string                  `json:"authorization_endpoint"`
	TokenEndpoint         string                  `json:"token_endpoint"`
	RevocationEndpoint    string                  `json:"revocation_endpoint,omitempty"`
	DeviceEndpoint        string                  `json:"device_authorization_endpoint,omitempty"`         // where a code for another device is asked for (RFC 8628)
	PushEndpoint          string                  `json:"pushed_authorization_request_endpoint,omitempty"` // where authorization requests are pushed to (RFC 9126); empty: they go through the browser
	Issuer                string                  `json:"issuer,omitempty"`
	AuthStyle             link.AuthStyle          `json:"auth_style"`
	AuthorizationParams   map[string]string       `json:"authorization_params,omitempty"`
	Resources             []string                `json:"resources,omitempty"`                // what the tokens are for, as URIs (RFC 8707)
	GrantTypes            []link.GrantType        `json:"grant_types,omitempty"`              // how tokens are had; none: authorization_code
	Assertion             link.Assertion          `json:"assertion,omitzero"`                 // what the client says of itself; for the grant type jwt-bearer
	Exchange              link.Exchange           `json:"exchange,omitzero"`                  // whose token is exchanged; for the grant type token-exchange
	DPoP                  bool                    `json:"dpop_bound_access_tokens,omitempty"` // tokens are bound to a key of the grant's own (RFC 9449)
	RedirectURL           string                  `json:"redirect_url"`
	Grants                projections.GrantCounts `json:"grants"`
	NextExpiry            *time.Time              `json:"next_expiry,omitempty"`
	CreatedAt             time.Time               `json:"created_at"`
	UpdatedAt             time.Time               `json:"updated_at"`
	Version               uint64                  `json:"version"`
	Sequence              uint64                  `json:"sequence"`
}

// ViewLink shows a row.
func ViewLink(r projections.LinkRow) LinkView {
	s := r.State
	return LinkView{
		Link: r.Link, Name: s.Name, Provider: s.Provider, Status: s.Status(), Reason: s.Trouble, ProviderCode: s.TroubleCode,
		ClientID: s.ClientID, ClientSecretSet: s.SecretGeneration > 0, Scopes: s.Scopes,
		AuthorizationEndpoint: s.AuthorizationEndpoint, TokenEndpoint: s.TokenEndpoint,
		RevocationEndpoint: s.RevocationEndpoint, Issuer: s.Issuer, AuthStyle: s.AuthStyle,
		AuthorizationParams: s.AuthorizationParams, Resources: s.Resources, GrantTypes: s.GrantTypes, DeviceEndpoint: s.DeviceEndpoint, PushEndpoint: s.PushEndpoint, DPoP: s.DPoP, Assertion: s.Assertion, Exchange: s.Exchange, RedirectURL: s.RedirectURL, Grants: r.Grants,
		NextExpiry: optional(r.NextExpiry), CreatedAt: s.CreatedAt, UpdatedAt: r.UpdatedAt, Version: s.Version, Sequence: r.Sequence,
	}
}

// GrantView is a grant as people and programs see it, without its tokens.
type GrantView struct {
	Staleness
	Grant                 uuid.UUID      `json:"grant_id"`
	Link                  uuid.UUID      `json:"link_id"`
	Subject               string         `json:"subject"`
	Status                grant.Status   `json:"status"`
	Reason                string         `json:"reason,omitempty"` // why a person is needed, or why the last attempt failed
	ProviderCode          string         `json:"provider_code,omitempty"`
	Generation            uint64         `json:"generation"`
	GrantType             link.GrantType `json:"grant_type,omitempty"` // with which the client itself requests tokens
	TokenType             string         `json:"token_type,omitempty"`
	Scopes                []string       `json:"scopes,omitempty"`
	ReceivedAt            *time.Time     `json:"received_at,omitempty"`
	ExpiresAt             *time.Time     `json:"expires_at,omitempty"`
	DueAt                 *time.Time     `json:"due_at,omitempty"` // when it is looked at next
	Refreshable           bool           `json:"refreshable"`
	RefreshTokenExpiresAt *time.Time     `json:"refresh_token_expires_at,omitempty"`
	Failures              int            `json:"failures,omitempty"`
	CreatedAt             time.Time      `json:"created_at"`
	UpdatedAt             time.Time      `json:"updated_at"`
	Version               uint64         `json:"version"`
	Sequence              uint64         `json:"sequence"`
}

func viewGrant(r projections.GrantRow, now time.Time) GrantView {
	s := r.State
	v := GrantView{
		Grant: r.Grant, Link: r.Link, Subject: s.Subject, Status: s.StatusAt(now), ProviderCode: s.ProviderCode,
		Generation: s.Generation, GrantType: s.GrantType, DueAt: optional(s.DueAt()), Failures: s.Failures,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Version: s.Version, Sequence: r.Sequence,
	}
	switch {
	case s.Reauthorize != "":
		v.Reason = string(s.Reauthorize)
	case s.Unreadable != "":
		v.Reason = s.Unreadable
	case s.Failures > 0:
		v.Reason = string(s.Deferred)
	}
	if c := s.Credential; c != nil {
		v.TokenType, v.Scopes, v.Refreshable = c.TokenType, c.Scopes, c.Refreshable
		v.ReceivedAt, v.ExpiresAt = optional(c.ReceivedAt), optional(c.ExpiresAt)
		v.RefreshTokenExpiresAt = optional(c.RefreshTokenExpiresAt)
	}
	return v
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
