package commands

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/link"
)

// ReplaceClientSecret gives a link a new client secret.
type ReplaceClientSecret struct {
	Header
	Link         uuid.UUID          `json:"link_id"`
	ClientSecret domain.SecretInput `json:"client_secret"`
}

func (c ReplaceClientSecret) about() uuid.UUID { return c.Link }

// ReplaceClientSecret puts the secret into the vault under the next generation,
// then says that it counts. The old one stays readable until then.
func (s *Service) ReplaceClientSecret(ctx context.Context, c ReplaceClientSecret) (Outcome, error) {
	secret, err := s.open(c.ClientSecret)
	if err != nil {
		return Outcome{}, err
	}
	if secret.IsZero() {
		return Outcome{}, domain.Errorf(domain.InvalidArgument, "client_secret is missing; give the new client secret")
	}
	return s.onLink(ctx, c.Link, c.Header, func(l link.State) (link.Event, error) {
		e := link.ClientSecretReplaced{Generation: l.SecretGeneration + 1, At: s.Now()}
		if _, err := l.ReplaceClientSecret(c.Link, e); err != nil {
			return nil, err
		}
		if err := s.CheckSecret(l.AuthStyle, secret); err != nil {
			return nil, err
		}
		if err := s.Vault.StoreClientSecret(ctx, c.Link, e.Generation, secret); err != nil {
			return nil, err
		}
		return l.ReplaceClientSecret(c.Link, e)
	})
}
