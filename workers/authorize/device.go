package authorize

import (
	"context"
	"errors"
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

// DeviceEndpoint is the provider's, as internal/oauth speaks to it.
type DeviceEndpoint interface {
	AuthorizeDevice(ctx context.Context, r provider.Registration) (answer.Device, answer.Answer)
	AskDevice(ctx context.Context, r provider.Registration, code domain.Secret) answer.Answer
	erasure.Revoker
}

// Devices takes care of authorizations that a person gives on another device
// (RFC 8628). It is woken for a grant again and again; what it goes on with is in
// the vault, so that any node can, after any restart. All fields are required.
type Devices struct {
	Commands *commands.Service
	Endpoint DeviceEndpoint
	Later    func(ctx context.Context, key domain.Key, at time.Time) error // wakes the grant up again
	Node     string
	Log      *slog.Logger
}

// askWithin bounds one question; nobody else asks meanwhile.
const askWithin = 30 * time.Second

// slower is what slow_down adds to the interval (RFC 8628 section 3.5).
const slower = 5 * time.Second

// device is one look at an authorization.
type device struct {
	*Devices
	key          domain.Key
	state        grant.State
	link         link.State
	registration provider.Registration
	code         commands.DeviceCode
	revision     uint64
}

// Handle does what is next for a grant's authorization on another device.
func (d *Devices) Handle(ctx context.Context, key domain.Key) error {
	at, err := d.Commands.Grants.Load(ctx, key)
	if err != nil {
		return err
	}
	a := at.State.Authorization
	if a == nil || !a.Device || !d.Commands.Now().Before(a.ExpiresAt) {
		return nil
	}
	l, err := d.Commands.Links.Load(ctx, domain.Key{Link: key.Link})
	if err != nil {
		return err
	}
	v := device{Devices: d, key: key, state: at.State, link: l.State}
	if l.State.Usable(key.Link) != nil || l.State.ConfigVersion != a.ConfigVersion {
		return v.fail(ctx, grant.AuthorizationVoid, "")
	}
	if v.registration, err = d.Commands.GrantRegistration(ctx, key, l.State, l.State.DPoP); err != nil {
		return err
	}
	if v.code, v.revision, err = d.Commands.Devices.DeviceCode(ctx, key); err != nil {
		return err
	}
	if v.code.Authorization != a.Authorization {
		return v.begin(ctx)
	}
	return v.ask(ctx)
}

// begin gets the code. One that another node got first is as good.
func (v device) begin(ctx context.Context) error {
	got, ans := v.Endpoint.AuthorizeDevice(ctx, v.registration)
	v.report("device authorization", ans)
	now := v.Commands.Now()
	if ans.Class != answer.Issued {
		if passing(ans) {
			return v.Later(ctx, v.key, now.Add(max(ans.RetryAfter, slower)))
		}
		return v.refused(ctx, ans)
	}
	code := commands.DeviceCode{
		Authorization: v.state.Authorization.Authorization, Code: got.Code, Interval: got.Interval,
		ExpiresAt: now.Add(got.Lifetime), NotBefore: now.Add(got.Interval),
		Shown: commands.Device{UserCode: got.UserCode, VerificationURI: got.VerificationURI, VerificationURIComplete: got.VerificationURIComplete},
	}
	_, err := v.Commands.Devices.StoreDeviceCode(ctx, v.key, code, v.revision)
	if err != nil && !errors.Is(err, commands.ErrOvertaken) {
		return err
	}
	return v.Later(ctx, v.key, code.NotBefore)
}

// ask asks the provider, unless it is too early or another node is at it.
func (v device) ask(ctx context.Context) error {
	now := v.Commands.Now()
	switch {
	case !now.Before(v.code.ExpiresAt):
		return v.fail(ctx, grant.AuthorizationExpired, "")
	case now.Before(v.code.NotBefore):
		return v.Later(ctx, v.key, v.code.NotBefore)
	}
	v.code.NotBefore = now.Add(askWithin + slower)
	var err error
	v.revision, err = v.Commands.Devices.StoreDeviceCode(ctx, v.key, v.code, v.revision)
	if errors.Is(err, commands.ErrOvertaken) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // the answer belongs to the grant
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	return v.heard(ctx, v.Endpoint.AskDevice(asking, v.registration, v.code.Code))
}

// heard acts on the provider's answer.
func (v device) heard(ctx context.Context, ans answer.Answer) error {
	switch {
	case ans.Class == answer.Issued:
		v.report("device authorization", ans)
		return v.issue(ctx, ans)
	case ans.Code == "authorization_pending":
	case ans.Code == "slow_down":
		v.code.Interval += slower
	case passing(ans):
		v.code.Interval = min(2*v.code.Interval, time.Minute)
	default:
		v.report("device authorization", ans)
		return v.refused(ctx, ans)
	}
	v.code.NotBefore = v.Commands.Now().Add(max(v.code.Interval, ans.RetryAfter))
	_, err := v.Commands.Devices.StoreDeviceCode(ctx, v.key, v.code, v.revision)
	if err != nil && !errors.Is(err, commands.ErrOvertaken) {
		return err
	}
	return v.Later(ctx, v.key, v.code.NotBefore)
}

func (v device) issue(ctx context.Context, ans answer.Answer) error {
	c := consent{commands: v.Commands, revoker: v.Endpoint, registration: v.registration, header: v.header, log: v.Log}
	_, err := c.store(ctx, commands.NewToken{
		Key: v.key, Subject: v.state.Subject, Exchange: v.state.Authorization.Authorization, Cause: grant.ByAuthorization,
		ReceivedAt: ans.SentAt, Token: *ans.Token,
	})
	return err
}

// passing reports whether asking again may help.
func passing(ans answer.Answer) bool {
	switch ans.Class {
	case answer.NotSent, answer.Ambiguous, answer.Transient, answer.RateLimited:
		return true
	}
	return false
}

// refused ends the authorization; what is the link's trouble is said of the link.
func (v device) refused(ctx context.Context, ans answer.Answer) error {
	why := grant.ExchangeFailed
	switch ans.Class {
	case answer.AccessDenied:
		why = grant.AuthorizationDenied
	case answer.GrantInvalid:
		why = grant.AuthorizationExpired
	}
	if ans.Class.OfLink() {
		if _, err := v.Commands.DegradeLink(ctx, v.key.Link, v.header(), commands.Refusal{ConfigVersion: v.link.ConfigVersion, Class: ans.Class, Code: ans.Code}); err != nil {
			return err
		}
	}
	return v.fail(ctx, why, ans.Code)
}

func (v device) fail(ctx context.Context, why grant.Reason, code string) error {
	_, err := v.Commands.FailAuthorization(ctx, commands.FailAuthorization{
		Header: v.header(), Key: v.key, Authorization: v.state.Authorization.Authorization, Reason: why, ProviderCode: code,
	})
	return err
}

func (d *Devices) header() commands.Header {
	return commands.Header{CommandID: d.Commands.NewID(), Actor: "node:" + d.Node + "/device"}
}

// report logs an answer in words that hold no secret.
func (v device) report(what string, ans answer.Answer) {
	v.Log.Info(what, "link", v.key.Link, "grant", v.key.Grant, "class", ans.Class, "http_status", ans.HTTPStatus, "code", ans.Code, "problem", ans.Problem)
}
