package commands

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain/grant"
)

// ResumeGrant puts a suspended grant back into service.
type ResumeGrant struct {
	Header
	GrantRef
}

// ResumeGrant runs the command.
func (s *Service) ResumeGrant(ctx context.Context, c ResumeGrant) (Outcome, error) {
	return s.operate(ctx, c.GrantRef, c.Header, func(g grant.State, id uuid.UUID) (grant.Event, error) {
		return g.Resume(id, grant.Resumed{Reason: c.Reason, At: s.Now()})
	})
}
