package commands

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// RecordTokenIssued imports a credential that another system held. The subject's
// grant comes into being, or gets a new generation.
type RecordTokenIssued struct {
	Header
	Link         uuid.UUID          `json:"link_id"`
	Subject      string             `json:"subject,omitempty"`
	RefreshToken domain.SecretInput `json:"refresh_token,omitzero"`
	AccessToken  domain.SecretInput `json:"access_token,omitzero"`
	TokenType    string             `json:"token_type,omitempty"`
	Scopes       []string           `json:"scopes,omitempty"`
	ExpiresAt    time.Time          `json:"expires_at,omitzero"` // of the access token; without one the refresh is due at once

	RefreshTokenExpiresAt time.Time `json:"refresh_token_expires_at,omitzero"` // where the provider announced it
}

// RecordTokenIssued runs the command.
func (s *Service) RecordTokenIssued(ctx context.Context, c RecordTokenIssued) (Outcome, error) {
	access, err := s.open(c.AccessToken)
	if err != nil {
		return Outcome{}, err
	}
	refresh, err := s.open(c.RefreshToken)
	if err != nil {
		return Outcome{}, err
	}
	if c.Subject == "" {
		c.Subject = grant.DefaultSubject
	}
	key := domain.Key{Link: c.Link, Grant: grant.ID(c.Link, c.Subject)}
	if out, done, err := s.imported(ctx, key, c.CommandID, c.before); done || err != nil {
		return out, err
	}
	if err := errors.Join(checkSubject(c.Subject), checkImport(c, access, refresh, s.Now())); err != nil {
		return Outcome{}, err
	}
	l, err := s.Links.Load(ctx, domain.Key{Link: c.Link})
	if err != nil {
		return Outcome{}, err
	}
	if err := l.State.Usable(c.Link); err != nil {
		return Outcome{}, err
	}
	now := s.Now()
	t := NewToken{
		Key: key, Subject: c.Subject,
		Exchange: c.CommandID, Cause: grant.ByImport, ReceivedAt: now,
		Token: answer.Token{AccessToken: access, RefreshToken: refresh, TokenType: c.TokenType, Scopes: c.Scopes},
	}
	switch {
	case access.IsZero():
		t.ExpiresAt = now // nothing to serve yet: renew at once
	case !c.ExpiresAt.IsZero():
		t.ExpiresAt = c.ExpiresAt
	}
	if !c.RefreshTokenExpiresAt.IsZero() {
		t.Token.RefreshTokenLifetime = c.RefreshTokenExpiresAt.Sub(now)
	}
	return s.IssueToken(ctx, c.Header, t)
}

// imported answers an import that comes again. It must not bring back a refresh
// token that was rotated since. What it caused may be another's token that it
// completed: its own is known by its exchange.
func (s *Service) imported(ctx context.Context, key domain.Key, exchange uuid.UUID, b before) (Outcome, bool, error) {
	if !b.possible {
		return Outcome{}, false, nil
	}
	at, err := s.Grants.Load(ctx, key)
	if err != nil {
		return Outcome{}, false, err
	}
	at, found, err := find(ctx, s.Grants, key, at, b, 0, func(r domain.Record) bool {
		e, is := decoded[grant.TokenIssued](r)
		return is && e.Exchange == exchange
	})
	return ofGrant(key, at, []string{}), found, err
}

func checkImport(c RecordTokenIssued, access, refresh domain.Secret, now time.Time) error {
	switch {
	case access.IsZero() && refresh.IsZero():
		return domain.Errorf(domain.InvalidArgument, "there is no token to record; give refresh_token, access_token or both")
	case strings.EqualFold(c.TokenType, answer.DPoP):
		return domain.Errorf(domain.InvalidArgument, "the token is bound to a key that stays where the token was (RFC 9449); authorize the link instead")
	case !access.IsZero() && refresh.IsZero() && c.ExpiresAt.IsZero():
		return domain.Errorf(domain.InvalidArgument, "expires_at is missing: an access token without refresh token needs its end")
	case !c.RefreshTokenExpiresAt.IsZero() && refresh.IsZero():
		return domain.Errorf(domain.InvalidArgument, "refresh_token_expires_at is given without a refresh_token")
	case !c.RefreshTokenExpiresAt.IsZero() && !c.RefreshTokenExpiresAt.After(now):
		return domain.Errorf(domain.InvalidArgument, "refresh_token_expires_at is %s, which is over; authorize the link anew", c.RefreshTokenExpiresAt.Format(time.RFC3339))
	}
	return nil
}

