// Package erasure ends what was revoked or deleted: it asks the provider to
// revoke the token (RFC 7009), shreds the data key, and says in the log that it
// did. The provider's refusal is recorded and does not keep the key alive.
package erasure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

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

// Shredder destroys data keys. What Doomed returns destroys what there was when it
// was called, and nothing newer, and reports whether the key is gone. GrantsOf lists
// the grants of a link of which anything is kept.
type Shredder interface {
	Shred(ctx context.Context, key domain.Key) error
	Doomed(ctx context.Context, key domain.Key) (shred func(context.Context) (bool, error), err error)
	GrantsOf(ctx context.Context, link uuid.UUID) ([]domain.Key, error)
}

// Worker erases. All exported fields are required.
type Worker struct {
	Commands *commands.Service
	Endpoint Revoker
	Vault    Shredder
	GrantsOf func(ctx context.Context, link uuid.UUID) ([]domain.Key, error) // from the log
	Node     string
	Log      *slog.Logger

	mu    sync.Mutex
	since map[domain.Key]time.Time // when an erasure first found something away
}

// Handle erases what an event ended. Any other event is none of its business;
// an event seen twice finds its work done.
func (w *Worker) Handle(ctx context.Context, r domain.Record) error {
	switch key := (domain.Key{Link: r.Link, Grant: r.Grant}); {
	case r.OfGrant() && r.Type == revoked:
		return w.eraseGrant(ctx, key)
	case r.OfGrant() && slices.Contains(begun, r.Type):
		return w.endOrphan(ctx, key)
	case !r.OfGrant() && r.Type == deleted:
		return w.eraseLink(ctx, r.Link)
	}
	return nil
}

var (
	revoked = grant.Kinds.Type(grant.Revoked{})
	deleted = link.Kinds.Type(link.Deleted{})
	begun   = []string{grant.Kinds.Type(grant.AuthorizationBegun{}), grant.Kinds.Type(grant.TokenRequested{}), grant.Kinds.Type(grant.TokenIssued{})}
)

// endOrphan ends a grant that was begun while its link was deleted: the link's grants
// were listed before.
func (w *Worker) endOrphan(ctx context.Context, key domain.Key) error {
	l, err := w.Commands.Links.Load(ctx, domain.Key{Link: key.Link})
	if err != nil || l.State.Status() != link.StatusDeleted {
		return err
	}
	return w.endGrant(ctx, key)
}

// parallel is how many grants of a deleted link are ended at once.
const parallel = 16

// eraseLink ends a link's grants first: revoking them needs the client secret.
func (w *Worker) eraseLink(ctx context.Context, id uuid.UUID) error {
	keys, err := w.GrantsOf(ctx, id)
	if err != nil {
		return fmt.Errorf("list the grants of link %s: %w", id, err)
	}
	if err := w.endGrants(ctx, keys); err != nil {
		return err
	}
	if err := w.eraseLeft(ctx, id); err != nil {
		return err
	}
	if err := w.Vault.Shred(ctx, domain.Key{Link: id}); err != nil {
		return fmt.Errorf("shred link %s: %w", id, err)
	}
	return nil
}

// endGrants ends several grants at a time. One that cannot be ended keeps none of the
// others alive, but many tell of something that is away.
func (w *Worker) endGrants(ctx context.Context, keys []domain.Key) error {
	var group errgroup.Group
	group.SetLimit(parallel)
	var failed failures
	for _, key := range keys {
		if failed.many() {
			break
		}
		group.Go(func() error {
			failed.add(w.endGrant(ctx, key))
			return nil
		})
	}
	_ = group.Wait()
	return failed.err()
}

