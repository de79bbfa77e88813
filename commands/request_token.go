package commands

import (
	"context"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// RequestToken has the client of a link get tokens for itself, without a person
// (RFC 6749 section 4.4). The first is requested at once, the next ones in time.
type RequestToken struct {
	Header
	Link    uuid.UUID `json:"link_id"`
	Subject string    `json:"subject,omitempty"` // default: "default"
}

// RequestToken records the wish; the refresh worker acts on it.
func (s *Service) RequestToken(ctx context.Context, c RequestToken) (Outcome, error) {
	if c.Subject == "" {
		c.Subject = grant.DefaultSubject
	}
	if err := checkSubject(c.Subject); err != nil {
		return Outcome{}, err
	}
	l, err := s.Links.Load(ctx, domain.Key{Link: c.Link})
	if err != nil {
		return Outcome{}, err
	}
	if err := l.State.Usable(c.Link); err != nil {
		return Outcome{}, err
	}
	if !l.State.Uses(link.ClientCredentials) {
		return Outcome{}, domain.Errorf(domain.FailedPrecondition, "link %s does not use the grant type %q; add it to the link's grant_types, or have a person authorize it", c.Link, link.ClientCredentials)
	}
	key := domain.Key{Link: c.Link, Grant: grant.ID(c.Link, c.Subject)}
	return s.onGrant(ctx, key, c.Header, func(g grant.State) (grant.Event, error) {
		e, err := g.RequestToken(key.Grant, grant.TokenRequested{Subject: c.Subject, GrantType: link.ClientCredentials, At: s.Now()})
		if err != nil || e == nil {
			return nil, err
		}
		// Deriving makes the grant's data key, with which the answer is sealed.
		_, err = s.Vault.Derive(ctx, key, "fingerprint", key.Grant)
		return e, err
	})
}
