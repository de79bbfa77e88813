package commands

import (
	"context"

	"outlink/domain/grant"
)

// SuspendGrant takes a grant out of service.
type SuspendGrant struct {
	Header
	GrantRef
}

// SuspendGrant runs the command.
func (s *Service) SuspendGrant(ctx context.Context, c SuspendGrant) (Outcome, error) {
	key := c.key()
	return s.onGrant(ctx, key, c.Header, func(g grant.State) (grant.Event, error) {
		return g.Suspend(key.Grant, grant.Suspended{Reason: c.Reason, At: s.Now()})
	})
}
