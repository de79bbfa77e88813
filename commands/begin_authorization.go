package commands

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// authorizationLife is how long a person has to come back from the provider.
const authorizationLife = 10 * time.Minute

// BeginAuthorization opens an authorization of a link for a subject. The
// outcome has the URL that the person opens in a browser. For another device it
// has the code that the person enters there as soon as the provider gave it:
// repeat the command, by its id, until it is there.
type BeginAuthorization struct {
	Header
	Link    uuid.UUID `json:"link_id"`
	Subject string    `json:"subject,omitempty"` // default: "default"
	Device  bool      `json:"device,omitempty"`  // the person consents on another device (RFC 8628)
}

func (c BeginAuthorization) about() uuid.UUID { return c.Link }

// deviceLife is how long a person has on another device, if the provider does not
// give less.
const deviceLife = 30 * time.Minute

// BeginAuthorization pins the configuration that the answer is checked against.
func (s *Service) BeginAuthorization(ctx context.Context, c BeginAuthorization) (Outcome, error) {
	if c.Subject == "" {
		c.Subject = grant.DefaultSubject
	}
	if err := checkSubject(c.Subject); err != nil {
		return Outcome{}, err
	}
	key := domain.Key{Link: c.Link, Grant: grant.ID(c.Link, c.Subject)}
	if out, done, err := s.opened(ctx, key, c.CommandID, c.before); done || err != nil {
		return out, err
	}
	l, err := s.Links.Load(ctx, domain.Key{Link: c.Link})
	if err != nil {
		return Outcome{}, err
	}
	if err := l.State.Usable(c.Link); err != nil {
		return Outcome{}, err
	}
	way, life := link.AuthorizationCode, authorizationLife
	if c.Device {
		way, life = link.DeviceCode, deviceLife
	}
	if !l.State.Uses(way) {
		return Outcome{}, domain.Errorf(domain.FailedPrecondition, "link %s does not use the grant type %q; its tokens are had by %q", c.Link, way, l.State.Ways())
	}
	if err := s.reachable(c.Link, l.State); err != nil && !c.Device {
		return Outcome{}, err
	}
	e := grant.AuthorizationBegun{
		Authorization: s.NewID(), Subject: c.Subject, ConfigVersion: l.State.ConfigVersion,
		RedirectURL: l.State.RedirectURL, AuthorizationEndpoint: l.State.AuthorizationEndpoint,
		TokenEndpoint: l.State.TokenEndpoint, Issuer: l.State.Issuer,
		Device: c.Device, At: s.Now(), ExpiresAt: s.Now().Add(life),
	}
	out, err := s.onGrant(ctx, key, c.Header, func(g grant.State) (grant.Event, error) {
		begun, err := g.BeginAuthorization(key.Grant, e)
		if err != nil || begun == nil {
			return nil, err
		}
		_, err = s.Vault.MakeKey(ctx, key, g.Shredded)
		return begun, err
	})
	if err != nil {
		return Outcome{}, err
	}
	if len(out.Events) == 0 { // the same command, twice at once
		out, _, err = s.opened(ctx, key, c.CommandID, before{possible: true})
		return out, err
	}
	return s.begun(ctx, out, e)
}

// opened answers a command that comes again with the authorization that it began,
// which need not be the open one.
func (s *Service) opened(ctx context.Context, key domain.Key, command uuid.UUID, b before) (out Outcome, found bool, err error) {
	var e grant.AuthorizationBegun
	at, found, err := did(ctx, s.Grants, key, b, func(r domain.Record) (is bool) {
		if r.Causation == command.String() {
			e, is = decoded[grant.AuthorizationBegun](r)
		}
		return is
	})
	if err != nil || !found {
		return Outcome{}, false, err
	}
	out, err = s.begun(ctx, ofGrant(key, at, []string{}), e)
	return out, true, err
}

func (s *Service) begun(ctx context.Context, out Outcome, begun grant.AuthorizationBegun) (Outcome, error) {
	out.Authorization, out.ExpiresAt = begun.Authorization, &begun.ExpiresAt
	if begun.Device {
		out.Device = &Device{}
	}
	return s.withStartURL(ctx, out)
}

