package refresh

import (
	"context"
	"log/slog"
	"time"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/workers/erasure"
)

// settle puts the outcome of an attempt into the log, and then forgets what the
// journal kept of it. It is repeated until the log takes it: an answer is never
// dropped because the log was away. When even that takes too long, the journal
// has the answer, and Replay goes on.
func (a attempt) settle(ctx context.Context, ans answer.Answer) error {
	a.report(ans)
	ans = a.own(ans)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := a.tryRecord(ctx, ans)
		if err == nil && (ans.Class != answer.Unreadable || a.rereadable()) { // a person, or a later reading, needs that one
			a.Journal.Drop(a.id)
		}
		if code := domain.CodeOf(err); err == nil || ctx.Err() != nil || code != domain.Unavailable && code != domain.Conflict {
			return err
		}
		a.Log.Warn("the outcome of a refresh waits for the log", "grant", a.key.Grant, "attempt", a.id, "class", ans.Class, "error", err)
		select {
		case <-time.After(pause/2 + a.jitter(pause/2)):
		case <-ctx.Done():
			return err
		}
	}
}

// rereadable reports whether an answer that could not be read is no loss: the
// same refresh token brings another one.
func (a attempt) rereadable() bool {
	kind := a.registration.Provider.Rotation.Kind
	return kind == provider.Stable || kind == provider.Grace
}

// own is what an answer means to a client that asked for itself: nothing is used
// up, so that nothing is unknown or kept for a person to read; and no person is
// there to help, so that a refusal is the link's trouble.
func (a attempt) own(ans answer.Answer) answer.Answer {
	if a.grantType == "" {
		return ans
	}
	ans.Unknown = 0
	switch ans.Class {
	case answer.Ambiguous, answer.Unreadable:
		ans.Class = answer.Transient
	case answer.GrantInvalid, answer.InteractionRequired:
		ans.Class = answer.ConfigError
		if a.registration.OfSubject() { // who may be unknown to the provider, and the link's others are not
			ans.Class = answer.AccessDenied
		}
	case answer.ConfigError:
		// So RFC 8693 section 2.2.2 has a subject token refused.
		if a.grantType == link.TokenExchange && ans.Code == "invalid_request" && a.registration.OfSubject() {
			ans.Class = answer.AccessDenied
		}
	}
	return ans
}

// tryRecord gives up on a log that does not answer while a connection is remade.
func (a attempt) tryRecord(ctx context.Context, ans answer.Answer) error {
	ctx, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	return a.record(ctx, ans)
}

func (a attempt) record(ctx context.Context, ans answer.Answer) error {
	a.header.CommandID = a.Commands.NewID() // each event has its own cause
	switch ans.Class {
	case answer.Issued:
		return a.issued(ctx, ans)
	case answer.GrantInvalid:
		return a.grantInvalid(ctx, ans)
	case answer.InteractionRequired:
		return a.reauthorize(ctx, ans, grant.InteractionRequired)
	case answer.ClientRejected, answer.ClientDeleted, answer.ScopeRejected, answer.ConfigError:
		return a.linkTrouble(ctx, ans)
	case answer.Unreadable:
		if a.rereadable() {
			return a.retry(ctx, ans, grant.Ambiguous, a.backoff())
		}
		_, err := a.Commands.RecordRefreshUnreadable(ctx, a.key, a.header, grant.RefreshUnreadable{
			Attempt: a.id, HTTPStatus: ans.HTTPStatus, Problem: ans.Problem, At: a.Commands.Now(),
		})
		return err
	case answer.RateLimited:
		return a.retry(ctx, ans, grant.RateLimited, max(ans.RetryAfter, a.backoff()))
	case answer.NotSent:
		if a.missing != "" { // which is nothing about the link, its endpoint or the grant itself
			return a.deferUntil(ctx, ans, grant.WaitsForSubject, a.backoff())
		}
		return a.retry(ctx, ans, grant.NotSent, a.backoff())
	case answer.Transient:
		return a.retry(ctx, ans, grant.Transient, max(ans.RetryAfter, a.backoff()))
	case answer.AccessDenied:
		return a.retry(ctx, ans, grant.AccessDenied, max(ans.RetryAfter, a.backoff()))
	}
	return a.retry(ctx, ans, grant.Ambiguous, max(ans.RetryAfter, a.backoff()))
}

