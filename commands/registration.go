package commands

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// Registration is a link as a token endpoint wants it, its client secret read
// from the vault now.
func (s *Service) Registration(ctx context.Context, id uuid.UUID, l link.State) (provider.Registration, error) {
	p, err := s.Catalogue.Get(l.Provider)
	if err != nil {
		return provider.Registration{}, err
	}
	secret, err := s.Vault.ClientSecret(ctx, id, l.SecretGeneration)
	if err != nil {
		return provider.Registration{}, err
	}
	return provider.Registration{
		ClientID: l.ClientID, ClientSecret: secret, AuthStyle: l.AuthStyle,
		AuthorizationEndpoint: l.AuthorizationEndpoint, TokenEndpoint: l.TokenEndpoint,
		RevocationEndpoint: l.RevocationEndpoint, RedirectURL: l.RedirectURL,
		DeviceEndpoint: l.DeviceEndpoint, PushEndpoint: l.PushEndpoint, Issuer: l.Issuer, Scopes: l.Scopes, AuthorizationParams: l.AuthorizationParams, Resources: l.Resources, Assertion: l.Assertion, Exchange: l.Exchange, Provider: p,
	}, nil
}

// GrantRegistration is the registration for the requests of one grant: with the
// key that its tokens are bound to, where they are.
func (s *Service) GrantRegistration(ctx context.Context, key domain.Key, l link.State, bound bool) (provider.Registration, error) {
	r, err := s.Registration(ctx, key.Link, l)
	if err == nil && bound {
		r.DPoPKey, err = s.DPoPKey(ctx, key)
	}
	return r, err
}

// DPoPKey is the seed of a grant's key (RFC 9449). Like a code verifier it is
// derived, so that it is kept nowhere and ends with the grant's data key.
func (s *Service) DPoPKey(ctx context.Context, key domain.Key) (domain.Secret, error) {
	seed, err := s.Vault.Derive(ctx, key, "dpop", key.Grant)
	return domain.NewSecret(string(seed)), err
}