// reachable refuses to send a person on a way that does not lead back: the public
// URL may have changed since the link was configured.
func (s *Service) reachable(id uuid.UUID, l link.State) error {
	p, err := s.Catalogue.Get(l.Provider)
	if err != nil {
		return err
	}
	now, err := p.RedirectURL(s.Policy, id, l.Config)
	if err != nil || now == l.RedirectURL {
		return err
	}
	return domain.Errorf(domain.FailedPrecondition,
		"the link's redirect URL is %s, and this installation is at %s now; run: outlink link update %s, and register %s at the provider", l.RedirectURL, s.Policy.PublicURL, id, now)
}

// withStartURL adds the URL of Outlink's own start page. It carries a ticket
// that this vault alone can make, and is never stored.
func (s *Service) withStartURL(ctx context.Context, out Outcome) (Outcome, error) {
	switch {
	case out.Authorization == uuid.Nil:
		return out, nil
	case out.Device != nil:
		return s.WithDeviceCode(ctx, out)
	}
	ticket, err := s.Handle(ctx, TicketHandle, domain.Key{Link: out.Link, Grant: out.Grant}, out.Authorization)
	if err != nil {
		return Outcome{}, err
	}
	out.AuthorizationURL = strings.TrimSuffix(s.Policy.PublicURL, "/") + "/oauth/start/" + out.Link.String() + "?ticket=" + ticket
	return out, nil
}

// MaxSubject is how long a subject may be, in characters.
const MaxSubject = 200

// checkSubject refuses a subject that cannot be shown in one line.
func checkSubject(subject string) error {
	blank := subject != "" && strings.TrimSpace(subject) == ""
	if blank || utf8.RuneCountInString(subject) > MaxSubject || strings.ContainsFunc(subject, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return domain.Errorf(domain.InvalidArgument, "subject %q: use at most %d printable characters", clip(subject), MaxSubject)
	}
	return nil
}

// The purposes of a handle: one made for one purpose is worthless for another.
const (
	TicketHandle = "ticket" // opens the start page
	StateHandle  = "state"  // the state parameter (RFC 6749 section 10.12)
	CookieHandle = "cookie" // binds the answer to the browser that began
	pkceHandle   = "pkce"   // the code verifier (RFC 7636)
)

// Handle is an opaque string that names an authorization and that only this
// vault can make: grant id, authorization id and 256 bits of proof. Because it
// can be derived again, it is stored nowhere.
func (s *Service) Handle(ctx context.Context, purpose string, key domain.Key, authorization uuid.UUID) (string, error) {
	proof, err := s.Vault.Derive(ctx, key, purpose, authorization)
	if err != nil {
		return "", err
	}
	raw := append(append(key.Grant[:], authorization[:]...), proof...)
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// OpenHandle checks a handle of a link and returns what it names.
func (s *Service) OpenHandle(ctx context.Context, purpose string, link uuid.UUID, handle string) (domain.Key, uuid.UUID, error) {
	invalid := domain.Errorf(domain.InvalidArgument, "this authorization is unknown: the address is incomplete, or it belongs to another link; start again")
	raw, err := base64.RawURLEncoding.DecodeString(handle)
	if err != nil || len(raw) != 64 {
		return domain.Key{}, uuid.Nil, invalid
	}
	key, authorization := domain.Key{Link: link, Grant: uuid.UUID(raw[:16])}, uuid.UUID(raw[16:32])
	at, err := s.Grants.Load(ctx, key) // first: a key is not made for a grant that nobody began
	if err != nil {
		return domain.Key{}, uuid.Nil, err
	}
	if at.State.Authorization == nil || at.State.Authorization.Authorization != authorization {
		if at.Version == 0 {
			return domain.Key{}, uuid.Nil, invalid
		}
		return domain.Key{}, uuid.Nil, domain.Errorf(domain.FailedPrecondition, "this authorization is over or was replaced by a newer one; start again")
	}
	proof, err := s.Vault.Derive(ctx, key, purpose, authorization)
	if err != nil {
		return domain.Key{}, uuid.Nil, err
	}
	if !hmac.Equal(proof, raw[32:]) {
		return domain.Key{}, uuid.Nil, invalid
	}
	return key, authorization, nil
}

// CodeVerifier is the PKCE code verifier of an authorization: 256 bits, derived
// again when the code is exchanged (RFC 7636 section 4.1).
func (s *Service) CodeVerifier(ctx context.Context, key domain.Key, authorization uuid.UUID) (domain.Secret, error) {
	proof, err := s.Vault.Derive(ctx, key, pkceHandle, authorization)
	if err != nil {
		return domain.Secret{}, err
	}
	return domain.NewSecret(base64.RawURLEncoding.EncodeToString(proof)), nil
}
