package grant

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
)

// exists refuses to decide about a grant that is not there, or no longer.
func (s State) exists(id uuid.UUID) error {
	switch s.Status() {
	case StatusAbsent:
		return domain.Errorf(domain.NotFound, "grant %s does not exist; authorize the link first: outlink grant authorize LINK", id)
	case StatusRevoked:
		return domain.Errorf(domain.FailedPrecondition, "grant %s is revoked; authorize the link again", id)
	}
	return nil
}

// BeginAuthorization decides whether a person may be sent to the provider. A
// newer authorization replaces an open one: the older answer will be refused.
func (s State) BeginAuthorization(id uuid.UUID, e AuthorizationBegun) (Event, error) {
	switch {
	case s.OnHold:
		return nil, domain.Errorf(domain.FailedPrecondition, "grant %s is suspended; resume it before authorizing it", id)
	case s.Ended && !s.Shredded: // its key is about to go, and would take the new secrets along
		return nil, s.beingErased(id)
	case s.Authorization != nil && s.Authorization.Authorization == e.Authorization:
		return nil, nil
	}
	return e, nil
}

func (s State) beingErased(id uuid.UUID) error {
	return domain.Errorf(domain.Unavailable, "grant %s was revoked and is being erased; try again in a moment", id)
}

// ConsumeAuthorization decides whether the code of an authorization may be
// exchanged: once, in time, and for the configuration it was begun with.
func (s State) ConsumeAuthorization(e AuthorizationConsumed, configVersion uint64) (Event, error) {
	a := s.Authorization
	switch {
	case a == nil || a.Authorization != e.Authorization:
		return nil, domain.Errorf(domain.FailedPrecondition, "this authorization is over or was replaced by a newer one; start again")
	case a.Device:
		return nil, domain.Errorf(domain.FailedPrecondition, "this authorization is given on another device, and no code comes here; start again")
	case a.Consumed:
		return nil, domain.Errorf(domain.FailedPrecondition, "this authorization was used already; start again")
	case !e.At.Before(a.ExpiresAt):
		return nil, domain.Errorf(domain.FailedPrecondition, "this authorization expired at %s; start again", a.ExpiresAt.Format(time.RFC3339))
	case a.ConfigVersion != configVersion:
		return nil, domain.Errorf(domain.FailedPrecondition, "the link's configuration changed since this authorization began; start again")
	}
	return e, nil
}

// FailAuthorization decides whether an open authorization ends without a token.
func (s State) FailAuthorization(e AuthorizationFailed) (Event, error) {
	if s.Authorization == nil || s.Authorization.Authorization != e.Authorization {
		return nil, nil
	}
	return e, nil
}

// RecordToken decides whether a credential becomes the current one. The same
// exchange again is a late repeat: there is nothing left to do. An answer that
// was received later always counts, whatever its lifetime, for it may have
// rotated the refresh token.
func (s State) RecordToken(id uuid.UUID, e TokenIssued) (Event, error) {
	switch {
	case e.Exchange == uuid.Nil:
		return nil, domain.Errorf(domain.InvalidArgument, "a token needs the id of the exchange that produced it")
	case s.Knows(e.Exchange):
		return nil, nil
	case s.Ended && e.Cause != ByImport:
		return nil, domain.Errorf(domain.FailedPrecondition, "grant %s was revoked while the token was on its way", id)
	case s.Ended && !s.Shredded:
		return nil, s.beingErased(id)
	case s.Orphaned(e):
		return nil, domain.Errorf(domain.FailedPrecondition, "grant %s was authorized anew while the token was on its way", id)
	case s.Overtaken(e):
		return nil, domain.Errorf(domain.FailedPrecondition, "grant %s has a later answer; keep the refresh token as its fallback", id)
	case e.Generation != s.Generation+1:
		return nil, domain.Errorf(domain.Conflict, "grant %s is at generation %d, which %d does not follow", id, s.Generation, e.Generation)
	}
	return e, nil
}

// Orphaned reports whether e belongs to a consent that is over: it was revoked, or
// another one or an import has replaced it since. It must not become current, and
// what it holds is to be revoked.
func (s State) Orphaned(e TokenIssued) bool {
	switch e.Cause {
	case ByRefresh:
		return e.From < s.Consent
	case ByAuthorization:
		return !slices.Contains(s.Awaited, e.Exchange)
	case ByRequest: // before the first token, the request of an earlier life is told by its attempt alone
		return s.GrantType == "" || s.Credential == nil && e.Exchange != s.LastAttempt
	}
	return false
}

