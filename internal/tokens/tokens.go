// Package tokens serves access tokens. It never returns a refresh token or a
// client secret, and never an access token that has expired.
package tokens

import (
	"context"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
)

// DefaultMinTTL is how long a served token lives at least, when the caller does
// not say.
const DefaultMinTTL = 30 * time.Second

// Request asks for an access token of a link.
type Request struct {
	Link    uuid.UUID
	Subject string        // "" means "default"
	MinTTL  time.Duration // 0 means DefaultMinTTL
	Actor   string
}

// Token is an access token as it is served.
type Token struct {
	AccessToken domain.Secret
	TokenType   string
	ExpiresAt   time.Time
	Scopes      []string
	Generation  uint64
}

// Server serves access tokens. All fields are required.
type Server struct {
	Commands *commands.Service
	Wait     time.Duration // for a refresh that has to come first

	// Watch calls changed after each event of a grant until stop is called.
	Watch func(key domain.Key, changed func()) (stop func(), err error)
}

// Get returns a token that lives long enough, after a refresh if need be. A
// caller that asks for more than the provider gives gets the best there is.
func (s *Server) Get(ctx context.Context, r Request) (Token, error) {
	if r.Subject == "" {
		r.Subject = grant.DefaultSubject
	}
	if r.MinTTL == 0 {
		r.MinTTL = DefaultMinTTL
	}
	if r.MinTTL < 0 || r.MinTTL > 24*time.Hour {
		return Token{}, domain.Errorf(domain.InvalidArgument, "min_ttl is %s; use 0s to 24h", r.MinTTL)
	}
	key := domain.Key{Link: r.Link, Grant: grant.ID(r.Link, r.Subject)}
	l, err := s.Commands.Links.Load(ctx, domain.Key{Link: r.Link})
	if err != nil {
		return Token{}, err
	}
	if err := l.State.Usable(r.Link); err != nil {
		return Token{}, err
	}
	at, credential, err := s.Commands.Complete(ctx, key)
	if err != nil {
		return Token{}, err
	}
	if at.Version == 0 {
		return Token{}, domain.Errorf(domain.NotFound, "link %s has no grant for subject %q; authorize it first: outlink grant authorize %s --subject %q", r.Link, r.Subject, r.Link, r.Subject)
	}
	if fresh(at.State.Credential, s.Commands.Now(), r.MinTTL) {
		return serve(key, at.State, credential, s.Commands.Now())
	}
	return s.renewed(ctx, r, key, at.State)
}

// fresh reports whether a credential lives long enough: for the caller, or at
// least as long as the schedule leaves it before renewing it.
func fresh(c *grant.TokenIssued, now time.Time, minTTL time.Duration) bool {
	if c == nil {
		return false
	}
	enough := min(minTTL, grant.Margin(c.ExpiresAt.Sub(c.ReceivedAt), false)*9/10)
	return c.ExpiresAt.Sub(now) > max(enough, 0)
}

func serve(key domain.Key, s grant.State, c commands.Credential, now time.Time) (Token, error) {
	issued, err := s.Servable(key.Grant, now)
	if err != nil {
		return Token{}, err
	}
	if c.Issued.Generation != issued.Generation || c.AccessToken.IsZero() {
		return Token{}, domain.Errorf(domain.Unavailable, "the token of grant %s is being replaced; try again", key.Grant)
	}
	return Token{
		AccessToken: c.AccessToken, TokenType: issued.TokenType, ExpiresAt: issued.ExpiresAt,
		Scopes: issued.Scopes, Generation: issued.Generation,
	}, nil
}

// renewed asks for a refresh, once for all callers, and waits for its outcome.
// When none comes in time, a token that still lives is better than none.
func (s *Server) renewed(ctx context.Context, r Request, key domain.Key, seen grant.State) (Token, error) {
	news := make(chan struct{}, 1)
	stop, err := s.Watch(key, func() {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return Token{}, err
	}
	defer stop()
	ask := commands.RequestRefresh{
		Header:     commands.Header{CommandID: s.Commands.NewID(), Actor: r.Actor, Reason: "a reader needs a token"},
		GrantRef:   commands.GrantRef{Link: key.Link, Grant: key.Grant},
		Generation: seen.Generation,
	}
	if _, err := s.Commands.RequestRefresh(ctx, ask); err != nil {
		if t, serveErr := s.now(ctx, key); serveErr == nil {
			return t, nil
		}
		return Token{}, err
	}
	timeout := time.NewTimer(s.Wait)
	defer timeout.Stop()
	for {
		at, err := s.Commands.Grants.Load(ctx, key)
		if err != nil {
			return Token{}, err
		}
		if at.State.Generation > seen.Generation || failedSince(at.State, seen) {
			return s.now(ctx, key)
		}
		select {
		case <-news:
		case <-timeout.C:
			return s.now(ctx, key)
		case <-ctx.Done():
			return Token{}, ctx.Err()
		}
	}
}

// failedSince reports whether an attempt ended since without a token.
func failedSince(now, before grant.State) bool {
	return now.Attempt == nil && (now.Failures > before.Failures || now.Reauthorize != "" || now.Ended || now.OnHold)
}

func (s *Server) now(ctx context.Context, key domain.Key) (Token, error) {
	at, credential, err := s.Commands.Complete(ctx, key)
	if err != nil {
		return Token{}, err
	}
	return serve(key, at.State, credential, s.Commands.Now())
}
