package commands

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// RequestToken has the client of a link get tokens for itself, without a person
// (RFC 6749 section 4.4, RFC 7523 section 2.1, RFC 8693). The first is requested at once,
// the next ones in time.
type RequestToken struct {
	Header
	Link      uuid.UUID      `json:"link_id"`
	Subject   string         `json:"subject,omitempty"`    // default: "default"; jwt-bearer requests the token in this one's name, token-exchange gives this one's token
	GrantType link.GrantType `json:"grant_type,omitempty"` // of the request; needed where the link has more than one of the kind
}

func (c RequestToken) about() uuid.UUID { return c.Link }

// RequestToken records the wish; the refresh worker acts on it.
func (s *Service) RequestToken(ctx context.Context, c RequestToken) (Outcome, error) {
	if c.Subject == "" {
		c.Subject = grant.DefaultSubject
	}
	if err := checkSubject(c.Subject); err != nil {
		return Outcome{}, err
	}
	key := domain.Key{Link: c.Link, Grant: grant.ID(c.Link, c.Subject)}
	if out, done, err := s.didToGrant(ctx, c.Header, key); done || err != nil {
		return out, err
	}
	l, err := s.Links.Load(ctx, domain.Key{Link: c.Link})
	if err != nil {
		return Outcome{}, err
	}
	if err := l.State.Usable(c.Link); err != nil {
		return Outcome{}, err
	}
	way, err := c.way(l.State.Config)
	if err != nil {
		return Outcome{}, err
	}
	if way == link.TokenExchange {
		if err := s.exchangeable(ctx, l.State.Exchange, c.Subject); err != nil {
			return Outcome{}, err
		}
	}
	return s.onGrant(ctx, key, c.Header, func(g grant.State) (grant.Event, error) {
		e, err := g.RequestToken(key.Grant, grant.TokenRequested{Subject: c.Subject, GrantType: way, At: s.Now()})
		if err != nil || e == nil {
			return nil, err
		}
		_, err = s.Vault.MakeKey(ctx, key, g.Shredded) // with which the answer is sealed
		return e, err
	})
}

// way is how the client requests the token.
func (c RequestToken) way(l link.Config) (link.GrantType, error) {
	ways := l.Requests()
	switch {
	case len(ways) == 0:
		return "", domain.Errorf(domain.FailedPrecondition, "link %s does not use any of the grant types %q; add one to the link's grant_types, or have a person authorize it", c.Link, link.Requested())
	case c.GrantType == "" && len(ways) == 1:
		return ways[0], nil
	case c.GrantType == "":
		return "", domain.Errorf(domain.InvalidArgument, "link %s uses the grant types %q; give one of them as grant_type", c.Link, ways)
	case !slices.Contains(ways, c.GrantType):
		return "", domain.Errorf(domain.FailedPrecondition, "link %s does not use the grant type %q; it uses %q", c.Link, c.GrantType, ways)
	}
	return c.GrantType, nil
}

// exchangeable refuses an exchange whose other grant there never was: it would
// wait for ever.
func (s *Service) exchangeable(ctx context.Context, x link.Exchange, subject string) error {
	if err := s.linkUsable(ctx, x.Link); err != nil {
		return err
	}
	at, err := s.Grants.Load(ctx, domain.Key{Link: x.Link, Grant: grant.ID(x.Link, x.Of(subject))})
	if err == nil && at.Version == 0 {
		return domain.Errorf(domain.FailedPrecondition, "link %s, whose token is exchanged, has no grant for subject %q; authorize that first", x.Link, x.Of(subject))
	}
	return err
}
