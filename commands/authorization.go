package commands

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
)

// ConsumeAuthorization spends an authorization: whoever gets it recorded may
// exchange the code, once. The callback runs it, never a service.
type ConsumeAuthorization struct {
	Header
	Key           domain.Key
	Authorization uuid.UUID
}

// ConsumeAuthorization runs the command.
func (s *Service) ConsumeAuthorization(ctx context.Context, c ConsumeAuthorization) (Outcome, error) {
	l, err := s.Links.Load(ctx, domain.Key{Link: c.Key.Link})
	if err != nil {
		return Outcome{}, err
	}
	if err := l.State.Usable(c.Key.Link); err != nil {
		return Outcome{}, err
	}
	return s.onGrant(ctx, c.Key, c.Header, func(g grant.State) (grant.Event, error) {
		return g.ConsumeAuthorization(grant.AuthorizationConsumed{Authorization: c.Authorization, At: s.Now()}, l.State.ConfigVersion)
	})
}

// FailAuthorization ends an authorization without a token.
type FailAuthorization struct {
	Header
	Key           domain.Key
	Authorization uuid.UUID
	Reason        grant.Reason
	ProviderCode  string
}

// FailAuthorization runs the command.
func (s *Service) FailAuthorization(ctx context.Context, c FailAuthorization) (Outcome, error) {
	return s.onGrant(ctx, c.Key, c.Header, func(g grant.State) (grant.Event, error) {
		return g.FailAuthorization(grant.AuthorizationFailed{
			Authorization: c.Authorization, Reason: c.Reason, ProviderCode: c.ProviderCode, At: s.Now(),
		})
	})
}
