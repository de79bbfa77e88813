// Package tokens serves access tokens. It never returns a refresh token or a
// client secret, and never an access token that has expired.
package tokens

import (
	"cmp"
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/advice"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/internal/dpop"
)

// DefaultMinTTL is how long a served token lives at least, when the caller does
// not say.
const DefaultMinTTL = 30 * time.Second

// The most that a request may ask for.
const (
	MaxMinTTL  = 24 * time.Hour
	MaxPurpose = 100 // characters
)

// Request asks for an access token of a link.
type Request struct {
	Link        uuid.UUID
	Subject     string        // "" means "default"
	MinTTL      time.Duration // 0 means DefaultMinTTL, or any token that is valid if Asked
	Asked       bool          // MinTTL is the caller's own word
	MinSequence uint64        // of an event that the answer must know of
	Reader      string        // who asks, as far as the transport knows
	Purpose     string        // what for, in the reader's words
	Proof       *ProofRequest // nil: no proof is needed
}

func (r Request) key() domain.Key {
	return domain.Key{Link: r.Link, Grant: grant.ID(r.Link, cmp.Or(r.Subject, grant.DefaultSubject))}
}

// wish is how long a token must live, and whether that was asked for.
type wish struct {
	ttl   time.Duration
	asked bool
}

func (r Request) wish() wish {
	if r.Asked || r.MinTTL != 0 {
		return wish{r.MinTTL, true}
	}
	return wish{ttl: DefaultMinTTL}
}

func (r Request) check() error {
	switch {
	case r.MinTTL < 0 || r.MinTTL > MaxMinTTL:
		return domain.Errorf(domain.InvalidArgument, "min_ttl is %s; use 0s to 24h", r.MinTTL)
	case utf8.RuneCountInString(r.Purpose) > MaxPurpose:
		return domain.Errorf(domain.InvalidArgument, "purpose has %d characters; use at most %d", utf8.RuneCountInString(r.Purpose), MaxPurpose)
	case !domain.OneLine(r.Purpose):
		return domain.Errorf(domain.InvalidArgument, "purpose %q: use one line, and no characters that nobody sees", r.Purpose)
	}
	return r.Proof.check()
}

// Token is an access token as it is served.
type Token struct {
	AccessToken domain.Secret
	TokenType   string
	ExpiresAt   time.Time
	Scopes      []string
	Generation  uint64
	Proof       string // of the request that was asked for; "" for a bearer token

	key *dpop.Key // that it is bound to; nil for a bearer token
}

// Server serves access tokens. Cache and Audit may be nil; the other fields are
// required.
type Server struct {
	Commands *commands.Service
	Wait     time.Duration // for a refresh that has to come first
	Cache    *Cache
	Audit    *Audit

	// Watch calls changed after each event of a grant until stop is called.
	Watch func(key domain.Key, changed func()) (stop func(), err error)

	flights singleflight.Group
}

// Get returns a token that lives long enough, after a refresh if need be. A
// caller that asks for more than the provider gives gets the best there is.
func (s *Server) Get(ctx context.Context, r Request) (Token, error) {
	if err := r.check(); err != nil {
		return Token{}, err
	}
	if t, ok := s.Cached(r); ok {
		return t.proven(r.Proof, s.Commands.Now())
	}
	key := r.key()
	t, err := s.find(ctx, r, key)
	if err != nil {
		return Token{}, err
	}
	now := s.Commands.Now()
	s.Audit.read(r, key, t.Generation, now)
	return t.proven(r.Proof, now)
}

// Cached is Get as far as it needs nothing but memory, and without a proof.
func (s *Server) Cached(r Request) (Token, bool) {
	key, now := r.key(), s.Commands.Now()
	t, ok := s.Cache.get(key, now, r.wish(), r.MinSequence)
	if ok = ok && r.check() == nil; ok {
		s.Audit.read(r, key, t.Generation, now)
	}
	return t, ok
}

// find reads the grant, and has its token renewed when it is too old.
func (s *Server) find(ctx context.Context, r Request, key domain.Key) (Token, error) {
	g, err := once(ctx, s, fmt.Sprint("load ", key, r.MinSequence), func(ctx context.Context) (held, error) { return s.load(ctx, key) })
	switch {
	case err != nil:
		return Token{}, err
	case g.version == 0:
		return Token{}, domain.Errorf(domain.NotFound, "link %s has no grant for subject %q; authorize it first: outlink grant authorize %s --subject %q, or outlink grant request where no person is needed",
			r.Link, cmp.Or(r.Subject, grant.DefaultSubject), r.Link, cmp.Or(r.Subject, grant.DefaultSubject))
	case fresh(g.state.Credential, s.Commands.Now(), r.wish()):
		return s.serve(ctx, key, g)
	case g.state.WaitsForLink(): // and not for who asks
		if t, err := s.serve(ctx, key, g); err == nil || domain.CodeOf(err) == domain.LinkDegraded {
			return t, err
		}
	}
	return once(ctx, s, fmt.Sprint("renew ", key, g.state.Generation), func(ctx context.Context) (Token, error) {
		return s.renewed(ctx, r, key, g.state)
	})
}

