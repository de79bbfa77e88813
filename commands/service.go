// Package commands turns intentions into events. Every command loads one
// aggregate, lets it decide, and appends the decision; when another writer was
// faster, it asks again.
//
// No command reads a projection, and none talks to a provider: workers do, and
// then run a command. Secrets go to the vault before the event that names them.
package commands

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/name"
	"outlink/domain/provider"
)

// ErrOvertaken says that somebody else appended to the aggregate first: load
// again and decide again.
var ErrOvertaken = errors.New("overtaken by another writer")

// Loaded is an aggregate as its last event left it. The zero value is one that
// has no events.
type Loaded[S any] struct {
	State     S
	Sequence  uint64    // of the last event, in the log
	Version   uint64    // events so far
	Event     uuid.UUID // the last event
	Causation string    // the command that caused it
	Time      time.Time // when, by its node's clock
	Hash      string    // of the last event and all before it; the log's own
	Foreign   uint64    // sequence of a message behind the last event that is none; mostly 0
}

// End is the sequence of the last message of the aggregate, be it an event or
// not: what an append follows, and up to where the log was read.
func (l Loaded[S]) End() uint64 { return max(l.Sequence, l.Foreign) }

// Log is what commands need of the event log, for one kind of aggregate.
type Log[S, E any] interface {
	Load(ctx context.Context, key domain.Key) (Loaded[S], error)

	// Append records e after the loaded state, or returns ErrOvertaken. It
	// recognises its own event when an acknowledgement was lost.
	Append(ctx context.Context, key domain.Key, after Loaded[S], e E, m Meta) (Loaded[S], error)

	// Back visits the events of an aggregate from the loaded one to the first,
	// newest first, until visit has seen enough.
	Back(ctx context.Context, key domain.Key, from Loaded[S], visit func(domain.Record) (enough bool)) error
}

// Vault is what commands need of the vault.
type Vault interface {
	// ClientSecret returns the client secret of a link's generation.
	ClientSecret(ctx context.Context, link uuid.UUID, generation uint64) (domain.Secret, error)
	StoreClientSecret(ctx context.Context, link uuid.UUID, generation uint64, secret domain.Secret) error

	// Credential returns the newest credential of a grant and the revision to
	// store the next one after; the zero Credential when there is none.
	Credential(ctx context.Context, key domain.Key) (Credential, uint64, error)

	// StoreCredential keeps c as the newest, or returns ErrOvertaken.
	StoreCredential(ctx context.Context, key domain.Key, c Credential, after uint64) error

	// MakeKey makes a grant's data key unless it is there, and reports whether it did.
	// Whoever begins something does it, and nobody else: what is shredded stays so.
	// After an erasure nobody who is late with it may shred the key any more.
	MakeKey(ctx context.Context, grant domain.Key, erased bool) (made bool, err error)

	// Derive returns 32 bytes that only this vault can compute, bound to the
	// grant, the purpose and the id.
	Derive(ctx context.Context, key domain.Key, purpose string, id uuid.UUID) ([]byte, error)

	// Unseal opens a secret that was sealed to the namespace's curve key.
	Unseal(s domain.Sealed) (domain.Secret, error)
}

// Credential is what the vault keeps for a grant: the tokens, and the event
// that makes them count. A credential newer than the log is completed by the
// next reader.
type Credential struct {
	Issued       grant.TokenIssued
	AccessToken  domain.Secret
	RefreshToken domain.Secret
	Fallback     domain.Secret // refresh token of an overtaken answer; mostly none
}

// Service runs commands. All fields are required.
type Service struct {
	Links     Log[link.State, link.Event]
	Grants    Log[grant.State, grant.Event]
	Names     Log[name.State, name.Event]
	Made      func(ctx context.Context, link domain.Key) (Loaded[link.State], error) // a link as its first event left it
	Vault     Vault
	Devices   DeviceCodes
	Outcomes  Outcomes
	Catalogue provider.Catalogue
	Policy    provider.Policy
	Now       func() time.Time
	NewID     func() uuid.UUID
	Spread    func() float64 // in [0,1): spreads renewals that would fall together

	// CheckSecret refuses a client secret that the client authentication cannot
	// use: what must be a key, and is none.
	CheckSecret func(style link.AuthStyle, secret domain.Secret) error
}

// Meta travels with an event: who caused it, and by what.
type Meta struct {
	CommandID   uuid.UUID
	Actor       string // who: "user:anna", "node:a1/refresh"; "anonymous" when nobody said
	Correlation string
	Traceparent string
	Time        time.Time
}

// Header is what every command carries beside its own members.
type Header struct {
	CommandID       uuid.UUID `json:"command_id,omitzero"`        // the same id twice has one effect and the same answer
	ExpectedVersion *uint64   `json:"expected_version,omitempty"` // of the link or grant it changes
	Actor           string    `json:"actor,omitempty"`
	Correlation     string    `json:"correlation_id,omitempty"`
	Reason          string    `json:"reason,omitempty"` // an operator's, recorded in the event
	Traceparent     string    `json:"-"`

	before   before // where it may have had its effect already
	answered lookUp // nil: not known to be a repeat
}

