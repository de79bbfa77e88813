// Package erasure ends what was revoked or deleted: it asks the provider to
// revoke the token (RFC 7009), shreds the data key, and says in the log that it
// did. The provider's refusal is recorded and does not keep the key alive.
package erasure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// Revoker asks a provider to revoke a token.
type Revoker interface {
	Revoke(ctx context.Context, r provider.Registration, token domain.Secret, hint string) error
}

// Shredder destroys data keys.
type Shredder interface {
	Shred(ctx context.Context, key domain.Key) error
}

// Worker erases. All fields are required.
type Worker struct {
	Commands *commands.Service
	Endpoint Revoker
	Vault    Shredder
	GrantsOf func(ctx context.Context, link uuid.UUID) ([]domain.Key, error) // from the log
	Node     string
	Log      *slog.Logger
}

// Handle erases what an event ended. Any other event is none of its business;
// an event seen twice finds its work done.
func (w *Worker) Handle(ctx context.Context, r domain.Record) error {
	switch {
	case r.OfGrant() && r.Type == revoked:
		return w.eraseGrant(ctx, domain.Key{Link: r.Link, Grant: r.Grant})
	case !r.OfGrant() && r.Type == deleted:
		return w.eraseLink(ctx, r.Link)
	}
	return nil
}

var (
	revoked = grant.Kinds.Type(grant.Revoked{})
	deleted = link.Kinds.Type(link.Deleted{})
)

// eraseLink ends a link's grants first: revoking them needs the client secret.
func (w *Worker) eraseLink(ctx context.Context, id uuid.UUID) error {
	keys, err := w.GrantsOf(ctx, id)
	if err != nil {
		return fmt.Errorf("list the grants of link %s: %w", id, err)
	}
	var errs []error
	for _, key := range keys {
		err := w.endGrant(ctx, key)
		if err != nil && !errors.Is(err, domain.ErrUndecodable) {
			return err
		}
		errs = append(errs, err) // one that cannot be decoded keeps none of the others alive
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := w.Vault.Shred(ctx, domain.Key{Link: id}); err != nil {
		return fmt.Errorf("shred link %s: %w", id, err)
	}
	return nil
}

func (w *Worker) endGrant(ctx context.Context, key domain.Key) error {
	c := commands.RevokeGrant{Header: w.header(), GrantRef: commands.GrantRef{Link: key.Link, Grant: key.Grant}}
	c.Reason = "the link was deleted"
	if _, err := w.Commands.RevokeGrant(ctx, c); err != nil {
		return fmt.Errorf("revoke grant %s: %w", key, err)
	}
	return w.eraseGrant(ctx, key)
}

func (w *Worker) eraseGrant(ctx context.Context, key domain.Key) error {
	at, err := w.Commands.Grants.Load(ctx, key)
	if err != nil {
		return fmt.Errorf("load grant %s: %w", key, err)
	}
	if !at.State.Ended || at.State.Shredded {
		return nil // authorized anew since, or done before
	}
	e := grant.Erased{RevokedAtProvider: true, At: w.Commands.Now()}
	if err := w.revoke(ctx, key); err != nil {
		e.RevokedAtProvider, e.Problem = false, domain.Public(err).Message
		w.Log.Warn("the provider did not revoke a token", "grant", key.Grant, "error", err)
	}
	if err := w.Vault.Shred(ctx, key); err != nil {
		return fmt.Errorf("shred grant %s: %w", key, err)
	}
	_, err = w.Commands.RecordErased(ctx, key, w.header(), e)
	return err
}

// errNothing says that there was no token to revoke, or nowhere to do it.
func errNothing(what string) error {
	return domain.Errorf(domain.FailedPrecondition, "not revoked at the provider: %s", what)
}

func (w *Worker) revoke(ctx context.Context, key domain.Key) error {
	l, err := w.Commands.Links.Load(ctx, domain.Key{Link: key.Link})
	if err != nil {
		return err
	}
	if l.State.RevocationEndpoint == "" {
		return errNothing("the link has no revocation endpoint")
	}
	c, _, err := w.Commands.Vault.Credential(ctx, key)
	if err != nil {
		return err
	}
	token, hint := c.RefreshToken, "refresh_token"
	if token.IsZero() {
		token, hint = c.AccessToken, "access_token"
	}
	if token.IsZero() {
		return errNothing("there was no token")
	}
	r, err := w.Commands.Registration(ctx, key.Link, l.State)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return w.Endpoint.Revoke(ctx, r, token, hint)
}

func (w *Worker) header() commands.Header {
	return commands.Header{CommandID: w.Commands.NewID(), Actor: "node:" + w.Node + "/erasure"}
}
