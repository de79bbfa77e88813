// Package grant decides what may happen to a grant: one authorization of a link
// by one resource owner, named by its subject.
//
// It is pure: no clock, no randomness, no I/O, no secret. A command asks the
// current [State] for a decision; the decision is one [Event], or nil when
// there is nothing left to do; [Evolve] folds that event into the next State.
package grant

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"outlink/domain/answer"
	"outlink/domain/link"
)

// DefaultSubject names the grant of a link that has just one.
const DefaultSubject = "default"

// ID is the id of the grant of a link for a subject. It is a name-based UUID
// (RFC 9562 version 5), so that a link has one grant a subject and nobody needs
// a read model to find it.
func ID(link uuid.UUID, subject string) uuid.UUID {
	return uuid.NewSHA1(link, []byte(subject))
}

// Status is where a grant stands in its life.
type Status string

// The statuses. Stale is [StatusRetrying] seen after the access token's end.
const (
	StatusAbsent                  Status = ""
	StatusPending                 Status = "pending" // authorization begun, no credential yet
	StatusActive                  Status = "active"
	StatusRefreshing              Status = "refreshing" // an attempt is open
	StatusRetrying                Status = "retrying"   // the last attempt failed for now
	StatusStale                   Status = "stale"      // the same, and the access token has expired
	StatusUncertain               Status = "uncertain"  // the last attempt's outcome is unknown
	StatusReauthorizationRequired Status = "reauthorization_required"
	StatusSuspended               Status = "suspended"
	StatusRevoked                 Status = "revoked"
)

// Cause says what produced a credential.
type Cause string

// The causes.
const (
	ByAuthorization Cause = "authorization"
	ByRefresh       Cause = "refresh"
	ByImport        Cause = "import"
	ByRequest       Cause = "request" // of the client itself: see [TokenRequested]
)

// Reason says why only a person's consent helps.
type Reason string

// The reasons.
const (
	GrantInvalid         Reason = "grant_invalid"         // invalid_grant, confirmed
	InteractionRequired  Reason = "interaction_required"  // interaction_required, consent_required, login_required
	NoRefreshToken       Reason = "no_refresh_token"      // the access token expired and there is none to renew it
	LostResponse         Reason = "lost_response"         // an answer was lost and the old refresh token is dead
	RefreshTokenExpired  Reason = "refresh_token_expired" // refused after the end that the provider gave it
	ClientChanged        Reason = "client_changed"        // refused, and the link has another client since
	Stalled              Reason = "stalled"               // no answer but failures for seven days
	AuthorizationDenied  Reason = "authorization_denied"  // the person or the provider said no
	AuthorizationExpired Reason = "authorization_expired" // nobody came back within ten minutes
	ExchangeFailed       Reason = "exchange_failed"       // the code could not be exchanged
	AuthorizationVoid    Reason = "authorization_void"    // the link's configuration changed meanwhile
)

// DeferReason says why an attempt brought no token.
type DeferReason string

// The reasons to try again later.
const (
	NotSent         DeferReason = "not_sent"          // no byte of the refresh token left the node
	Transient       DeferReason = "transient"         // the provider had a passing trouble
	RateLimited     DeferReason = "rate_limited"      // the provider asked to wait
	Ambiguous       DeferReason = "ambiguous"         // sent, and no complete answer
	WaitsForSubject DeferReason = "waits_for_subject" // the grant whose token is exchanged has none
	LinkTrouble     DeferReason = "link_trouble"      // the link's fault, not the grant's
	Unconfirmed     DeferReason = "unconfirmed"       // invalid_grant once: it is asked again before anyone is told
	AccessDenied    DeferReason = "access_denied"     // a refusal that is not known to be final
)

// Authorization is an open authorization request.
type Authorization struct {
	AuthorizationBegun
	Consumed bool `json:"consumed,omitempty"`
}

// Attempt is an open try to refresh: the lease that fences all others off.
type Attempt struct {
	RefreshStarted
}

// LeaseEnds is when the node that started the attempt gave up at the latest, by
// that node's clock.
func (a Attempt) LeaseEnds() time.Time {
	return a.At.Add(time.Duration(a.LeaseSeconds) * time.Second)
}

