package commands

import (
	"cmp"
	"context"
	"errors"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/name"
)

// Draft is a link's configuration as an administrator gives it. What is left
// out comes from the provider's entry in the catalogue.
type Draft struct {
	Name                  string            `json:"name"`
	Provider              string            `json:"provider"`
	ClientID              string            `json:"client_id"`
	Scopes                []string          `json:"scopes,omitempty"`
	AuthorizationEndpoint string            `json:"authorization_endpoint,omitempty"`
	TokenEndpoint         string            `json:"token_endpoint,omitempty"`
	RevocationEndpoint    string            `json:"revocation_endpoint,omitempty"`
	DeviceEndpoint        string            `json:"device_authorization_endpoint,omitempty"`         // where a code for another device is asked for (RFC 8628)
	PushEndpoint          string            `json:"pushed_authorization_request_endpoint,omitempty"` // where authorization requests are pushed to (RFC 9126); empty: they go through the browser
	Issuer                string            `json:"issuer,omitempty"`
	AuthStyle             link.AuthStyle    `json:"auth_style,omitempty"`
	AuthorizationParams   map[string]string `json:"authorization_params,omitempty"`
	Resources             []string          `json:"resources,omitempty"`                // RFC 8707
	GrantTypes            []link.GrantType  `json:"grant_types,omitempty"`              // default: authorization_code
	Assertion             link.Assertion    `json:"assertion,omitzero"`                 // what the client says of itself; for the grant type jwt-bearer
	Exchange              link.Exchange     `json:"exchange,omitzero"`                  // whose token is exchanged; for the grant type token-exchange
	DPoP                  bool              `json:"dpop_bound_access_tokens,omitempty"` // tokens are bound to a key of the grant's own (RFC 9449)
}

// Config is the draft before the catalogue completes it.
func (d Draft) Config() link.Config {
	return link.Config{
		Name: d.Name, Provider: d.Provider, ClientID: d.ClientID, Scopes: d.Scopes,
		AuthorizationEndpoint: d.AuthorizationEndpoint, TokenEndpoint: d.TokenEndpoint,
		RevocationEndpoint: d.RevocationEndpoint, Issuer: d.Issuer,
		AuthStyle: d.AuthStyle, AuthorizationParams: d.AuthorizationParams, Resources: d.Resources, GrantTypes: d.GrantTypes,
		DeviceEndpoint: d.DeviceEndpoint, PushEndpoint: d.PushEndpoint, DPoP: d.DPoP, Assertion: d.Assertion, Exchange: d.Exchange,
	}
}

// CreateOutgoingLink configures a link to a provider.
type CreateOutgoingLink struct {
	Header
	Link uuid.UUID `json:"link_id,omitzero"` // chosen by the caller; else it is the command's id
	Draft
	ClientSecret domain.SecretInput `json:"client_secret,omitzero"`
}

func (c CreateOutgoingLink) about() uuid.UUID { return cmp.Or(c.Link, c.CommandID) }

// CreateOutgoingLink reserves the name, puts the client secret into the vault,
// and creates the link. Each step may be repeated after a crash.
func (s *Service) CreateOutgoingLink(ctx context.Context, c CreateOutgoingLink) (Outcome, error) {
	id := c.about()
	config, err := s.configure(id, c.Draft, !c.ClientSecret.IsZero())
	if err != nil {
		return Outcome{}, err
	}
	secret, err := s.open(c.ClientSecret)
	if err != nil {
		return Outcome{}, err
	}
	if err := s.CheckSecret(config.AuthStyle, secret); err != nil {
		return Outcome{}, err
	}
	e := link.Created{Config: config, At: s.Now()}
	if !secret.IsZero() {
		e.SecretGeneration = 1
	}
	return s.create(ctx, id, c.Header, e, secret)
}

// create asks everything before it changes anything: creating a link that exists
// must not replace its secret, nor a repeat have an effect.
func (s *Service) create(ctx context.Context, id uuid.UUID, h Header, e link.Created, secret domain.Secret) (Outcome, error) {
	key := domain.Key{Link: id}
	var at Loaded[link.State]
	var named Loaded[name.State]
	err := together(
		func() (err error) { at, err = s.Links.Load(ctx, key); return err },
		func() (err error) { named, err = s.Names.Load(ctx, domain.Key{Link: name.ID(e.Name)}); return err },
	)
	if err != nil {
		return Outcome{}, err
	}
	if at.Version > 0 {
		return s.createAgain(ctx, id, h, e, at)
	}
	if err := h.first(); err != nil {
		return Outcome{}, err
	}
	if err := name.Check(e.Name); err != nil {
		return Outcome{}, err
	}
	if err := s.prepare(ctx, id, h, e, named, secret); err != nil {
		return Outcome{}, err
	}
	at, events, err := decideOn(ctx, s.Links, link.Kinds, key, at, h, s.Now(), func(l Loaded[link.State]) (link.Event, error) { return l.State.Create(id, e) })
	if err == nil && len(events) == 0 { // the same command, twice at once
		return s.createAgain(ctx, id, h, e, at)
	}
	return ofLink(id, at, events), err
}

