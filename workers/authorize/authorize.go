// Package authorize takes a person through the provider's consent and back: the
// authorization code flow with PKCE (RFC 6749 section 4.1, RFC 7636), and the
// rules of RFC 9700 and RFC 9207 for what comes back.
//
// An answer is checked before anything is sent anywhere; the authorization is
// spent in the log before its code is exchanged; a code is sent once.
package authorize

import (
	"context"
	"crypto/hmac"
	"log/slog"
	"sync"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/provider"
	"outlink/workers/erasure"
)

// Endpoints are the provider's, as internal/oauth speaks to them.
type Endpoints interface {
	AuthorizationURL(r provider.Registration, state, verifier string) string
	PushAuthorization(ctx context.Context, r provider.Registration, state, verifier string) (string, answer.Answer)
	Exchange(ctx context.Context, r provider.Registration, code, verifier domain.Secret) answer.Answer
	erasure.Revoker
}

// Flow runs authorizations. All exported fields are required.
type Flow struct {
	Commands  *commands.Service
	Endpoints Endpoints
	Node      string
	Log       *slog.Logger

	exchanges sync.WaitGroup // that are under way
}

// Wait returns when no code is being exchanged any more: a process that ends would take
// the token along. Nothing may begin meanwhile.
func (f *Flow) Wait() { f.exchanges.Wait() }

// Start is where to send a person, and the cookie that recognises the browser
// when it comes back.
type Start struct {
	Authorization uuid.UUID
	URL           string // of the provider's authorization endpoint, with all parameters
	Cookie        string
}

// Begin checks the ticket of a start page.
func (f *Flow) Begin(ctx context.Context, link uuid.UUID, ticket string) (Start, error) {
	key, id, err := f.Commands.OpenHandle(ctx, commands.TicketHandle, link, ticket)
	if err != nil {
		return Start{}, err
	}
	l, err := f.Commands.Links.Load(ctx, domain.Key{Link: link})
	if err != nil {
		return Start{}, err
	}
	if err := l.State.Usable(link); err != nil {
		return Start{}, err
	}
	at, err := f.Commands.Grants.Load(ctx, key)
	if err != nil {
		return Start{}, err
	}
	// What would refuse the answer should not send anybody on the way.
	if _, err := at.State.ConsumeAuthorization(grant.AuthorizationConsumed{Authorization: id, At: f.Commands.Now()}, l.State.ConfigVersion); err != nil {
		return Start{}, err
	}
	state, err := f.Commands.Handle(ctx, commands.StateHandle, key, id)
	if err != nil {
		return Start{}, err
	}
	cookie, err := f.Commands.Handle(ctx, commands.CookieHandle, key, id)
	if err != nil {
		return Start{}, err
	}
	verifier, err := f.Commands.CodeVerifier(ctx, key, id)
	if err != nil {
		return Start{}, err
	}
	r, err := f.Commands.GrantRegistration(ctx, key, l.State, l.State.DPoP)
	if err != nil {
		return Start{}, err
	}
	if r.PushEndpoint == "" {
		return Start{Authorization: id, URL: f.Endpoints.AuthorizationURL(r, state, verifier.Reveal()), Cookie: cookie}, nil
	}
	where, ans := f.Endpoints.PushAuthorization(ctx, r, state, verifier.Reveal())
	if ans.Class != answer.Issued {
		return Start{}, f.notPushed(ctx, link, l.State.ConfigVersion, ans)
	}
	return Start{Authorization: id, URL: where, Cookie: cookie}, nil
}

// notPushed says why the provider takes no authorization request. The same
// authorization can be started again.
func (f *Flow) notPushed(ctx context.Context, link uuid.UUID, config uint64, ans answer.Answer) error {
	f.Log.Warn("pushed authorization request", "link", link, "class", ans.Class, "http_status", ans.HTTPStatus, "code", ans.Code, "problem", ans.Problem)
	if ans.Class != answer.ClientRejected && ans.Class != answer.ClientDeleted {
		return domain.Errorf(domain.Unavailable, "the provider did not take the authorization request (%s); try again", ans.Problem)
	}
	return f.clientRejected(ctx, link, config, ans)
}

// clientRejected has the link degraded, for all of its grants.
func (f *Flow) clientRejected(ctx context.Context, link uuid.UUID, config uint64, ans answer.Answer) error {
	if _, err := f.Commands.DegradeLink(ctx, link, f.header(), commands.Refusal{ConfigVersion: config, Class: ans.Class, Code: ans.Code}); err != nil {
		return err
	}
	return domain.Errorf(domain.LinkDegraded, "the provider rejects this link's client id or secret (%s); an administrator must correct it, then start again", ans.Code)
}

// Callback is what a browser brings back (RFC 6749 section 4.1.2, RFC 9207).
type Callback struct {
	Link   uuid.UUID
	State  string
	Code   domain.Secret
	Issuer string
	Error  string                    // the provider's error code
	Cookie func(id uuid.UUID) string // the browser's cookie for an authorization
}

