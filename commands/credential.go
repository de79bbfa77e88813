package commands

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
)

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
	next.Fallback = fallback(t, kept, e)
	next.Issued.Fallback = !next.Fallback.IsZero()
	return next, nil
}

// fallback is the refresh token that stays beside the new one, if there is one.
func fallback(t NewToken, kept keptGrant, e grant.TokenIssued) domain.Secret {
	switch at := kept.at.State; {
	case e.Rotated && t.From < at.HeldSince:
		return kept.credential.RefreshToken // of the answer that this one overtakes
	case t.Cause == grant.ByImport && at.SameRefreshToken(e):
		return kept.credential.Fallback
	}
	return domain.Secret{}
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

// assumedLife is how long an access token counts for the schedule when neither
// the answer nor the catalogue says. It is still served afterwards only if renewed.
const assumedLife = time.Hour

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