// issued stores a token. One that belongs to a consent that is over must not
// live on unseen: it is revoked.
func (a attempt) issued(ctx context.Context, ans answer.Answer) error {
	cause := grant.ByRefresh
	if a.grantType != "" {
		cause = grant.ByRequest
	}
	_, err := a.Commands.IssueToken(ctx, a.header, commands.NewToken{
		Key: a.key, Subject: a.state.Subject, Exchange: a.id, Cause: cause,
		From: a.credential.Issued.Generation, Fallback: a.fallback, ReceivedAt: ans.SentAt, Token: *ans.Token,
	})
	if domain.CodeOf(err) == domain.FailedPrecondition {
		problem := erasure.Orphan(ctx, a.Endpoint, a.registration, *ans.Token)
		a.Log.Warn("an answer came after its consent was over; its token is not kept", "grant", a.key.Grant, "attempt", a.id, "revoked", problem == nil, "problem", problem)
		return nil
	}
	if err != nil || a.link.Trouble == "" {
		return err
	}
	_, err = a.Commands.RecoverLink(ctx, a.key.Link, a.header)
	return err
}

// grantInvalid asks once more before it believes that a grant is dead, unless
// the refusal is beyond doubt: the provider rotates strictly, every answer came,
// and nobody else was at it.
func (a attempt) grantInvalid(ctx context.Context, ans answer.Answer) error {
	clean := !a.crossed(ans)
	strict := a.registration.Provider.Rotation.Kind == provider.Strict
	switch {
	case a.state.Unconfirmed > 0, clean && strict:
		return a.reauthorize(ctx, ans, a.lost(ans))
	case a.takeover: // the node that was overtaken may have the new token in its journal
		return a.retry(ctx, ans, grant.Unconfirmed, max(confirmWithin, a.patience(a.state, a.registration.Provider.Rotation.Kind)))
	}
	return a.retry(ctx, ans, grant.Unconfirmed, confirmWithin+a.jitter(confirmWithin))
}

// crossed reports whether the refusal of a refresh token may be this
// installation's own doing: an answer was lost, or two requests crossed.
func (a attempt) crossed(ans answer.Answer) bool {
	return ans.Unknown > 0 || a.state.Ambiguities > 0 || a.state.Crossed || a.takeover
}

// lost says why a refresh token is refused, as far as the log knows.
func (a attempt) lost(ans answer.Answer) grant.Reason {
	c := a.state.Credential
	switch {
	case a.crossed(ans):
		return grant.LostResponse
	case c == nil:
		return grant.GrantInvalid
	case !c.RefreshTokenExpiresAt.IsZero() && !a.Commands.Now().Before(c.RefreshTokenExpiresAt):
		return grant.RefreshTokenExpired
	case c.ClientID != "" && c.ClientID != a.link.ClientID:
		return grant.ClientChanged
	}
	return grant.GrantInvalid
}

// reauthorize says that a person is needed, unless the same is said of too many
// grants at once to be believed.
func (a attempt) reauthorize(ctx context.Context, ans answer.Answer, reason grant.Reason) error {
	if wait := a.Gates.Hold(a.request()); wait > 0 {
		return a.deferUntil(ctx, ans, grant.Unconfirmed, wait+a.jitter(wait/2))
	}
	_, err := a.Commands.RequireReauthorization(ctx, a.key, a.header, grant.ReauthorizationRequired{
		Attempt: a.id, Reason: reason, ProviderCode: ans.Code, At: a.Commands.Now(),
	})
	return err
}

// linkTrouble degrades the link, once, and keeps all its grants waiting: none of
// them is marked, for none of them is at fault.
func (a attempt) linkTrouble(ctx context.Context, ans answer.Answer) error {
	now, err := a.Commands.Links.Load(ctx, domain.Key{Link: a.key.Link})
	if err != nil {
		return err
	}
	if now.State.ConfigVersion != a.link.ConfigVersion { // what was refused is configured no more
		return a.retry(ctx, ans, grant.LinkTrouble, a.backoff())
	}
	if err := a.degrade(ctx, ans); err != nil {
		return err
	}
	return a.retry(ctx, ans, grant.LinkTrouble, linkRetry+a.jitter(time.Minute))
}

