package commands

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain/link"
)

// DeleteLink ends a link: its grants are revoked at the provider where it can be
// done, and every key is shredded.
type DeleteLink struct {
	Header
	Link uuid.UUID `json:"link_id"`
}

func (c DeleteLink) about() uuid.UUID { return c.Link }

// DeleteLink runs the command.
func (s *Service) DeleteLink(ctx context.Context, c DeleteLink) (Outcome, error) {
	return s.onLink(ctx, c.Link, c.Header, func(l link.State) (link.Event, error) {
		return l.Delete(c.Link, link.Deleted{Reason: c.Reason, At: s.Now()})
	})
}
