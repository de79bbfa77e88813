package commands

import (
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
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

func (c RecordTokenIssued) about() uuid.UUID { return c.Link }

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
	p, err := s.Catalogue.Get(l.State.Provider)
	if err != nil {
		return Outcome{}, err
	}
	if c.TokenType != "" && !p.Response.Bearer(c.TokenType) {
		return Outcome{}, domain.Errorf(domain.InvalidArgument, "token_type %q is none that can be imported; %s tokens can, and those without a word on it", clip(c.TokenType), answer.Bearer)
	}
	return s.IssueToken(ctx, c.Header, c.token(key, access, refresh, s.Now()))
}

func (c RecordTokenIssued) token(key domain.Key, access, refresh domain.Secret, now time.Time) NewToken {
	t := NewToken{
		Key: key, Subject: c.Subject,
		Exchange: c.CommandID, Cause: grant.ByImport, ReceivedAt: now,
		Token: answer.Token{AccessToken: access, RefreshToken: refresh, TokenType: answer.Bearer, Scopes: c.Scopes},
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
	return t
}

// imported answers an import that comes again. It must not bring back a refresh
// token that was rotated since. What it caused may be another's token that it
// completed: its own is known by its exchange.
func (s *Service) imported(ctx context.Context, key domain.Key, exchange uuid.UUID, b before) (Outcome, bool, error) {
	at, found, err := did(ctx, s.Grants, key, b, func(r domain.Record) bool {
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
	case refresh.IsZero() && !c.ExpiresAt.After(now):
		return domain.Errorf(domain.InvalidArgument, "expires_at is %s, which is over, and there is no refresh_token; authorize the link instead", c.ExpiresAt.Format(time.RFC3339))
	case !c.RefreshTokenExpiresAt.IsZero() && refresh.IsZero():
		return domain.Errorf(domain.InvalidArgument, "refresh_token_expires_at is given without a refresh_token")
	case !c.RefreshTokenExpiresAt.IsZero() && !c.RefreshTokenExpiresAt.After(now):
		return domain.Errorf(domain.InvalidArgument, "refresh_token_expires_at is %s, which is over; authorize the link anew", c.RefreshTokenExpiresAt.Format(time.RFC3339))
	case c.RefreshTokenExpiresAt.Sub(now) == math.MaxInt64: // the longest duration there is
		return domain.Errorf(domain.InvalidArgument, "refresh_token_expires_at is %s, which is no end; leave it out", c.RefreshTokenExpiresAt.Format(time.RFC3339))
	}
	return checkTokens(c.Scopes, access, refresh)
}

// checkTokens refuses what can't be sent as it is: an access token goes into a header
// (RFC 6750 section 2.1), a refresh token into a form (RFC 6749 appendix A.17).
func checkTokens(scopes []string, access, refresh domain.Secret) error {
	switch a := access.Reveal(); {
	case !provider.Printable(a) || strings.Contains(a, " "):
		return domain.Errorf(domain.InvalidArgument, "access_token has a space, or a character that is not printable ASCII; copy it again")
	case !provider.Printable(refresh.Reveal()):
		return domain.Errorf(domain.InvalidArgument, "refresh_token has a character that is not printable ASCII; copy it again")
	}
	for _, scope := range scopes {
		if !provider.ScopeToken(scope) {
			return domain.Errorf(domain.InvalidArgument, `scopes have %q, which is no scope (RFC 6749 section 3.3: printable ASCII without space, " and \); give each scope by itself`, clip(scope))
		}
	}
	return nil
}

// admit makes the key of a grant that an import begins, and reports whether it brings
// nothing that the grant has not. It is an error when the refresh token was rotated
// since: sent again, it would end the grant.
func (s *Service) admit(ctx context.Context, t NewToken, kept keptGrant) (known bool, err error) {
	at, state := kept.at, kept.at.State
	if _, err := state.RecordToken(t.Key.Grant, grant.TokenIssued{Exchange: t.Exchange, Cause: t.Cause, Generation: state.Generation + 1}); err != nil {
		return false, err // while one is erased its key is about to go
	}
	if err := s.keyFor(ctx, t.Key, at); err != nil {
		return false, err
	}
	mark, err := s.fingerprint(ctx, t.Key, t.Token.RefreshToken)
	switch {
	case err != nil || state.Credential == nil:
		return false, err
	case mark == "" && state.Credential.RefreshTokenHash != "" && state.Reauthorize == "":
		return false, domain.Errorf(domain.FailedPrecondition, "grant %s has a refresh token, which an import without one would drop; give refresh_token as well, "+
			"or revoke the grant first: outlink grant revoke %s", t.Key.Grant, t.Key.Grant)
	case mark == "":
		return false, nil
	}
	if mark == state.Credential.RefreshTokenHash {
		bare := t.Token.AccessToken.IsZero() && t.Token.RefreshTokenLifetime == 0
		lost := kept.credential.RefreshToken.IsZero() // as when the vault was restored from an older backup
		return bare && !lost && state.Reauthorize == "", nil
	}
	used, err := s.rotated(ctx, t.Key, at, mark)
	if err == nil && used > 0 {
		err = domain.Errorf(domain.FailedPrecondition, "grant %s had this refresh token before, and the provider issued a newer one in its place (generation %d), which stays; "+
			"to begin with another consent, revoke the grant first: outlink grant revoke %s", t.Key.Grant, used, t.Key.Grant).With("generation", used)
	}
	return false, err
}

// keyFor makes the key of a grant for what is stored before the log hears of it. A key
// that was not there may be missing because the grant was erased after the look.
func (s *Service) keyFor(ctx context.Context, key domain.Key, at Loaded[grant.State]) error {
	made, err := s.Vault.MakeKey(ctx, key, at.State.Shredded)
	if err != nil || !made {
		return err
	}
	now, err := s.Grants.Load(ctx, key)
	if err == nil && now.Version != at.Version {
		err = domain.Errorf(domain.Unavailable, "grant %s changes while a token for it is recorded; try again", key.Grant)
	}
	return err
}

// rotated is the generation that took the place of a refresh token, by its mark; 0:
// none did.
func (s *Service) rotated(ctx context.Context, key domain.Key, at Loaded[grant.State], mark string) (by uint64, err error) {
	var next grant.TokenIssued // after the one that is looked at
	err = s.Grants.Back(ctx, key, at, func(r domain.Record) (enough bool) {
		if f, is := decoded[grant.FallbackKept](r); is && f.RefreshTokenHash == mark {
			if next.Rotated { // by it, or by the one that it stood by
				by = next.Generation
			}
			return true
		}
		e, is := decoded[grant.TokenIssued](r)
		if !is {
			return r.Type == grant.Kinds.Type(grant.Revoked{}) // marks before that are of another key
		}
		if enough = e.RefreshTokenHash == mark; enough && next.Rotated {
			by = next.Generation
		}
		next = e
		return enough
	})
	return by, err
}