// Overtaken reports whether e is the answer to a refresh whose request was sent
// before that of the current credential: the later one is the current one, the
// other its fallback.
func (s State) Overtaken(e TokenIssued) bool {
	c := s.Credential
	renewal := e.Cause == ByRefresh || e.Cause == ByRequest
	return c != nil && renewal && !s.Orphaned(e) && c.Generation > e.From && c.Cause == e.Cause && e.ReceivedAt.Before(c.ReceivedAt)
}

// KeepFallback decides whether the refresh token of an overtaken answer stands
// by the current credential.
func (s State) KeepFallback(id uuid.UUID, e FallbackKept) (Event, error) {
	if s.Ended {
		return nil, domain.Errorf(domain.FailedPrecondition, "grant %s was revoked while the token was on its way", id)
	}
	if s.Generation != e.Generation {
		return nil, domain.Errorf(domain.Conflict, "grant %s is at generation %d, not at %d", id, s.Generation, e.Generation)
	}
	if s.Knows(e.Attempt) {
		return nil, nil
	}
	return e, nil
}

// RequestRefresh decides whether a refresh is wanted before it is due. A caller
// who saw an older generation has been served already.
func (s State) RequestRefresh(id uuid.UUID, e RefreshRequested) (Event, error) {
	unread := s.Unreadable
	if e.Resend {
		s.Unreadable = ""
	}
	if err := s.refreshable(id); err != nil {
		return nil, err
	}
	switch {
	case e.Generation > s.Generation:
		return nil, domain.Errorf(domain.InvalidArgument, "grant %s is at generation %d; nobody has seen generation %d of it", id, s.Generation, e.Generation).
			With("generation", s.Generation)
	case e.Generation < s.Generation:
		return nil, nil
	}
	if e.Resend && unread != "" {
		return e, nil
	}
	if s.Attempt != nil || !s.RequestedAt.IsZero() {
		return nil, nil
	}
	return e, nil
}

func (s State) refreshable(id uuid.UUID) error {
	if err := s.exists(id); err != nil {
		return err
	}
	switch {
	case s.OnHold:
		return domain.Errorf(domain.FailedPrecondition, "grant %s is suspended; an operator can resume it", id)
	case s.Reauthorize != "":
		return s.consentNeeded(id)
	case s.Credential == nil && s.GrantType == "":
		return domain.Errorf(domain.FailedPrecondition, "grant %s has no credential yet; complete its authorization", id)
	case s.Credential != nil && !s.Credential.Refreshable:
		return domain.Errorf(domain.FailedPrecondition, "grant %s has no refresh token; authorize the link again, with offline access", id)
	case s.Unreadable != "":
		return domain.Errorf(domain.FailedPrecondition, "grant %s has an unread answer of its provider (%s); a version that reads it will find it in the node's journal, "+
			"outlink grant refresh --resend sends the old refresh token again, and a new authorization always helps", id, s.Unreadable)
	}
	return nil
}

func (s State) consentNeeded(id uuid.UUID) error {
	return domain.Errorf(domain.ReauthorizationRequired, "grant %s needs a person's consent (%s); authorize the link again", id, s.Reauthorize).
		With("reason", string(s.Reauthorize)).With("grant_id", id.String())
}

// StartRefresh decides whether an attempt may begin: nil when another one is
// open or the credential has moved on, so that this one has nothing to do.
func (s State) StartRefresh(id uuid.UUID, e RefreshStarted) (Event, error) {
	if err := s.refreshable(id); err != nil {
		return nil, err
	}
	switch {
	case e.Generation != s.Generation:
		return nil, nil
	case s.Attempt != nil && s.Attempt.Attempt != e.TakeoverOf:
		return nil, nil
	case s.Attempt == nil && e.TakeoverOf != uuid.Nil:
		return nil, nil
	}
	return e, nil
}

// DeferRefresh decides how an attempt ends that brought no token. An attempt
// that is no longer the open one has nothing to say.
func (s State) DeferRefresh(e RefreshDeferred) (Event, error) {
	if !s.open(e.Attempt) {
		return nil, nil
	}
	return e, nil
}

