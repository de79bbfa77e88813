package refresh

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/workers/pace"
)

// attempt is one try to refresh, between its lease and its end.
type attempt struct {
	*Worker
	key          domain.Key
	id           uuid.UUID
	header       commands.Header
	state        grant.State // before the attempt
	credential   commands.Credential
	link         link.State
	registration provider.Registration
	takeover     bool
	fallback     bool           // the fallback was sent, not the current refresh token
	grantType    link.GrantType // with which the client itself requests a token; "": the refresh token is sent
	missing      string         // without which nothing can be sent: see subjectToken
	begun        clock
	seal         func([]byte) []byte
}

// refresh makes ready all that a refresh needs, before anything is begun: what
// could not be stored must not be asked for.
func (w *Worker) refresh(ctx context.Context, key domain.Key, s grant.State, c commands.Credential, l link.State) error {
	if w.neverSent(s.Attempt) {
		return w.closeUnsent(ctx, key, s)
	}
	if done, err := w.replayOpen(ctx, s.Attempt); done || err != nil {
		return err
	}
	r, err := w.Commands.GrantRegistration(ctx, key, l, l.DPoP || s.Bound() && s.GrantType == "")
	if err != nil {
		return err
	}
	if s.GrantType == "" && (c.Issued.Generation != s.Generation || c.RefreshToken.IsZero()) { // what came of nothing would be taken for the grant's end
		return domain.Errorf(domain.FailedPrecondition, "the vault has not the refresh token of grant %s, generation %d; restore the vault, import the token, or authorize the link again", key.Grant, s.Generation)
	}
	if s.GrantType != "" { // whatever the vault holds, nothing of it is sent
		r, c = r.Requesting(s.GrantType, s.Subject), commands.Credential{Issued: grant.TokenIssued{Generation: s.Generation}}
	}
	of, ok, err := w.mayTakeOver(ctx, key, s, r.Provider.Rotation.Kind)
	if !ok || err != nil {
		return err
	}
	a := attempt{
		Worker: w, key: key, id: w.Commands.NewID(), header: w.header(), state: s, credential: c, link: l, registration: r,
		takeover: of != uuid.Nil, grantType: s.GrantType,
	}
	if s.GrantType == link.TokenExchange {
		if a.registration.SubjectToken, a.missing, err = w.subjectToken(ctx, s, l); err != nil {
			return err
		}
	}
	if a.seal, err = w.Vault.AnswerSealer(ctx, key, a.id); err != nil {
		return fmt.Errorf("make ready to seal the answer: %w", err)
	}
	release, err := w.Journal.Reserve()
	if err != nil {
		w.Log.Error("no refresh is begun: the journal takes no answers", "error", err)
		return w.Later(ctx, key, w.Commands.Now().Add(15*time.Second+w.jitter(15*time.Second)))
	}
	defer release()
	done, wait := w.Gates.Enter(a.request())
	if wait > 0 {
		return w.Later(ctx, key, w.Commands.Now().Add(wait))
	}
	return a.run(ctx, of, done)
}

// leave tells the gate what came of a request that it let through.
type leave func(answer.Class, time.Duration)

// run takes the lease, sends the refresh token and settles the answer.
func (a attempt) run(ctx context.Context, of uuid.UUID, done leave) error {
	a.fly(a.id) // before there is a note: Resume drops those of attempts that nobody is at
	defer a.land(a.id)
	if err := a.note(); err != nil {
		done("", 0)
		return a.Later(ctx, a.key, a.Commands.Now().Add(15*time.Second))
	}
	a.begun = started()
	leased, err := a.lease(ctx, of)
	if err != nil || !leased {
		if err == nil || domain.CodeOf(err) == domain.Conflict { // else it may be in the log: the note has it closed, also in another life
			a.Journal.Drop(a.id)
		}
		done("", 0)
		return err
	}
	// From here on the answer belongs to the grant, not to whoever asked: neither
	// a caller nor a shutdown may cut it off.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
	defer cancel()
	if a.missing != "" {
		done("", 0)
		return a.settle(ctx, answer.Answer{Class: answer.NotSent, Problem: a.missing})
	}
	ans := a.send(ctx, a.credential.RefreshToken, done)
	if ans.Class == answer.GrantInvalid && !a.credential.Fallback.IsZero() {
		a.fallback = true
		ans = a.sendFallback(ctx, ans)
	}
	return a.settle(ctx, ans)
}

// sendFallback asks with the other refresh token, after the first was refused.
// Whatever comes of it, it counts: one that was not refused may still be good,
// and so may one that was not asked for its turn did not come.
func (a attempt) sendFallback(ctx context.Context, refused answer.Answer) answer.Answer {
	second := answer.Answer{Class: answer.NotSent, Problem: "the fallback's turn did not come"}
	if done, ok := a.turn(ctx, 0); ok {
		second = a.send(ctx, a.credential.Fallback, done)
	}
	second.Requests, second.Unknown = second.Requests+refused.Requests, second.Unknown+refused.Unknown
	return second
}

