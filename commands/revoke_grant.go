package commands

import (
	"context"

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
	key := c.key()
	return s.onGrant(ctx, key, c.Header, func(g grant.State) (grant.Event, error) {
		return g.Revoke(key.Grant, grant.Revoked{Reason: c.Reason, At: s.Now()})
	})
}
