package commands

import (
	"cmp"
	"context"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
)

// GrantRef names a grant: by its id, or by its subject, which defaults to
// "default".
type GrantRef struct {
	Link    uuid.UUID `json:"link_id"`
	Grant   uuid.UUID `json:"grant_id,omitzero"`
	Subject string    `json:"subject,omitempty"`
}

func (r GrantRef) about() uuid.UUID { return r.Link }

func (r GrantRef) key() (domain.Key, error) {
	if r.Grant != uuid.Nil {
		return domain.Key{Link: r.Link, Grant: r.Grant}, nil
	}
	return domain.Key{Link: r.Link, Grant: grant.ID(r.Link, cmp.Or(r.Subject, grant.DefaultSubject))}, checkSubject(r.Subject)
}

// operate runs a decision about the grant that r names. Where there is none, that
// may be because there is no such link.
func (s *Service) operate(ctx context.Context, r GrantRef, h Header, ask func(g grant.State, id uuid.UUID) (grant.Event, error)) (Outcome, error) {
	key, err := r.key()
	if err != nil {
		return Outcome{}, err
	}
	out, err := s.onGrant(ctx, key, h, func(g grant.State) (grant.Event, error) { return ask(g, key.Grant) })
	if domain.CodeOf(err) != domain.NotFound {
		return out, err
	}
	if unknown := s.known(ctx, r.Link); unknown != nil {
		err = unknown
	}
	return Outcome{}, err
}

// known refuses a link that never was.
func (s *Service) known(ctx context.Context, id uuid.UUID) error {
	at, err := s.Links.Load(ctx, domain.Key{Link: id})
	if err == nil && at.Version == 0 {
		err = at.State.Usable(id)
	}
	return err
}

// RequestRefresh asks for a refresh before it is due. Generation is the one the
// caller saw; 0 means whichever is current.
type RequestRefresh struct {
	Header
	GrantRef
	Generation uint64 `json:"generation,omitempty"` // the one that the caller saw; 0: whichever is current
	Resend     bool   `json:"resend,omitempty"`     // the refresh token, although an answer to it could not be read; where a provider rotates strictly, that may end the grant
}

// RequestRefresh records the wish; the refresh worker acts on it.
func (s *Service) RequestRefresh(ctx context.Context, c RequestRefresh) (Outcome, error) {
	return s.requestRefresh(ctx, c.GrantRef, c.Header, grant.RefreshRequested{Generation: c.Generation, Reason: c.Reason, Resend: c.Resend})
}

func (s *Service) requestRefresh(ctx context.Context, r GrantRef, h Header, e grant.RefreshRequested) (Outcome, error) {
	key, err := r.key()
	if err != nil {
		return Outcome{}, err
	}
	if e.Generation > 0 { // who saw the token came after it, and one with an older token is served
		h.before.until = grant.Kinds.Type(grant.TokenIssued{})
	}
	if out, done, err := s.didToGrant(ctx, h, key); done || err != nil {
		return out, err
	}
	if err := s.linkUsable(ctx, key.Link); err != nil {
		return Outcome{}, err
	}
	return s.onGrant(ctx, key, h, func(g grant.State) (grant.Event, error) {
		e.Generation, e.At = cmp.Or(e.Generation, g.Generation), s.Now()
		return g.RequestRefresh(key.Grant, e)
	})
}

func (s *Service) linkUsable(ctx context.Context, id uuid.UUID) error {
	at, err := s.Links.Load(ctx, domain.Key{Link: id})
	if err != nil {
		return err
	}
	return at.State.Usable(id)
}

// ReportTokenRejected says that a caller's access token was refused (401) by
// the resource server: the token is renewed before its time.
type ReportTokenRejected struct {
	Header
	GrantRef
	Generation uint64 `json:"generation"` // of the token that was refused
}

// ReportTokenRejected asks for a refresh unless the token was renewed already.
func (s *Service) ReportTokenRejected(ctx context.Context, c ReportTokenRejected) (Outcome, error) {
	if c.Generation == 0 {
		return Outcome{}, domain.Errorf(domain.InvalidArgument, "generation is missing; give the generation of the token that was refused")
	}
	return s.requestRefresh(ctx, c.GrantRef, c.Header, grant.RefreshRequested{
		Generation: c.Generation, Reason: "rejected by the resource server", Rejected: true,
	})
}
