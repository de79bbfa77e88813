package commands

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain/grant"
)

// RevokeGrant ends a grant: its token is revoked at the provider where it can be
// done, and its key is shredded.
type RevokeGrant struct {
	Header
	GrantRef
}

// RevokeGrant runs the command.
func (s *Service) RevokeGrant(ctx context.Context, c RevokeGrant) (Outcome, error) {
	return s.operate(ctx, c.GrantRef, c.Header, func(g grant.State, id uuid.UUID) (grant.Event, error) {
		return g.Revoke(id, grant.Revoked{Reason: c.Reason, At: s.Now()})
	})
}
