package commands

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/name"
)

// UpdateOutgoingLink changes a link's configuration. Members left out keep
// their value, and an empty list of scopes is one; the provider cannot change.
type UpdateOutgoingLink struct {
	Header
	Link                  uuid.UUID          `json:"link_id"`
	Name                  *string            `json:"name,omitempty"`
	ClientID              *string            `json:"client_id,omitempty"`
	Scopes                []string           `json:"scopes,omitzero"`
	AuthorizationEndpoint *string            `json:"authorization_endpoint,omitempty"`
	TokenEndpoint         *string            `json:"token_endpoint,omitempty"`
	RevocationEndpoint    *string            `json:"revocation_endpoint,omitempty"`
	DeviceEndpoint        *string            `json:"device_authorization_endpoint,omitempty"`         // where a code for another device is asked for (RFC 8628)
	PushEndpoint          *string            `json:"pushed_authorization_request_endpoint,omitempty"` // where authorization requests are pushed to (RFC 9126); empty: they go through the browser
	Issuer                *string            `json:"issuer,omitempty"`
	AuthStyle             *link.AuthStyle    `json:"auth_style,omitempty"`
	AuthorizationParams   *map[string]string `json:"authorization_params,omitempty"`
	Resources             *[]string          `json:"resources,omitempty"`                // what the tokens are for, as URIs (RFC 8707)
	GrantTypes            []link.GrantType   `json:"grant_types,omitempty"`              // how tokens are had; none: authorization_code
	Assertion             *link.Assertion    `json:"assertion,omitempty"`                // what the client says of itself, as a whole; for the grant type jwt-bearer
	Exchange              *link.Exchange     `json:"exchange,omitempty"`                 // whose token is exchanged, as a whole; for the grant type token-exchange
	DPoP                  *bool              `json:"dpop_bound_access_tokens,omitempty"` // tokens are bound to a key of the grant's own (RFC 9449); counts for new authorizations
}

func (c UpdateOutgoingLink) about() uuid.UUID { return c.Link }

// UpdateOutgoingLink decides on the changed configuration as a whole. A changed
// client needs its secret replaced too: see ReplaceClientSecret.
func (s *Service) UpdateOutgoingLink(ctx context.Context, c UpdateOutgoingLink) (Outcome, error) {
	if out, done, err := s.didToLink(ctx, c.Header, c.Link); done || err != nil {
		return out, err
	}
	at, err := s.Links.Load(ctx, domain.Key{Link: c.Link})
	if err != nil {
		return Outcome{}, err
	}
	if at.State.Status() == link.StatusAbsent || at.State.Status() == link.StatusDeleted {
		_, err := at.State.Update(c.Link, link.Updated{}) // says what is the matter
		return Outcome{}, err
	}
	if c.Name != nil && name.ID(*c.Name) != name.ID(at.State.Name) {
		if _, err := s.reconfigure(ctx, c, at.State); err != nil {
			return Outcome{}, err // nothing is reserved for a refused configuration
		}
		if err := name.Check(*c.Name); err != nil {
			return Outcome{}, err
		}
		if err := s.reserveName(ctx, c.Link, *c.Name, c.Header); err != nil {
			return Outcome{}, err
		}
	}
	return s.onLink(ctx, c.Link, c.Header, func(l link.State) (link.Event, error) {
		config, err := s.reconfigure(ctx, c, l)
		if err != nil {
			return nil, err
		}
		return l.Update(c.Link, link.Updated{Config: config, At: s.Now()})
	})
}

// reconfigure is the configuration as the command changes it. A new way to
// authenticate must fit the client secret that there is, unless nothing is sent before
// the link is enabled.
func (s *Service) reconfigure(ctx context.Context, c UpdateOutgoingLink, l link.State) (link.Config, error) {
	config, err := s.configure(c.Link, c.apply(l.Config), l.SecretGeneration > 0)
	if err == nil && config.AuthStyle != l.AuthStyle && l.Status() != link.StatusDisabled {
		err = s.suits(ctx, c.Link, l.SecretGeneration, config.AuthStyle)
	}
	return config, err
}

// suits refuses a client authentication that has no use for the link's secret.
func (s *Service) suits(ctx context.Context, id uuid.UUID, generation uint64, style link.AuthStyle) error {
	secret, err := s.Vault.ClientSecret(ctx, id, generation)
	switch {
	case domain.CodeOf(err) == domain.FailedPrecondition:
		return nil // the link moved here without it: the one that comes is looked at then
	case err != nil:
		return err
	}
	if err := s.CheckSecret(style, secret); err != nil {
		return domain.Errorf(domain.InvalidArgument, "%s; disable the link, change auth_style, replace the client secret, and enable the link", domain.Public(err).Message)
	}
	return nil
}

func (c UpdateOutgoingLink) apply(to link.Config) Draft {
	d := Draft{
		Name: to.Name, Provider: to.Provider, ClientID: to.ClientID, Scopes: to.Scopes,
		AuthorizationEndpoint: to.AuthorizationEndpoint, TokenEndpoint: to.TokenEndpoint,
		RevocationEndpoint: to.RevocationEndpoint, Issuer: to.Issuer,
		AuthStyle: to.AuthStyle, AuthorizationParams: to.AuthorizationParams, Resources: to.Resources, GrantTypes: to.GrantTypes,
		DeviceEndpoint: to.DeviceEndpoint, PushEndpoint: to.PushEndpoint, DPoP: to.DPoP, Assertion: to.Assertion, Exchange: to.Exchange,
	}
	replace(&d.Name, c.Name)
	replace(&d.ClientID, c.ClientID)
	replace(&d.AuthorizationEndpoint, c.AuthorizationEndpoint)
	replace(&d.TokenEndpoint, c.TokenEndpoint)
	replace(&d.RevocationEndpoint, c.RevocationEndpoint)
	replace(&d.DeviceEndpoint, c.DeviceEndpoint)
	replace(&d.PushEndpoint, c.PushEndpoint)
	replace(&d.Issuer, c.Issuer)
	replace(&d.AuthStyle, c.AuthStyle)
	replace(&d.AuthorizationParams, c.AuthorizationParams)
	replace(&d.Resources, c.Resources)
	replace(&d.DPoP, c.DPoP)
	replace(&d.Assertion, c.Assertion)
	replace(&d.Exchange, c.Exchange)
	if c.GrantTypes != nil {
		d.GrantTypes = c.GrantTypes
		if !slices.Contains(c.GrantTypes, link.JWTBearer) && c.Assertion == nil {
			d.Assertion = link.Assertion{} // what it was for is given up
		}
		if !slices.Contains(c.GrantTypes, link.TokenExchange) && c.Exchange == nil {
			d.Exchange = link.Exchange{}
		}
	}
	if c.Scopes != nil {
		d.Scopes = c.Scopes
	}
	return d
}

func replace[T any](old, by *T) {
	if by != nil {
		*old = *by
	}
}