// SetAsideUnreadable decides on an answer that nobody can read.
func (s State) SetAsideUnreadable(e RefreshUnreadable) (Event, error) {
	if !s.open(e.Attempt) {
		return nil, nil
	}
	return e, nil
}

// RequireReauthorization decides that a person is needed: on the word of the
// open attempt, or of nobody's when an access token without refresh token ends.
func (s State) RequireReauthorization(e ReauthorizationRequired) (Event, error) {
	byAttempt := e.Attempt != uuid.Nil && s.open(e.Attempt)
	byExpiry := e.Attempt == uuid.Nil && s.Attempt == nil && s.Credential != nil && !s.Credential.Refreshable
	if s.Ended || s.Reauthorize != "" || !byAttempt && !byExpiry {
		return nil, nil
	}
	return e, nil
}

// StallsAfter is how long a grant's refreshes fail before it counts as stalled;
// GivesUpAfter, before only a person's consent is expected to help.
const (
	StallsAfter  = 24 * time.Hour
	GivesUpAfter = 7 * 24 * time.Hour
)

// neglected is how late a next try is when nobody has tried: the grant was suspended,
// its link disabled, or no worker there.
const neglected = time.Hour

// FailingFor is how long the grant's refreshes have failed, by its own fault or
// its provider's. Trouble of its link does not count, nor does what was before a
// time in which nobody tried.
func (s State) FailingFor(now time.Time) time.Duration {
	if s.FailingSince.IsZero() || now.After(s.RetryAt.Add(neglected)) {
		return 0
	}
	return now.Sub(s.FailingSince)
}

// WaitsForLink reports whether the grant is tried again as soon as its link is well.
func (s State) WaitsForLink() bool {
	return s.Deferred == LinkTrouble && s.Failures > 0 && s.Attempt == nil && !s.refreshDue().IsZero()
}

// Stall decides whether the grant counts as stalled.
func (s State) Stall(e RefreshStalled) (Event, error) {
	if s.Stalled || s.Ended || s.Reauthorize != "" || s.FailingFor(e.At) < StallsAfter {
		return nil, nil
	}
	return e, nil
}

func (s State) open(attempt uuid.UUID) bool {
	return s.Attempt != nil && s.Attempt.Attempt == attempt
}

// Suspend decides whether the grant is taken out of service.
func (s State) Suspend(id uuid.UUID, e Suspended) (Event, error) {
	if err := s.exists(id); err != nil || s.OnHold {
		return nil, err
	}
	return e, nil
}

// Resume decides whether it is put back.
func (s State) Resume(id uuid.UUID, e Resumed) (Event, error) {
	if err := s.exists(id); err != nil || !s.OnHold {
		return nil, err
	}
	return e, nil
}

// Revoke decides whether the grant ends. Revoking it twice is harmless.
func (s State) Revoke(id uuid.UUID, e Revoked) (Event, error) {
	if s.Ended {
		return nil, nil
	}
	if err := s.exists(id); err != nil {
		return nil, err
	}
	return e, nil
}

// Erase records that a revoked grant's key is gone.
func (s State) Erase(e Erased) (Event, error) {
	if !s.Ended || s.Shredded {
		return nil, nil
	}
	return e, nil
}

// Servable returns the credential that may be served at now, or why there is
// none: the error says what a person can do.
func (s State) Servable(id uuid.UUID, now time.Time) (*TokenIssued, error) {
	if err := s.exists(id); err != nil {
		return nil, err
	}
	switch {
	case s.OnHold:
		return nil, domain.Errorf(domain.FailedPrecondition, "grant %s is suspended; an operator can resume it", id)
	case s.Credential != nil && now.Before(s.Credential.ExpiresAt):
		return s.Credential, nil
	case s.Reauthorize != "":
		return nil, s.consentNeeded(id)
	case s.Credential == nil && s.GrantType != "":
		return nil, domain.Errorf(domain.Unavailable, "the first access token of grant %s is being requested; try again", id)
	case s.Credential == nil:
		return nil, domain.Errorf(domain.ReauthorizationRequired, "grant %s is not authorized yet; complete its authorization in the browser", id)
	}
	return nil, domain.Errorf(domain.Unavailable, "the access token of grant %s expired at %s and is being renewed; try again", id, s.Credential.ExpiresAt.Format(time.RFC3339))
}
