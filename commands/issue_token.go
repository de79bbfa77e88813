package commands

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
)

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
			if known, err := s.admit(ctx, t, kept); known || err != nil {
				return kept.outcome(t.Key), err
			}
		}
		c, err := s.credential(ctx, t, kept, l.State, p)
		if err != nil {
			return Outcome{}, err
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
		if domain.CodeOf(err) == domain.FailedPrecondition {
			// It was stored while its consent was ended: whatever comes next takes its place.
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