// State is a grant folded from its events. The zero State is a grant that was
// never begun.
type State struct {
	Subject       string         `json:"subject,omitempty"`
	GrantType     link.GrantType `json:"grant_type,omitempty"` // with which the client itself requests tokens; "": a person consents
	Credential    *TokenIssued   `json:"credential,omitempty"` // the current one; nil: none, or revoked
	Generation    uint64         `json:"generation,omitempty"` // of the last credential ever; never falls
	Exchanges     []uuid.UUID    `json:"exchanges,omitempty"`  // that brought the last few tokens, newest last: recognises a late repeat
	Authorization *Authorization `json:"authorization,omitempty"`
	Attempt       *Attempt       `json:"attempt,omitempty"`
	RequestedAt   time.Time      `json:"requested_at,omitzero"` // a refresh is wanted since
	RetryAt       time.Time      `json:"retry_at,omitzero"`
	Deferred      DeferReason    `json:"deferred,omitempty"`     // of the last attempt, when it failed
	Failures      int            `json:"failures,omitempty"`     // attempts since the last token
	FailingSince  time.Time      `json:"failing_since,omitzero"` // the first of these that was the grant's own
	Stalled       bool           `json:"stalled,omitempty"`      // they have gone on for a day
	Ambiguities   int            `json:"ambiguities,omitempty"`  // of these, attempts whose outcome is unknown
	Unconfirmed   int            `json:"unconfirmed,omitempty"`  // of these, answers invalid_grant
	Unreadable    string         `json:"unreadable,omitempty"`   // problem of an answer that a person must read
	LastAttempt   uuid.UUID      `json:"last_attempt,omitzero"`  // that was started
	RejectedAt    time.Time      `json:"rejected_at,omitzero"`   // when a resource server's refusal was last acted upon
	Consent       uint64         `json:"consent,omitempty"`      // generation that the present consent began with: what renews an older one comes too late
	HeldSince     uint64         `json:"held_since,omitempty"`   // generation that brought the present refresh token
	Awaited       []uuid.UUID    `json:"awaited,omitempty"`      // authorizations whose token may still come, oldest first
	Crossed       bool           `json:"crossed,omitempty"`      // the last token's request and another's crossed: its refusal may be our own doing
	Fallback      bool           `json:"fallback,omitempty"`     // the vault holds one more refresh token
	Warned        int            `json:"warned,omitempty"`       // days before ConsentEndsAt that were warned of last
	Reauthorize   Reason         `json:"reauthorize,omitempty"`
	ProviderCode  string         `json:"provider_code,omitempty"` // of the last failure
	OnHold        bool           `json:"on_hold,omitempty"`
	Ended         bool           `json:"ended,omitempty"`
	Shredded      bool           `json:"shredded,omitempty"` // after Ended: the key is gone
	Version       uint64         `json:"version,omitempty"`  // events so far
}

// Status is the grant's status, without regard to the time.
func (s State) Status() Status {
	switch {
	case s.Version == 0:
		return StatusAbsent
	case s.Ended:
		return StatusRevoked
	case s.OnHold:
		return StatusSuspended
	case s.Reauthorize != "":
		return StatusReauthorizationRequired
	case s.Attempt != nil:
		return StatusRefreshing
	case s.Ambiguities > 0, s.Unreadable != "":
		return StatusUncertain
	case s.Failures > 0:
		return StatusRetrying
	case s.Credential != nil:
		return StatusActive
	}
	return StatusPending
}

// StatusAt is the status as a person sees it at a time: a grant that is being
// retried past its access token's end is stale.
func (s State) StatusAt(now time.Time) Status {
	status := s.Status()
	if status == StatusRetrying && s.Credential != nil && !now.Before(s.Credential.ExpiresAt) {
		return StatusStale
	}
	return status
}

// DueAt is when somebody must look at the grant again, or zero for never: to
// renew its token, to retry, to take over a dead attempt, or to end an
// authorization that nobody completed.
func (s State) DueAt() time.Time {
	due := earlier(s.refreshDue(), s.warningDue())
	if a := s.Authorization; a != nil {
		due = earlier(due, a.ExpiresAt)
		if a.Device { // the provider is asked again and again
			due = earlier(due, a.At)
		}
	}
	return due
}