// NewToken is a token that a provider issued, on its way into vault and log.
type NewToken struct {
	Key        domain.Key
	Subject    string
	Exchange   uuid.UUID // the authorization, attempt or import: recognises a repeat
	Cause      grant.Cause
	From       uint64 // the generation whose refresh token was used
	ReceivedAt time.Time
	ExpiresAt  time.Time // overrides the token's lifetime
	Fallback   bool      // the fallback was sent, not the current refresh token
	Token      answer.Token
}

// assumedLife is how long an access token counts for the schedule when neither
// the answer nor the catalogue says. It is still served afterwards only if renewed.
const assumedLife = time.Hour

// IssueToken stores a token: vault first, then the event. Whatever happens in
// between, the next reader completes what the vault has; a success is never
// dropped for a conflict.
func (s *Service) IssueToken(ctx context.Context, h Header, t NewToken) (Outcome, error) {
	l, err := s.Links.Load(ctx, domain.Key{Link: t.Key.Link})
	if err != nil {
		return Outcome{}, err
	}
	p, err := s.Catalogue.Get(l.State.Provider)
	if err != nil {
		return Outcome{}, err
	}
	for range attempts {
		kept, revision, err := s.complete(ctx, h, t.Key)
		if err != nil {
			return Outcome{}, err
		}
		if kept.at.State.Knows(t.Exchange) {
			return kept.outcome(t.Key), nil
		}
		if err := expected(h, t.Key, kept.at.Version-uint64(len(kept.events))); err != nil {
			return Outcome{}, err
		}
		if t.Cause == grant.ByImport {
			if err := s.begins(ctx, t, kept.at.State); err != nil {
				return Outcome{}, err
			}
		}
		c, err := s.credential(ctx, t, kept, l.State, p)
		if err != nil {
			return Outcome{}, err
		}
		if t.Cause == grant.ByImport {
			if known, err := s.imports(ctx, t, kept.at, c.Issued.RefreshTokenHash); known || err != nil {
				return kept.outcome(t.Key), err
			}
		}
		if kept.at.State.Overtaken(c.Issued) {
			out, err := s.keepFallback(ctx, h, t, kept, revision)
			if !errors.Is(err, ErrOvertaken) {
				return out, err
			}
			continue
		}
		if _, err := kept.at.State.RecordToken(t.Key.Grant, c.Issued); err != nil {
			return Outcome{}, err
		}
		err = s.Vault.StoreCredential(ctx, t.Key, c, revision)
		if err != nil && !errors.Is(err, ErrOvertaken) {
			return Outcome{}, err
		}
		// Either ours is in the vault now, or somebody else's is: complete it
		// and look again.
	}
	return Outcome{}, domain.Errorf(domain.Conflict, "grant %s changes faster than its token could be stored; try again", t.Key.Grant)
}

// begins makes the key of a grant that an import begins. While one is erased it is
// refused: its key is about to go.
func (s *Service) begins(ctx context.Context, t NewToken, g grant.State) error {
	if _, err := g.RecordToken(t.Key.Grant, grant.TokenIssued{Exchange: t.Exchange, Cause: t.Cause, Generation: g.Generation + 1}); err != nil {
		return err
	}
	return s.Vault.MakeKey(ctx, t.Key)
}

// imports reports whether an import brings nothing that the grant has not. It is an
// error when its refresh token was rotated since: sent again, it would end the grant.
func (s *Service) imports(ctx context.Context, t NewToken, at Loaded[grant.State], mark string) (known bool, err error) {
	state := at.State
	if state.Credential == nil || mark == "" {
		return false, nil
	}
	if mark == state.Credential.RefreshTokenHash {
		bare := t.Token.AccessToken.IsZero() && t.Token.RefreshTokenLifetime == 0
		return bare && state.Reauthorize == "" && state.Unreadable == "", nil
	}
	var next grant.TokenIssued // after the one that is looked at
	used := uint64(0)
	err = s.Grants.Back(ctx, t.Key, at, func(r domain.Record) (enough bool) {
		e, is := decoded[grant.TokenIssued](r)
		if !is {
			return r.Type == grant.Kinds.Type(grant.Revoked{}) // marks before that are of another key
		}
		if e.RefreshTokenHash == mark && next.Rotated {
			used = next.Generation
		}
		next, enough = e, e.RefreshTokenHash == mark
		return enough
	})
	if err == nil && used > 0 {
		err = domain.Errorf(domain.FailedPrecondition, "grant %s had this refresh token before, and the provider issued a newer one in its place (generation %d), which stays; "+
			"to begin with another consent, revoke the grant first: outlink grant revoke %s", t.Key.Grant, used, t.Key.Grant).With("generation", used)
	}
	return false, err
}