func (a attempt) degrade(ctx context.Context, ans answer.Answer) error {
	_, err := a.Commands.DegradeLink(ctx, a.key.Link, a.header, commands.Refusal{ConfigVersion: a.link.ConfigVersion, Class: ans.Class, Code: ans.Code})
	return err
}

// retry ends the attempt with a time for the next one.
func (a attempt) retry(ctx context.Context, ans answer.Answer, why grant.DeferReason, wait time.Duration) error {
	if reason, over := a.givesUp(why); over {
		return a.reauthorize(ctx, ans, reason)
	}
	if a.ofLink(ans) {
		if err := a.degrade(ctx, ans); err != nil {
			return err
		}
	}
	if a.state.Stalled {
		wait = max(wait, 48*time.Minute+a.jitter(24*time.Minute))
	}
	return a.deferUntil(ctx, ans, why, wait)
}

func (a attempt) deferUntil(ctx context.Context, ans answer.Answer, why grant.DeferReason, wait time.Duration) error {
	now := a.Commands.Now()
	out, err := a.Commands.RecordRefreshDeferred(ctx, a.key, a.header, grant.RefreshDeferred{
		Attempt: a.id, Reason: why, ProviderCode: ans.Code, HTTPStatus: ans.HTTPStatus,
		Requests: ans.Requests, Unknown: ans.Unknown, Problem: ans.Problem, Stale: a.stale(now), RetryAt: now.Add(wait), At: now,
	})
	if err != nil || len(out.Events) == 0 || a.state.FailingFor(now) < grant.StallsAfter {
		return err
	}
	a.header.CommandID = a.Commands.NewID()
	_, err = a.Commands.RecordRefreshStalled(ctx, a.key, a.header, grant.RefreshStalled{Since: a.state.FailingSince, Last: why, At: now})
	return err
}

// ofLink reports whether a few attempts in a row ended like this, which is the
// link's trouble: an endpoint that is away, or a refusal that nobody understands.
// It is the grant's own as long as the link's other grants are served.
func (a attempt) ofLink(ans answer.Answer) bool {
	switch ans.Class {
	case answer.NotSent, answer.Ambiguous, answer.Transient, answer.AccessDenied:
		since := a.state.FailingSince
		if since.IsZero() {
			since = time.Now().Add(-ownTrouble)
		}
		return a.state.Failures >= 2 && !a.Gates.Works(a.request(), since)
	}
	return false
}

// ownTrouble is how long a success of another grant tells that the link is well.
const ownTrouble = 10 * time.Minute

// givesUp reports whether nothing but a person's consent is expected to help: a
// provider that was asked for a week, or past the refresh token's own end, and
// gave no token. What is the link's trouble or never left this node does not count.
func (a attempt) givesUp(why grant.DeferReason) (grant.Reason, bool) {
	if why == grant.LinkTrouble || why == grant.NotSent || a.state.Credential == nil || a.grantType != "" {
		return "", false
	}
	now, end := a.Commands.Now(), a.state.Credential.RefreshTokenExpiresAt
	failing := a.state.FailingFor(now)
	switch {
	case failing >= grant.GivesUpAfter:
		return grant.Stalled, true
	case failing >= grant.StallsAfter && !end.IsZero() && now.After(end):
		return grant.RefreshTokenExpired, true
	}
	return "", false
}

// backoff grows from a second to five minutes with the failures in a row, and
// is fully jittered above its first second.
func (a attempt) backoff() time.Duration {
	ceiling := min(backoffMin<<min(a.state.Failures, 16), backoffMax)
	return backoffMin + a.jitter(ceiling-backoffMin)
}

// report logs the outcome in words that hold no secret.
func (a attempt) report(ans answer.Answer) {
	level := slog.LevelInfo
	if ans.Class != answer.Issued {
		level = slog.LevelWarn
	}
	a.Log.Log(context.Background(), level, "refresh", "link", a.key.Link, "grant", a.key.Grant, "attempt", a.id,
		"class", ans.Class, "http_status", ans.HTTPStatus, "code", ans.Code, "problem", ans.Problem, "requests", ans.Requests)
}
