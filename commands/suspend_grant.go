package commands

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain/grant"
)

// SuspendGrant takes a grant out of service.
type SuspendGrant struct {
	Header
	GrantRef
}

// SuspendGrant runs the command.
func (s *Service) SuspendGrant(ctx context.Context, c SuspendGrant) (Outcome, error) {
	return s.operate(ctx, c.GrantRef, c.Header, func(g grant.State, id uuid.UUID) (grant.Event, error) {
		return g.Suspend(id, grant.Suspended{Reason: c.Reason, At: s.Now()})
	})
}