// keepFallback puts the refresh token of an overtaken answer beside the current
// credential. A crash between vault and log leaves it to the next repeat.
func (s *Service) keepFallback(ctx context.Context, h Header, t NewToken, kept keptGrant, revision uint64) (Outcome, error) {
	if t.Token.RefreshToken.IsZero() {
		return kept.outcome(t.Key), nil // it rotated nothing: there is nothing to keep
	}
	c := kept.credential
	if !c.Fallback.Equal(t.Token.RefreshToken) {
		c.Fallback = t.Token.RefreshToken
		if err := s.Vault.StoreCredential(ctx, t.Key, c, revision); err != nil {
			return Outcome{}, err
		}
	}
	mark, err := s.fingerprint(ctx, t.Key, t.Token.RefreshToken)
	if err != nil {
		return Outcome{}, err
	}
	h.CommandID = s.NewID()
	return s.onGrant(ctx, t.Key, h, func(g grant.State) (grant.Event, error) {
		return g.KeepFallback(t.Key.Grant, grant.FallbackKept{
			Attempt: t.Exchange, Generation: c.Issued.Generation, RefreshTokenHash: mark, ReceivedAt: t.ReceivedAt, At: s.Now(),
		})
	})
}

// Complete makes a credential count that reached the vault but not the log, as
// after a crash between the two. It returns the grant as it is then.
func (s *Service) Complete(ctx context.Context, key domain.Key) (Loaded[grant.State], Credential, error) {
	kept, _, err := s.complete(ctx, Header{CommandID: s.NewID(), Actor: "outlink"}, key)
	return kept.at, kept.credential, err
}

// keptGrant is a grant whose log and vault agree.
type keptGrant struct {
	at         Loaded[grant.State]
	credential Credential
	events     []string
}

func (k keptGrant) outcome(key domain.Key) Outcome {
	return ofGrant(key, k.at, k.events)
}

func (s *Service) complete(ctx context.Context, h Header, key domain.Key) (keptGrant, uint64, error) {
	h.ExpectedVersion = nil // completing is no change of the caller's
	for range attempts {
		at, err := s.Grants.Load(ctx, key)
		if err != nil {
			return keptGrant{}, 0, err
		}
		if at.State.Ended && !at.State.Shredded { // what is in the vault is about to go
			return keptGrant{at: at, events: []string{}}, 0, nil
		}
		c, revision, err := s.Vault.Credential(ctx, key)
		if domain.CodeOf(err) == domain.FailedPrecondition && at.State.Credential == nil {
			return keptGrant{at: at, events: []string{}}, revision, nil // shredded, and stored just then
		}
		if err != nil {
			return keptGrant{}, 0, err
		}
		k := keptGrant{at: at, credential: c, events: []string{}}
		if c.Issued.Generation <= at.State.Generation {
			return k, revision, nil
		}
		e, err := at.State.RecordToken(key.Grant, c.Issued)
		if domain.CodeOf(err) == domain.FailedPrecondition && at.State.Credential == nil {
			// It came while its consent was ended: whatever comes next takes its place.
			return keptGrant{at: at, events: []string{}}, revision, nil
		}
		if err != nil || e == nil {
			return k, revision, err
		}
		next, err := s.Grants.Append(ctx, key, at, e, h.meta(s.Now()))
		if err == nil {
			return keptGrant{at: next, credential: c, events: []string{grant.Kinds.Type(e)}}, revision, nil
		}
		if !errors.Is(err, ErrOvertaken) {
			return k, revision, err
		}
	}
	return keptGrant{}, 0, domain.Errorf(domain.Conflict, "grant %s changes faster than its token could be completed; try again", key.Grant)
}

