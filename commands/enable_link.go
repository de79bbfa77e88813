package commands

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain/link"
)

// EnableLink puts a disabled link back into service.
type EnableLink struct {
	Header
	Link uuid.UUID `json:"link_id"`
}

func (c EnableLink) about() uuid.UUID { return c.Link }

// EnableLink runs the command. While a link is disabled its client authentication and
// its client secret are changed one after the other; now they must fit.
func (s *Service) EnableLink(ctx context.Context, c EnableLink) (Outcome, error) {
	return s.onLink(ctx, c.Link, c.Header, func(l link.State) (link.Event, error) {
		e, err := l.Enable(c.Link, link.Enabled{Reason: c.Reason, At: s.Now()})
		if err == nil && e != nil && l.SecretGeneration > 0 {
			err = s.suits(ctx, c.Link, l.SecretGeneration, l.AuthStyle)
		}
		return e, err
	})
}