// Complete checks a callback, spends its authorization and exchanges the code.
// An exchange whose outcome is unknown is not repeated: sending a code twice
// may end what it brought (RFC 6749 section 4.1.2).
func (f *Flow) Complete(ctx context.Context, c Callback) (commands.Outcome, error) {
	key, id, err := f.Commands.OpenHandle(ctx, commands.StateHandle, c.Link, c.State)
	if err != nil {
		return commands.Outcome{}, err
	}
	cookie, err := f.Commands.Handle(ctx, commands.CookieHandle, key, id)
	if err != nil {
		return commands.Outcome{}, err
	}
	if !hmac.Equal([]byte(cookie), []byte(c.Cookie(id))) {
		return commands.Outcome{}, domain.Errorf(domain.InvalidArgument, "this browser did not begin the authorization, or its cookie is gone; start again from the link in this browser")
	}
	at, err := f.Commands.Grants.Load(ctx, key)
	if err != nil {
		return commands.Outcome{}, err
	}
	if err := checkIssuer(at.State.Authorization, c.Issuer); err != nil {
		return commands.Outcome{}, err
	}
	if _, err := f.Commands.ConsumeAuthorization(ctx, commands.ConsumeAuthorization{Header: f.header(), Key: key, Authorization: id}); err != nil {
		return commands.Outcome{}, err
	}
	if c.Error != "" || c.Code.IsZero() {
		return f.denied(ctx, key, id, c)
	}
	return f.exchange(ctx, key, id, at.State, c)
}

// checkIssuer is the mix-up defence of RFC 9207: a link that expects an issuer
// must get exactly that one.
func checkIssuer(a *grant.Authorization, got string) error {
	if a == nil || a.Issuer == "" || a.Issuer == got {
		return nil
	}
	return domain.Errorf(domain.InvalidArgument, "the answer names the issuer %q, and the link expects %q; nothing was sent to the provider", got, a.Issuer)
}

func (f *Flow) denied(ctx context.Context, key domain.Key, id uuid.UUID, c Callback) (commands.Outcome, error) {
	code := answer.KnownCode(c.Error)
	if err := f.fail(ctx, key, id, grant.AuthorizationDenied, code); err != nil {
		return commands.Outcome{}, err
	}
	if code == "" {
		code = "no known error code"
	}
	return commands.Outcome{}, domain.Errorf(domain.FailedPrecondition, "the provider did not authorize the link (%s); start again when the reason is gone", code)
}

func (f *Flow) fail(ctx context.Context, key domain.Key, id uuid.UUID, why grant.Reason, code string) error {
	_, err := f.Commands.FailAuthorization(ctx, commands.FailAuthorization{
		Header: f.header(), Key: key, Authorization: id, Reason: why, ProviderCode: code,
	})
	return err
}

func (f *Flow) exchange(ctx context.Context, key domain.Key, id uuid.UUID, g grant.State, c Callback) (commands.Outcome, error) {
	f.exchanges.Add(1)
	defer f.exchanges.Done()
	ctx = context.WithoutCancel(ctx) // a closed tab does not lose the answer
	l, err := f.Commands.Links.Load(ctx, domain.Key{Link: c.Link})
	if err != nil {
		return commands.Outcome{}, err
	}
	r, err := f.Commands.GrantRegistration(ctx, key, l.State, l.State.DPoP)
	if err != nil {
		return commands.Outcome{}, err
	}
	verifier, err := f.Commands.CodeVerifier(ctx, key, id)
	if err != nil {
		return commands.Outcome{}, err
	}
	ans := f.Endpoints.Exchange(ctx, r, c.Code, verifier)
	f.Log.Info("code exchange", "link", c.Link, "grant", key.Grant, "class", ans.Class, "http_status", ans.HTTPStatus, "code", ans.Code, "problem", ans.Problem)
	if ans.Class != answer.Issued {
		return f.notIssued(ctx, key, id, l.State.ConfigVersion, ans)
	}
	token := consent{commands: f.Commands, revoker: f.Endpoints, registration: r, header: f.header, log: f.Log}
	return token.store(ctx, commands.NewToken{
		Key: key, Subject: g.Subject, Exchange: id, Cause: grant.ByAuthorization, ReceivedAt: ans.SentAt, Token: *ans.Token,
	})
}

func (f *Flow) header() commands.Header {
	return commands.Header{CommandID: f.Commands.NewID(), Actor: "browser"}
}

func (f *Flow) notIssued(ctx context.Context, key domain.Key, id uuid.UUID, config uint64, ans answer.Answer) (commands.Outcome, error) {
	if err := f.fail(ctx, key, id, grant.ExchangeFailed, ans.Code); err != nil {
		return commands.Outcome{}, err
	}
	if ans.Class == answer.ClientRejected || ans.Class == answer.ClientDeleted {
		return commands.Outcome{}, f.clientRejected(ctx, key.Link, config, ans)
	}
	return commands.Outcome{}, domain.Errorf(domain.FailedPrecondition, "the provider did not issue a token (%s); start again", ans.Class)
}