// credential is the vault's next entry: the new tokens, or the old refresh
// token where the answer brought none (RFC 6749 section 6).
func (s *Service) credential(ctx context.Context, t NewToken, kept keptGrant, l link.State, p provider.Provider) (Credential, error) {
	if t.Cause == grant.ByRequest { // there should be none (RFC 6749 section 4.4.3), and none is needed
		t.Token.RefreshToken, t.Token.RefreshTokenLifetime = domain.Secret{}, 0
	}
	refresh, rotated := t.Token.RefreshToken, !t.Token.RefreshToken.IsZero()
	if !rotated && t.Cause == grant.ByRefresh {
		refresh = kept.credential.RefreshToken
		if t.Fallback && !kept.credential.Fallback.IsZero() {
			refresh = kept.credential.Fallback
		}
	}
	if rotated && refresh.Equal(kept.credential.RefreshToken) {
		rotated = false
	}
	mark, err := s.fingerprint(ctx, t.Key, refresh)
	if err != nil {
		return Credential{}, err
	}
	e := grant.TokenIssued{
		Exchange: t.Exchange, Subject: t.Subject, Cause: t.Cause, From: t.From,
		Generation: kept.at.State.Generation + 1,
		TokenType:  t.Token.TokenType, Scopes: t.Token.Scopes, ReceivedAt: t.ReceivedAt,
		Refreshable: !refresh.IsZero() || t.Cause == grant.ByRequest, Rotated: rotated && t.Cause == grant.ByRefresh,
		RefreshTokenHash: mark, ClientID: l.ClientID,
	}
	if e.TokenType == "" {
		e.TokenType = answer.Bearer
	}
	if e.Scopes == nil { // identical to what was requested (RFC 6749 section 5.1)
		e.Scopes = l.Scopes
		if c := kept.at.State.Credential; c != nil && t.Cause == grant.ByRefresh {
			e.Scopes = c.Scopes
		}
	}
	e.ExpiresAt, e.ExpiryAssumed = expiry(t, p)
	e.RefreshTokenExpiresAt = refreshTokenExpiry(t, kept, rotated, p)
	if e.Refreshable {
		e.RefreshAt = refreshAt(e, p, s.Spread())
	}
	if t.Cause == grant.ByRefresh {
		e.ConsentEndsAt = grant.ConsentEnds(kept.at.State.Credential, t.ReceivedAt, e.RefreshTokenExpiresAt)
	}
	next := Credential{Issued: e, AccessToken: t.Token.AccessToken, RefreshToken: refresh}
	if c := kept.at.State.Credential; c != nil && rotated && t.Cause == grant.ByRefresh && t.From < c.Generation {
		next.Fallback, next.Issued.Fallback = kept.credential.RefreshToken, true // of the answer that this one overtakes
	}
	return next, nil
}

// refreshAt is when the access token asks for a renewal, the refresh token's
// idle life does, at half of it, or its announced end: whichever is first.
func refreshAt(e grant.TokenIssued, p provider.Provider, spread float64) time.Time {
	at := grant.RefreshAt(e.ReceivedAt, e.ExpiresAt, p.Rotation.EndsOldAccessToken, spread)
	if idle := p.Lifetimes.RefreshIdle; idle > 0 && e.Cause != grant.ByRequest && e.ReceivedAt.Add(idle/2).Before(at) {
		at = e.ReceivedAt.Add(idle / 2)
	}
	return grant.BeforeEnd(at, e.ReceivedAt, e.RefreshTokenExpiresAt)
}

func expiry(t NewToken, p provider.Provider) (at time.Time, assumed bool) {
	switch {
	case !t.ExpiresAt.IsZero():
		return t.ExpiresAt, false
	case t.Token.Lifetime > 0:
		return t.ReceivedAt.Add(t.Token.Lifetime), false
	case p.Lifetimes.Access > 0:
		return t.ReceivedAt.Add(p.Lifetimes.Access), true
	}
	return t.ReceivedAt.Add(assumedLife), true
}

// refreshTokenExpiry is the announced end, or that of the consent where a new
// refresh token does not move it.
func refreshTokenExpiry(t NewToken, kept keptGrant, rotated bool, p provider.Provider) time.Time {
	if t.Token.RefreshTokenLifetime > 0 {
		return t.ReceivedAt.Add(t.Token.RefreshTokenLifetime)
	}
	if c := kept.at.State.Credential; c != nil && t.Cause == grant.ByRefresh && (!rotated || p.Lifetimes.RefreshFixed) {
		return c.RefreshTokenExpiresAt
	}
	return time.Time{}
}

// fingerprint tells a grant's refresh tokens apart in the log: 64 bits of a MAC
// whose key is shredded with the grant's.
func (s *Service) fingerprint(ctx context.Context, key domain.Key, token domain.Secret) (string, error) {
	if token.IsZero() {
		return "", nil
	}
	k, err := s.Vault.Derive(ctx, key, "fingerprint", key.Grant)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, k)
	mac.Write([]byte(token.Reveal()))
	return hex.EncodeToString(mac.Sum(nil)[:8]), nil
}
