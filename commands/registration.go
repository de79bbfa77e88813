package commands

import (
	"context"

	"github.com/google/uuid"

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
		DeviceEndpoint: l.DeviceEndpoint, PushEndpoint: l.PushEndpoint, Issuer: l.Issuer, Scopes: l.Scopes, AuthorizationParams: l.AuthorizationParams, Resources: l.Resources, Provider: p,
	}, nil
}