// lease asks the log for the right to send, or reports that there is nothing to
// do any more. What the attempt will make of its answer rests on the grant as it
// was read, so it is a conflict when the grant has changed since.
func (a attempt) lease(ctx context.Context, of uuid.UUID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseWithin)
	defer cancel()
	h := a.header
	h.ExpectedVersion = &a.state.Version
	out, err := a.Commands.RecordRefreshStarted(ctx, a.key, h, grant.RefreshStarted{
		Attempt: a.id, Generation: a.credential.Issued.Generation, Node: a.Node, Boot: a.Boot, Journal: a.Journal.ID(),
		LeaseSeconds: int(lease / time.Second), TakeoverOf: of, At: a.Commands.Now(),
	})
	if err != nil && domain.CodeOf(err) != domain.Conflict {
		a.sentNothing(a.id)
	}
	return err == nil && len(out.Events) > 0, err
}

// guard keeps the request back when the lease may be over before an answer is
// stored, as after a machine was frozen.
func (a attempt) guard() error {
	if a.begun.elapsed() >= lease/2 {
		return errors.New("the lease was half over before the request was sent")
	}
	return nil
}

// send sends a refresh token. An ambiguous answer is followed by further tries
// of the same one: without the answer, the new token does not exist for us.
func (a attempt) send(ctx context.Context, token domain.Secret, done leave) answer.Answer {
	sum := answer.Answer{}
	for n := 0; ; n++ {
		began := time.Now()
		ans := a.Endpoint.Refresh(ctx, a.registration, token, a.guard, a.keep)
		done(forGate(ans), ans.RetryAfter)
		a.alarm(ans)
		ans.Requests, ans.Unknown = ans.Requests+sum.Requests, sum.Unknown
		if ans.Class != answer.Ambiguous {
			return stillUnknown(ans)
		}
		if ans.Requests > sum.Requests {
			ans.Unknown++
		}
		if n == 0 {
			sum.SentAt = began
		}
		sum.Requests, sum.Unknown = ans.Requests, ans.Unknown
		pause, again := a.again(ans, n, sum.SentAt)
		if !again || a.guard() != nil {
			return ans
		}
		if done, again = a.turn(ctx, pause); !again {
			return ans
		}
	}
}

// request is what the gate is asked for.
func (a attempt) request() pace.Request {
	r := pace.Request{Host: host(a.link), Client: client(a.key.Link, a.link), Link: a.key.Link, Grant: a.key.Grant, Urgent: !a.state.RequestedAt.IsZero()}
	if a.state.Credential != nil {
		r.Ends = a.state.Credential.ExpiresAt
	}
	return r
}

// turnWithin is how long one more request of an attempt waits for its turn; the
// job waits with it.
const turnWithin = 2 * time.Second

// turn waits, after a pause, for the gate to let one more request of the attempt
// through. It is as urgent as a reader's: the answer may save the grant.
func (a attempt) turn(ctx context.Context, pause time.Duration) (leave, bool) {
	r := a.request()
	r.Urgent = true
	for until := time.Now().Add(pause + turnWithin); ; {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, false
		}
		done, wait := a.Gates.Enter(r)
		if wait == 0 {
			return done, true
		}
		if pause = wait; time.Now().Add(pause).After(until) {
			return nil, false
		}
	}
}

// forGate is what an answer means for its host: status 429 is "too many", even
// when it leaves open whether the refresh token was used.
func forGate(ans answer.Answer) answer.Class {
	if ans.HTTPStatus == http.StatusTooManyRequests {
		return answer.RateLimited
	}
	return ans.Class
}

// stillUnknown keeps an answer ambiguous that says nothing about the requests
// before it.
func stillUnknown(ans answer.Answer) answer.Answer {
	switch ans.Class {
	case answer.NotSent, answer.Transient, answer.RateLimited:
		if ans.Unknown > 0 {
			ans.Class = answer.Ambiguous
		}
	}
	return ans
}

// again says whether the same refresh token is sent once more after n tries
// without an answer. Where the old one works for a while, every try within that
// while may bring the new one; where it stays, a later attempt will do; anywhere
// else, one more costs nothing that is not lost already. A provider that says
// when to come back is not asked before.
func (a attempt) again(ans answer.Answer, n int, first time.Time) (time.Duration, bool) {
	if ans.RetryAfter > 0 || ans.HTTPStatus == http.StatusTooManyRequests {
		return 0, false
	}
	rotation := a.registration.Provider.Rotation
	switch rotation.Kind {
	case provider.Stable:
		return time.Second << n, n < 2
	case provider.Grace:
		pause := 100 * time.Millisecond << min(n, 6)
		return pause, n == 0 || time.Since(first)+pause < rotation.Grace-2*time.Second
	}
	return 0, n == 0
}

// closeUnsent ends an attempt of this process that sent nothing.
func (w *Worker) closeUnsent(ctx context.Context, key domain.Key, s grant.State) error {
	now := w.Commands.Now()
	_, err := w.Commands.RecordRefreshDeferred(ctx, key, w.header(), grant.RefreshDeferred{
		Attempt: s.Attempt.Attempt, Reason: grant.NotSent, RetryAt: now, At: now,
	})
	if err != nil {
		w.sentNothing(s.Attempt.Attempt)
	}
	return err
}

// host is what load manners are kept towards.
func host(l link.State) string {
	u, err := url.Parse(l.TokenEndpoint)
	if err != nil {
		return l.TokenEndpoint
	}
	return u.Host
}

// client is a link's client as it is configured: a change lifts what was held
// against it.
func client(id uuid.UUID, l link.State) string {
	return fmt.Sprintf("%s %d", id, l.ConfigVersion)
}