// earlier is the earlier of two times; zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (s State) refreshDue() time.Time {
	switch {
	case s.Ended, s.OnHold, s.Reauthorize != "", s.Credential == nil && s.GrantType == "", s.Unreadable != "":
		return time.Time{}
	case s.Attempt != nil:
		return s.Attempt.LeaseEnds()
	case s.Credential != nil && !s.Credential.Refreshable:
		return s.Credential.ExpiresAt
	case s.Failures > 0:
		return s.retryDue()
	case !s.RequestedAt.IsZero(), s.Credential == nil:
		return s.RequestedAt
	}
	return s.Credential.RefreshAt
}

// wished is how long after a wish a grant that failed is tried again at the
// earliest: many readers who want it at once are no reason to hurry more.
const wished = time.Second

// retryDue is when a grant that failed is tried again. A wish brings it forward
// unless waiting is the point: the provider asked for it, or a second opinion is
// worth nothing at once.
func (s State) retryDue() time.Time {
	if s.RequestedAt.IsZero() || s.Stalled {
		return s.RetryAt
	}
	switch s.Deferred {
	case RateLimited, Unconfirmed, LinkTrouble:
		return s.RetryAt
	}
	return earlier(s.RetryAt, s.RequestedAt.Add(wished))
}

// RefreshDue reports whether the grant's token is to be renewed at now.
func (s State) RefreshDue(now time.Time) bool {
	due := s.refreshDue()
	return !due.IsZero() && !now.Before(due)
}

// Evolve returns the State after e. It never refuses: what happened, happened.
func Evolve(s State, e Event) State {
	s.Version++
	switch e := e.(type) {
	case AuthorizationBegun:
		if s.Ended { // a revoked grant that is authorized anew starts over
			s = State{Generation: s.Generation, Consent: s.Consent, Version: s.Version}
		}
		s.Subject, s.Authorization = e.Subject, &Authorization{AuthorizationBegun: e}
		if e.Device {
			s.Awaited = recent(s.Awaited, e.Authorization)
		}
	case TokenRequested:
		s = s.askedFor(e)
	case AuthorizationConsumed:
		s.Authorization, s.Awaited = s.Authorization.consumed(e.Authorization), recent(s.Awaited, e.Authorization)
	case AuthorizationFailed:
		s.Authorization = nil // it stays awaited: whoever gives it up may not know that it was answered
		if s.Credential == nil {
			s.Reauthorize, s.ProviderCode = e.Reason, e.ProviderCode
		}
	case TokenIssued:
		s = s.issued(e)
	case FallbackKept:
		s = s.keptFallback(e)
	case RefreshRequested:
		s = s.requested(e)
	case RefreshStarted:
		s.Attempt, s.LastAttempt, s.RequestedAt = &Attempt{e}, e.Attempt, time.Time{}
		if e.TakeoverOf != uuid.Nil && s.GrantType == "" { // nobody knows what became of the other one
			s.Ambiguities++
		}
	case RefreshDeferred:
		s = s.deferred(e)
	case RefreshUnreadable:
		s.Attempt, s.Unreadable = nil, e.Problem
		s.Failures++
	case RefreshStalled:
		s.Stalled = true
	case ReauthorizationDueSoon:
		s.Warned = e.Days
	case ReauthorizationRequired:
		s.Attempt, s.RequestedAt, s.RetryAt = nil, time.Time{}, time.Time{}
		s.Reauthorize, s.ProviderCode = e.Reason, e.ProviderCode
	case Suspended:
		s.OnHold = true
	case Resumed:
		s.OnHold = false
	case Revoked:
		s = State{Subject: s.Subject, Generation: s.Generation, Consent: s.Generation + 1, Version: s.Version, Ended: true}
	case Erased:
		s.Shredded = true
	}
	return s
}

// betweenRejections is how long a token that replaced a refused one is left in
// peace: a resource server that refuses every token would have it renewed in a loop.
const betweenRejections = 30 * time.Second

func (s State) requested(e RefreshRequested) State {
	s.RequestedAt = e.At
	if e.Resend && s.Unreadable != "" { // what that answer did, nobody knows
		s.Unreadable = ""
		s.Ambiguities++
	}
	if e.Rejected {
		if calm := s.RejectedAt.Add(betweenRejections); calm.After(e.At) {
			s.RequestedAt = calm
		}
		s.RejectedAt = s.RequestedAt
	}
	return s
}

