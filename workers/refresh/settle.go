package refresh

import (
	"context"
	"log/slog"
	"net/url"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// attempt is one try to refresh, between its lease and its end.
type attempt struct {
	*Worker
	key          domain.Key
	id           uuid.UUID
	header       commands.Header
	state        grant.State // before the attempt
	link         link.State
	registration provider.Registration
}

// settle puts the outcome of an attempt into the log. It is repeated until the
// log takes it: an answer is never dropped because the log was away.
func (a attempt) settle(ctx context.Context, ans answer.Answer) error {
	a.report(ans)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := a.record(ctx, ans)
		if code := domain.CodeOf(err); err == nil || ctx.Err() != nil || code != domain.Unavailable && code != domain.Conflict {
			return err
		}
		a.Log.Warn("the outcome of a refresh waits for the log", "grant", a.key.Grant, "attempt", a.id, "class", ans.Class, "error", err)
		time.Sleep(a.jitter(pause))
	}
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
		_, err := a.Commands.RecordRefreshUnreadable(ctx, a.key, a.header, grant.RefreshUnreadable{
			Attempt: a.id, HTTPStatus: ans.HTTPStatus, Problem: ans.Problem, At: a.Commands.Now(),
		})
		return err
	case answer.RateLimited:
		wait := max(ans.RetryAfter, a.backoff())
		a.close(hostGate(a.link), wait)
		return a.retry(ctx, ans, grant.RateLimited, wait)
	case answer.NotSent:
		return a.retry(ctx, ans, grant.NotSent, a.backoff())
	case answer.Transient:
		return a.retry(ctx, ans, grant.Transient, max(ans.RetryAfter, a.backoff()))
	case answer.AccessDenied:
		return a.retry(ctx, ans, grant.AccessDenied, max(ans.RetryAfter, a.backoff()))
	}
	return a.retry(ctx, ans, grant.Ambiguous, max(ans.RetryAfter, a.backoff()))
}

func (a attempt) issued(ctx context.Context, ans answer.Answer) error {
	_, err := a.Commands.IssueToken(ctx, a.header, commands.NewToken{
		Key: a.key, Subject: a.state.Subject, Exchange: a.id, Cause: grant.ByRefresh,
		From: a.state.Generation, ReceivedAt: ans.SentAt, Token: *ans.Token,
	})
	if err != nil || a.link.Trouble == "" {
		return err
	}
	_, err = a.Commands.RecoverLink(ctx, a.key.Link, a.header)
	return err
}

// grantInvalid asks once more before it believes that a grant is dead, unless
// the provider is known to rotate strictly, where asking again costs the grant.
func (a attempt) grantInvalid(ctx context.Context, ans answer.Answer) error {
	strict := a.registration.Provider.Rotation.Kind == provider.Strict
	if !strict && a.state.Unconfirmed == 0 {
		return a.retry(ctx, ans, grant.Unconfirmed, confirmWithin+a.jitter(confirmWithin))
	}
	reason := grant.GrantInvalid
	if a.state.Ambiguities > 0 {
		reason = grant.LostResponse
	}
	return a.reauthorize(ctx, ans, reason)
}

func (a attempt) reauthorize(ctx context.Context, ans answer.Answer, reason grant.Reason) error {
	_, err := a.Commands.RequireReauthorization(ctx, a.key, a.header, grant.ReauthorizationRequired{
		Attempt: a.id, Reason: reason, ProviderCode: ans.Code, At: a.Commands.Now(),
	})
	return err
}

// linkTrouble degrades the link, once, and keeps all its grants waiting: none of
// them is marked, for none of them is at fault.
func (a attempt) linkTrouble(ctx context.Context, ans answer.Answer) error {
	a.close(linkGate(a.link, a.key.Link), linkRetry)
	if _, err := a.Commands.DegradeLink(ctx, a.key.Link, a.header, ans.Class, ans.Code, a.Commands.Now()); err != nil {
		return err
	}
	return a.retry(ctx, ans, grant.LinkTrouble, linkRetry+a.jitter(time.Minute))
}

func (a attempt) retry(ctx context.Context, ans answer.Answer, why grant.DeferReason, wait time.Duration) error {
	now := a.Commands.Now()
	_, err := a.Commands.RecordRefreshDeferred(ctx, a.key, a.header, grant.RefreshDeferred{
		Attempt: a.id, Reason: why, ProviderCode: ans.Code, HTTPStatus: ans.HTTPStatus,
		Requests: ans.Requests, RetryAt: now.Add(wait), At: now,
	})
	return err
}

// backoff grows from a second to five minutes with the failures in a row, and
// is fully jittered above its first second.
func (a attempt) backoff() time.Duration {
	ceiling := min(backoffMin<<min(a.state.Failures, 16), backoffMax)
	return backoffMin + a.jitter(ceiling-backoffMin)
}

func (w *Worker) jitter(d time.Duration) time.Duration {
	return time.Duration(w.Commands.Spread() * float64(d))
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

// hostGate is the gate of a link's token endpoint: Retry-After counts for the host.
func hostGate(l link.State) string {
	u, err := url.Parse(l.TokenEndpoint)
	if err != nil {
		return "host " + l.TokenEndpoint
	}
	return "host " + u.Host
}