// eraseLeft ends what never came to the log, as of an import that was cut off.
func (w *Worker) eraseLeft(ctx context.Context, link uuid.UUID) error {
	left, err := w.Vault.GrantsOf(ctx, link)
	if err != nil {
		return fmt.Errorf("list what is left of link %s: %w", link, err)
	}
	for _, key := range left {
		err := w.revoke(ctx, key)
		if errors.Is(err, errAway) && w.waits(key) {
			return fmt.Errorf("revoke the token of grant %s: %w", key, err)
		}
		if err != nil {
			w.Log.Warn("the provider did not revoke a token that never came to the log", "grant", key.Grant, "error", err)
		}
		if err := w.Vault.Shred(ctx, key); err != nil {
			return fmt.Errorf("shred grant %s: %w", key, err)
		}
		w.waited(key)
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
	shred, err := w.Vault.Doomed(ctx, key) // before the look: what is authorized after it stays
	if err != nil {
		return fmt.Errorf("shred grant %s: %w", key, err)
	}
	at, err := w.Commands.Grants.Load(ctx, key)
	if err != nil {
		return fmt.Errorf("load grant %s: %w", key, err)
	}
	if !at.State.Ended || at.State.Shredded {
		w.waited(key)
		return nil // authorized anew since, or done before
	}
	e := grant.Erased{RevokedAtProvider: true, At: w.Commands.Now()}
	if err := w.revoke(ctx, key); err != nil {
		if errors.Is(err, errAway) && w.waits(key) {
			return fmt.Errorf("revoke the token of grant %s: %w", key, err)
		}
		e.RevokedAtProvider, e.Problem = false, domain.Public(err).Message
		w.Log.Warn("the provider did not revoke a token", "grant", key.Grant, "error", err)
	}
	gone, err := shred(ctx)
	if err == nil && !gone { // another node shredded it, and maybe a person was quick: look again
		err = domain.Errorf(domain.Unavailable, "its key has changed meanwhile; try again")
	}
	if err != nil {
		return fmt.Errorf("shred grant %s: %w", key, err)
	}
	_, err = w.Commands.RecordErased(ctx, key, w.header(), e)
	if err == nil {
		w.waited(key)
	}
	return err
}

// errNothing says that there was no token to revoke, or nowhere to do it.
func errNothing(what string) error {
	return domain.Errorf(domain.FailedPrecondition, "not revoked at the provider: %s", what)
}

// errAway is trouble of this installation's own, which passes.
var errAway = errors.New("the log, the vault or the key service is away")

// revoke asks the provider to end what there is of a grant's tokens.
func (w *Worker) revoke(ctx context.Context, key domain.Key) error {
	r, c, err := w.held(ctx, key)
	if domain.CodeOf(err) == domain.Unavailable {
		return errors.Join(errAway, err)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if c.RefreshToken.IsZero() {
		return w.Endpoint.Revoke(ctx, r, c.AccessToken, "access_token")
	}
	err = w.Endpoint.Revoke(ctx, r, c.RefreshToken, "refresh_token")
	if !c.Fallback.IsZero() { // of an answer that was overtaken
		err = errors.Join(err, w.Endpoint.Revoke(ctx, r, c.Fallback, "refresh_token"))
	}
	return err
}

// held is what a grant holds, and where it can be revoked.
func (w *Worker) held(ctx context.Context, key domain.Key) (r provider.Registration, c commands.Credential, err error) {
	l, err := w.Commands.Links.Load(ctx, domain.Key{Link: key.Link})
	if err != nil {
		return r, c, err
	}
	if l.State.RevocationEndpoint == "" {
		return r, c, errNothing("the link has no revocation endpoint")
	}
	if c, _, err = w.Commands.Vault.Credential(ctx, key); err != nil {
		return r, c, err
	}
	if c.RefreshToken.IsZero() && c.AccessToken.IsZero() {
		return r, c, errNothing("there was no token")
	}
	r, err = w.Commands.Registration(ctx, key.Link, l.State)
	return r, c, err
}

func (w *Worker) header() commands.Header {
	return commands.Header{CommandID: w.Commands.NewID(), Actor: "node:" + w.Node + "/erasure"}
}