func (s State) issued(e TokenIssued) State {
	next := State{
		Subject: e.Subject, Credential: &e, Generation: e.Generation,
		OnHold: s.OnHold, Version: s.Version, Fallback: e.Fallback, Exchanges: recent(s.Exchanges, e.Exchange),
		Consent: s.Consent, Awaited: s.awaitedAfter(e), HeldSince: e.Generation,
		LastAttempt: s.LastAttempt, Crossed: e.Cause == ByRefresh && (e.Exchange != s.LastAttempt || e.From+1 < e.Generation),
	}
	if e.Cause == ByRequest {
		next.GrantType = s.GrantType
	}
	next.RejectedAt = s.RejectedAt
	same, renewed := s.SameRefreshToken(e), e.Cause == ByRefresh || e.Cause == ByRequest
	if same {
		next.HeldSince = s.HeldSince
	}
	switch {
	case renewed:
	case !same:
		next.Consent = e.Generation
	default:
		next.Attempt = s.Attempt // it may have sent this very token
		if e.Cause == ByImport {
			next.Unreadable, next.Crossed = s.Unreadable, s.Crossed || s.Ambiguities > 0
		}
	}
	if c := s.Credential; c != nil && sameEnd(c.ConsentEndsAt, e.ConsentEndsAt) {
		next.Warned = s.Warned
	}
	if s.Authorization != nil && s.Authorization.Authorization != e.Exchange {
		next.Authorization = s.Authorization // a person is still at it
	}
	return next
}

// SameRefreshToken reports whether a token comes with the refresh token that the grant
// has: then it is of the same consent. What was doubtful about it an import leaves so;
// from the provider itself it is as good as new.
func (s State) SameRefreshToken(e TokenIssued) bool {
	return s.Credential != nil && e.RefreshTokenHash != "" && e.RefreshTokenHash == s.Credential.RefreshTokenHash
}

// awaitedAfter are the authorizations whose token may still come after one has: those
// that a person went on with later.
func (s State) awaitedAfter(e TokenIssued) []uuid.UUID {
	return s.Awaited[slices.Index(s.Awaited, e.Exchange)+1:]
}

func (s State) deferred(e RefreshDeferred) State {
	s.Attempt, s.Deferred, s.ProviderCode = nil, e.Reason, e.ProviderCode
	s.Failures++
	switch {
	case e.Reason == LinkTrouble, e.Reason == NotSent, e.Reason == WaitsForSubject: // says nothing about the grant
		s.FailingSince = time.Time{}
	case s.FailingFor(e.At) == 0:
		s.FailingSince = e.At
	}
	s.RetryAt = e.RetryAt
	if e.Reason == Ambiguous || e.Unknown > 0 {
		s.Ambiguities++
	}
	if e.Reason == Unconfirmed {
		s.Unconfirmed++
	}
	return s
}

// remembered bounds how many exchanges a grant remembers.
const remembered = 4

// recent is the last few exchanges, with one more.
func recent(exchanges []uuid.UUID, one uuid.UUID) []uuid.UUID {
	all := append(slices.Clone(exchanges), one)
	return all[max(0, len(all)-remembered):]
}

// Bound reports whether the grant's tokens are bound to its key (RFC 9449). A
// public client's refresh token is then as well, whatever the link says by now.
func (s State) Bound() bool { return s.Credential != nil && s.Credential.TokenType == answer.DPoP }

// Knows reports whether an exchange's token is in the history already.
func (s State) Knows(exchange uuid.UUID) bool { return slices.Contains(s.Exchanges, exchange) }

// keptFallback has the grant tried again at once if it was given up for lost.
func (s State) keptFallback(e FallbackKept) State {
	s.Fallback, s.Crossed, s.Exchanges = true, true, recent(s.Exchanges, e.Attempt)
	switch s.Reauthorize {
	case GrantInvalid, LostResponse, RefreshTokenExpired, ClientChanged, Stalled:
		s.Reauthorize, s.ProviderCode, s.RequestedAt = "", "", e.At
	}
	return s
}

func (a *Authorization) consumed(id uuid.UUID) *Authorization {
	if a == nil || a.Authorization != id {
		return a
	}
	c := *a
	c.Consumed = true
	return &c
}

// Shown is the state as a read model keeps it: without what decisions alone need, which
// rows of an earlier version do not have.
func (s State) Shown() State {
	s.Consent, s.Awaited, s.HeldSince = 0, nil, 0
	return s
}

// Fold folds a history, oldest first.
func Fold(history []Event) State {
	var s State
	for _, e := range history {
		s = Evolve(s, e)
	}
	return s
}