// createAgain answers when the link is there. A link's first event says for ever
// which command made it, so that command gets the answer that it got.
func (s *Service) createAgain(ctx context.Context, id uuid.UUID, h Header, e link.Created, at Loaded[link.State]) (Outcome, error) {
	first, err := s.Made(ctx, domain.Key{Link: id})
	if err != nil {
		return Outcome{}, err
	}
	if h.CommandID != uuid.Nil && first.Causation == h.CommandID.String() {
		return ofLink(id, first, []string{link.Kinds.Type(e)}), nil
	}
	if _, err := at.State.Create(id, e); err != nil {
		return Outcome{}, err
	}
	return ofLink(id, at, []string{}), nil
}

// prepare does what must be done before the link's event: both at once, unless
// the name was somebody's. What is refused shall leave no secret behind.
func (s *Service) prepare(ctx context.Context, id uuid.UUID, h Header, e link.Created, named Loaded[name.State], secret domain.Secret) error {
	reserve := func() error { return s.reserve(ctx, id, e.Name, h, named) }
	keep := func() error {
		if secret.IsZero() {
			return nil
		}
		return s.Vault.StoreClientSecret(ctx, id, e.SecretGeneration, secret)
	}
	if named.Version == 0 {
		return together(reserve, keep)
	}
	if err := reserve(); err != nil {
		return err
	}
	return keep()
}

// together does two things at once, and waits for both.
func together(one, other func() error) error {
	done := make(chan error, 1)
	go func() { done <- other() }()
	return errors.Join(one(), <-done)
}

// configure completes a draft from the catalogue and checks it as a whole.
func (s *Service) configure(id uuid.UUID, d Draft, secretGiven bool) (link.Config, error) {
	p, err := s.Catalogue.Get(d.Provider)
	if err != nil {
		return link.Config{}, err
	}
	config := p.Complete(d.Config())
	if err := p.Check(config, secretGiven, s.Policy); err != nil {
		return link.Config{}, err
	}
	if config.Exchange.Link == id {
		return link.Config{}, domain.Errorf(domain.InvalidArgument, "exchange.subject_link_id is the link itself; name the link whose tokens are exchanged")
	}
	if config.Uses(link.AuthorizationCode) {
		config.RedirectURL, err = p.RedirectURL(s.Policy, id, config)
	}
	return config, err
}

// open reads a secret of a command in either of its forms.
func (s *Service) open(in domain.SecretInput) (domain.Secret, error) {
	if in.Sealed == nil {
		return in.Clear, nil
	}
	return s.Vault.Unseal(*in.Sealed)
}

// abandoned is how long a reservation counts whose link does not exist (yet):
// longer than a command may take.
const abandoned = 60e9 // one minute, in nanoseconds

// reserveName makes sure that no other living link goes by the name.
func (s *Service) reserveName(ctx context.Context, id uuid.UUID, wanted string, h Header) error {
	named, err := s.Names.Load(ctx, domain.Key{Link: name.ID(wanted)})
	if err != nil {
		return err
	}
	return s.reserve(ctx, id, wanted, h, named)
}

// reserve is reserveName, with the name as it was just loaded.
func (s *Service) reserve(ctx context.Context, id uuid.UUID, wanted string, h Header, named Loaded[name.State]) error {
	h.ExpectedVersion = nil // that is about the link
	h.before = before{}     // what it reserved before may be another's since: only the last reservation counts
	e := name.Reserved{Name: wanted, Link: id, At: s.Now()}
	_, _, err := decideOn(ctx, s.Names, name.Kinds, domain.Key{Link: name.ID(wanted)}, named, h, s.Now(), func(n Loaded[name.State]) (name.Event, error) {
		inUse, err := s.goesBy(ctx, n.State, wanted)
		if err != nil {
			return nil, err
		}
		return n.State.Reserve(e, inUse)
	})
	return err
}

// goesBy reports whether the holder of a name still uses it.
func (s *Service) goesBy(ctx context.Context, n name.State, wanted string) (bool, error) {
	if n.Link == uuid.Nil {
		return false, nil
	}
	holder, err := s.Links.Load(ctx, domain.Key{Link: n.Link})
	if err != nil {
		return false, err
	}
	switch holder.State.Status() {
	case link.StatusAbsent:
		return s.Now().Sub(n.At) < abandoned, nil
	case link.StatusDeleted:
		return false, nil
	}
	// A rename in progress has reserved the new name and not yet taken it.
	return name.ID(holder.State.Name) == name.ID(wanted) || s.Now().Sub(n.At) < abandoned, nil
}
