package commands

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain/link"
)

// DisableLink takes a link out of service: no refresh, no token is served.
type DisableLink struct {
	Header
	Link uuid.UUID `json:"link_id"`
}

func (c DisableLink) about() uuid.UUID { return c.Link }

// DisableLink runs the command.
func (s *Service) DisableLink(ctx context.Context, c DisableLink) (Outcome, error) {
	return s.onLink(ctx, c.Link, c.Header, func(l link.State) (link.Event, error) {
		return l.Disable(c.Link, link.Disabled{Reason: c.Reason, At: s.Now()})
	})
}