func (h *Header) header() *Header { return h }

// Outcome is the answer to a command.
type Outcome struct {
	Link             uuid.UUID  `json:"link_id,omitzero"`
	Grant            uuid.UUID  `json:"grant_id,omitzero"`
	Sequence         uint64     `json:"sequence"` // of the aggregate's last event, in the log
	Version          uint64     `json:"version"`  // of the aggregate
	Events           []string   `json:"events"`   // types of the events this command appended; empty: nothing was left to do
	RedirectURL      string     `json:"redirect_url,omitempty"`
	AuthorizationURL string     `json:"authorization_url,omitempty"` // never stored: derived again for a repeat
	Authorization    uuid.UUID  `json:"authorization_id,omitzero"`
	ExpiresAt        *time.Time `json:"expires_at,omitempty"`
	Device           *Device    `json:"device,omitempty"` // never stored in clear; see BeginAuthorization
}

// attempts bounds how often a decision is asked again. Each round loses to a
// writer who made progress, so that reaching it means a flood on one aggregate.
const attempts = 20

// decide loads an aggregate, asks it, and appends the answer. When another
// writer appends in between, the question is asked again of the newer state.
func decide[S any, E comparable](ctx context.Context, log Log[S, E], kinds domain.Kinds[E], key domain.Key, h Header, now time.Time, ask func(Loaded[S]) (E, error)) (Loaded[S], []string, error) {
	at, err := log.Load(ctx, key)
	if err != nil {
		return at, nil, err
	}
	return decideOn(ctx, log, kinds, key, at, h, now, ask)
}

// decideOn is decide about an aggregate that is loaded already.
func decideOn[S any, E comparable](ctx context.Context, log Log[S, E], kinds domain.Kinds[E], key domain.Key, at Loaded[S], h Header, now time.Time, ask func(Loaded[S]) (E, error)) (Loaded[S], []string, error) {
	var none E
	seen := uint64(0)
	for range attempts {
		if done, found, err := effect(ctx, log, key, at, h, seen); err != nil || found {
			return done, []string{}, err // this very command, repeated
		}
		seen = at.Sequence
		if err := expected(h, key, at.Version); err != nil {
			return at, nil, err
		}
		e, err := ask(at)
		if err != nil || e == none {
			return at, []string{}, err
		}
		next, err := log.Append(ctx, key, at, e, h.meta(now))
		if err == nil {
			return next, []string{kinds.Type(e)}, nil
		}
		if !errors.Is(err, ErrOvertaken) {
			return at, nil, fmt.Errorf("append %s to %s: %w", kinds.Type(e), key, err)
		}
		if at, err = log.Load(ctx, key); err != nil {
			return at, nil, err
		}
	}
	return Loaded[S]{}, nil, domain.Errorf(domain.Conflict, "%s changes faster than this command could decide; try again", key)
}

func expected(h Header, key domain.Key, version uint64) error {
	if h.ExpectedVersion == nil || *h.ExpectedVersion == version {
		return nil
	}
	return domain.Errorf(domain.Conflict, "%s is at version %d, not at the expected %d; read it again and decide anew", key, version, *h.ExpectedVersion).
		With("version", version).With("expected_version", *h.ExpectedVersion)
}

func (h Header) meta(now time.Time) Meta {
	m := Meta{CommandID: h.CommandID, Actor: h.Actor, Correlation: h.Correlation, Traceparent: h.Traceparent, Time: now}
	if m.Actor == "" {
		m.Actor = "anonymous"
	}
	if m.Correlation == "" {
		m.Correlation = h.CommandID.String()
	}
	return m
}

// onLink runs a decision about a link.
func (s *Service) onLink(ctx context.Context, id uuid.UUID, h Header, ask func(link.State) (link.Event, error)) (Outcome, error) {
	at, events, err := decide(ctx, s.Links, link.Kinds, domain.Key{Link: id}, h, s.Now(), func(l Loaded[link.State]) (link.Event, error) { return ask(l.State) })
	if err != nil {
		return Outcome{}, err
	}
	return ofLink(id, at, events), nil
}

func ofLink(id uuid.UUID, at Loaded[link.State], events []string) Outcome {
	return Outcome{Link: id, Sequence: at.Sequence, Version: at.Version, Events: events, RedirectURL: at.State.RedirectURL}
}

// onGrant runs a decision about a grant.
func (s *Service) onGrant(ctx context.Context, key domain.Key, h Header, ask func(grant.State) (grant.Event, error)) (Outcome, error) {
	at, events, err := decide(ctx, s.Grants, grant.Kinds, key, h, s.Now(), func(l Loaded[grant.State]) (grant.Event, error) { return ask(l.State) })
	if err != nil {
		return Outcome{}, err
	}
	return ofGrant(key, at, events), nil
}

func ofGrant(key domain.Key, at Loaded[grant.State], events []string) Outcome {
	return Outcome{Link: key.Link, Grant: key.Grant, Sequence: at.Sequence, Version: at.Version, Events: events}
}
