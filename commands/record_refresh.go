package commands

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// RecordRefreshStarted takes the lease of a refresh. It is the refresh
// worker's: an outcome without events says that there is nothing to do.
func (s *Service) RecordRefreshStarted(ctx context.Context, key domain.Key, h Header, e grant.RefreshStarted) (Outcome, error) {
	return s.onGrant(ctx, key, h, func(g grant.State) (grant.Event, error) { return g.StartRefresh(key.Grant, e) })
}

// RecordRefreshDeferred ends an attempt that is to be repeated.
func (s *Service) RecordRefreshDeferred(ctx context.Context, key domain.Key, h Header, e grant.RefreshDeferred) (Outcome, error) {
	return s.onGrant(ctx, key, h, func(g grant.State) (grant.Event, error) { return g.DeferRefresh(e) })
}

// RecordRefreshUnreadable ends an attempt whose answer a person must read.
func (s *Service) RecordRefreshUnreadable(ctx context.Context, key domain.Key, h Header, e grant.RefreshUnreadable) (Outcome, error) {
	return s.onGrant(ctx, key, h, func(g grant.State) (grant.Event, error) { return g.SetAsideUnreadable(e) })
}

// RecordRefreshStalled says that a grant's refreshes have failed for a day.
func (s *Service) RecordRefreshStalled(ctx context.Context, key domain.Key, h Header, e grant.RefreshStalled) (Outcome, error) {
	return s.onGrant(ctx, key, h, func(g grant.State) (grant.Event, error) { return g.Stall(e) })
}

// WarnOfReauthorization says that the consent ends soon, if it does.
func (s *Service) WarnOfReauthorization(ctx context.Context, key domain.Key, h Header) (Outcome, error) {
	return s.onGrant(ctx, key, h, func(g grant.State) (grant.Event, error) { return g.Warn(s.Now()) })
}

// RequireReauthorization says that only a person's consent helps.
func (s *Service) RequireReauthorization(ctx context.Context, key domain.Key, h Header, e grant.ReauthorizationRequired) (Outcome, error) {
	return s.onGrant(ctx, key, h, func(g grant.State) (grant.Event, error) { return g.RequireReauthorization(e) })
}

// RecordErased says that a revoked grant's key is gone.
func (s *Service) RecordErased(ctx context.Context, key domain.Key, h Header, e grant.Erased) (Outcome, error) {
	return s.onGrant(ctx, key, h, func(g grant.State) (grant.Event, error) { return g.Erase(e) })
}

// Refusal is what a provider said of a link.
type Refusal struct {
	ConfigVersion uint64 // of the link that it was said of
	Class         answer.Class
	Code          string
}

// DegradeLink records a link's trouble, once however many grants notice it. What was
// said of a configuration that is over is no trouble of the present one.
func (s *Service) DegradeLink(ctx context.Context, id uuid.UUID, h Header, r Refusal) (Outcome, error) {
	e := link.Degraded{Reason: reasons[r.Class], ProviderCode: r.Code, At: s.Now()}
	return s.onLink(ctx, id, h, func(l link.State) (link.Event, error) {
		if l.ConfigVersion != r.ConfigVersion {
			return nil, nil
		}
		return l.Degrade(id, e)
	})
}

var reasons = map[answer.Class]link.Reason{
	answer.ClientRejected: link.ClientRejected,
	answer.ClientDeleted:  link.ClientDeleted,
	answer.ScopeRejected:  link.ScopeRejected,
	answer.ConfigError:    link.ConfigError,
	answer.AccessDenied:   link.ConfigError,
	answer.NotSent:        link.EndpointUnreachable,
	answer.Ambiguous:      link.EndpointUnreachable,
	answer.Transient:      link.EndpointUnreachable,
}

// RecoverLink ends a link's trouble after a success.
func (s *Service) RecoverLink(ctx context.Context, id uuid.UUID, h Header) (Outcome, error) {
	return s.onLink(ctx, id, h, func(l link.State) (link.Event, error) {
		return l.Recover(id, link.Recovered{At: s.Now()})
	})
}