// once has callers that want the same at the same time share one way to it. It
// goes on for the others when one of them gives up.
func once[T any](ctx context.Context, s *Server, what string, f func(context.Context) (T, error)) (T, error) {
	result := s.flights.DoChan(what, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Wait+10*time.Second)
		defer cancel()
		return f(ctx)
	})
	select {
	case r := <-result:
		v, _ := r.Val.(T)
		return v, r.Err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// held is a grant as log and vault have it.
type held struct {
	state      grant.State
	credential commands.Credential
	version    uint64
	end        uint64 // up to where the log was read
}

// load reads a grant whose link is usable.
func (s *Server) load(ctx context.Context, key domain.Key) (held, error) {
	now := s.Commands.Now()
	l, err := s.Commands.Links.Load(ctx, domain.Key{Link: key.Link})
	if err != nil {
		return held{}, err
	}
	if err := l.State.Usable(key.Link); err != nil {
		return held{}, err
	}
	s.Cache.usable(key.Link, l.End(), now)
	return s.grant(ctx, key)
}

func (s *Server) grant(ctx context.Context, key domain.Key) (held, error) {
	at, credential, err := s.Commands.Complete(ctx, key)
	return held{at.State, credential, at.Version, at.End()}, err
}

// leastGain is how much longer than the token that is there a new one must live
// to be worth a request, if not a tenth of its life is more.
const leastGain = 2 * time.Second

// fresh reports whether a credential lives long enough. Without a wish the
// schedule's own renewal is left to come first. A wish is heard as long as a new
// token, which lives as long as this one did, would live longer by a tenth: who
// asks for more than the provider gives causes ten requests in a token's life at
// most, and no loop.
func fresh(c *grant.TokenIssued, now time.Time, w wish) bool {
	if c == nil {
		return false
	}
	life := c.ExpiresAt.Sub(c.ReceivedAt)
	most := grant.Margin(life, false) * 9 / 10
	if w.asked {
		most = life - max(life/10, leastGain)
	}
	return c.ExpiresAt.Sub(now) > max(min(w.ttl, most), 0)
}

// serve hands out the token of a grant as it was read, and keeps it for the next
// caller.
func (s *Server) serve(ctx context.Context, key domain.Key, g held) (Token, error) {
	now := s.Commands.Now()
	issued, err := g.state.Servable(key.Grant, now)
	if err != nil {
		return Token{}, s.why(ctx, key, g.state, err)
	}
	if g.credential.Issued.Generation != issued.Generation || g.credential.AccessToken.IsZero() {
		return Token{}, domain.Errorf(domain.Unavailable, "the token of grant %s is being replaced; try again", key.Grant)
	}
	t := Token{
		AccessToken: g.credential.AccessToken, TokenType: issued.TokenType, ExpiresAt: issued.ExpiresAt,
		Scopes: issued.Scopes, Generation: issued.Generation,
	}
	if t.TokenType == answer.DPoP {
		seed, err := s.Commands.DPoPKey(ctx, key)
		if err != nil {
			return Token{}, err
		}
		t.key = dpop.NewKey(seed)
	}
	s.Cache.Keep(key, t, issued, g.end, now)
	return t, nil
}

// why is an error about a token that is not there. One that waits for its link does
// not come by asking again.
func (s *Server) why(ctx context.Context, key domain.Key, g grant.State, err error) error {
	if domain.CodeOf(err) != domain.Unavailable || !g.WaitsForLink() {
		return err
	}
	l, loadErr := s.Commands.Links.Load(ctx, domain.Key{Link: key.Link})
	if loadErr != nil || l.State.Trouble == "" {
		return err
	}
	return domain.Errorf(domain.LinkDegraded, "link %s is in trouble (%s), and no new token comes before that is over: %s see: outlink link show %s",
		key.Link, l.State.Trouble, advice.OfLink(l.State).Why, key.Link).With("reason", string(l.State.Trouble))
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
		Header:     commands.Header{CommandID: s.Commands.NewID(), Actor: reader(r.Reader), Reason: "a reader needs a token"},
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
	g, err := s.grant(ctx, key)
	if err != nil {
		return Token{}, err
	}
	return s.serve(ctx, key, g)
}

// reader names whoever asked as the actor of what follows.
func reader(name string) string {
	if name == "" {
		return "reader"
	}
	return "reader:" + name
}
