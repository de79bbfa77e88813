package client

import (
	"context"
	"time"

	"github.com/google/uuid"
	"golang.org/x/oauth2"

	"outlink/commands"
	"outlink/domain"
)

// The life of a cached token.
const (
	margin     = 30 * time.Second // before a token's end, or a quarter of its life when that is less
	reportOnce = 30 * time.Second // a resource that refuses every token costs at most one refresh in this time
	renewal    = 10 * time.Second // how long a refused request waits for a newer token
)

// TokenSource gives the access tokens of a grant to oauth2.NewClient and all who
// take an oauth2.TokenSource. It asks Outlink once for all concurrent callers,
// and again only shortly before the token's end. The context holds for every
// request it makes. An empty subject means "default".
func (c Client) TokenSource(ctx context.Context, link uuid.UUID, subject string) oauth2.TokenSource {
	return bound{ctx, newSource(c, link, subject)}
}

// bound is a source for callers who have no context of their own.
type bound struct {
	ctx  context.Context
	from *source
}

func (b bound) Token() (*oauth2.Token, error) {
	t, err := b.from.token(b.ctx)
	if err != nil {
		return nil, err
	}
	if t.bound() {
		return nil, domain.Errorf(domain.FailedPrecondition, "the token is bound to a key, and each request needs a proof of its own (RFC 9449): use HTTPClient, RoundTripper or BoundToken in place of a token source")
	}
	return &oauth2.Token{AccessToken: t.AccessToken, TokenType: t.TokenType, Expiry: t.ExpiresAt}, nil
}

// source caches the newest token of one grant.
type source struct {
	client  Client
	link    uuid.UUID
	subject string

	turn     chan struct{} // a lock that a caller's context can end the wait for
	kept     Token
	until    time.Time
	reported time.Time
	refused  uint64 // generation of the token that was reported last
}

func newSource(c Client, link uuid.UUID, subject string) *source {
	return &source{client: c, link: link, subject: subject, turn: make(chan struct{}, 1)}
}

func (s *source) lock(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *source) unlock() { <-s.turn }

// token returns the kept token while it is good. Whoever waits for its turn
// finds what the one before has fetched.
func (s *source) token(ctx context.Context) (Token, error) {
	if err := s.lock(ctx); err != nil {
		return Token{}, err
	}
	defer s.unlock()
	if time.Now().Before(s.until) {
		return s.kept, nil
	}
	return s.fetch(ctx, 0)
}

// replace reports a token that a resource server refused and returns a newer
// one; ok is false when there is none to be had now.
func (s *source) replace(ctx context.Context, refused Token) (newer Token, ok bool) {
	if s.lock(ctx) != nil {
		return Token{}, false
	}
	defer s.unlock()
	if s.kept.Generation > refused.Generation {
		return s.kept, true
	}
	if !s.reported.IsZero() && time.Since(s.reported) < reportOnce {
		return Token{}, false
	}
	out, err := s.client.ReportTokenRejected(ctx, commands.ReportTokenRejected{
		GrantRef: commands.GrantRef{Link: s.link, Subject: s.subject}, Generation: refused.Generation,
	})
	if err != nil {
		return Token{}, false
	}
	s.reported, s.refused = time.Now(), refused.Generation
	newer, err = s.renewed(ctx, refused.Generation, out.Sequence)
	return newer, err == nil && newer.Generation > refused.Generation
}

// renewed asks until there is a newer token or none comes in time: meanwhile
// Outlink serves the one that it has, which other resources may still take.
func (s *source) renewed(ctx context.Context, refused, after uint64) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, renewal)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		t, err := s.fetch(ctx, after)
		if err != nil || t.Generation > refused || !wait(ctx, pause) {
			return t, err
		}
	}
}

// proven fetches the present token with the proof for one request. Its generation
// may be newer than that of the kept one.
func (s *source) proven(ctx context.Context, p Proof) (Token, error) {
	return s.client.BoundToken(ctx, s.link, s.subject, p)
}

func (s *source) fetch(ctx context.Context, after uint64) (Token, error) {
	t, err := s.client.token(ctx, s.link, tokenRequest{Subject: s.subject, MinSequence: after}, 0)
	if err != nil {
		return Token{}, err
	}
	s.kept, s.until = t, time.Time{} // a refused one is used while there is no other, and asked for each time
	if t.Generation > s.refused {
		s.until = t.ExpiresAt.Add(-min(margin, time.Until(t.ExpiresAt)/4))
	}
	return t, nil
}
