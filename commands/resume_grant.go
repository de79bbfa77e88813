package commands

import (
	"context"

	"outlink/domain/grant"
)

// ResumeGrant puts a suspended grant back into service.
type ResumeGrant struct {
	Header
	GrantRef
}

// ResumeGrant runs the command.
func (s *Service) ResumeGrant(ctx context.Context, c ResumeGrant) (Outcome, error) {
	key := c.key()
	return s.onGrant(ctx, key, c.Header, func(g grant.State) (grant.Event, error) {
		return g.Resume(key.Grant, grant.Resumed{Reason: c.Reason, At: s.Now()})
	})
}
