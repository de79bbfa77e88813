package refresh

import (
	"context"
	"fmt"
	"time"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// subjectLeft is how long a token lives at least that is given in exchange: it has
// to arrive.
const subjectLeft = 10 * time.Second

// subjectToken is what the client gives in exchange for the grant's token (RFC
// 8693): the access token of another grant. Where that has none now it is asked to
// get one, and the answer says in words what is missing.
func (w *Worker) subjectToken(ctx context.Context, s grant.State, l link.State) (domain.Secret, string, error) {
	x := l.Exchange
	key := domain.Key{Link: x.Link, Grant: grant.ID(x.Link, x.Of(s.Subject))}
	other, err := w.Commands.Links.Load(ctx, domain.Key{Link: x.Link})
	if err != nil {
		return domain.Secret{}, "", err
	}
	if other.State.Usable(x.Link) != nil {
		return domain.Secret{}, fmt.Sprintf("link %s, whose token is exchanged, is not in service", x.Link), nil //nolint:nilerr // why it is not is for who looks at that link
	}
	at, credential, err := w.Commands.Complete(ctx, key)
	if err != nil {
		return domain.Secret{}, "", err
	}
	now := w.Commands.Now()
	issued, err := at.State.Servable(key.Grant, now)
	if err == nil && issued.ExpiresAt.Sub(now) >= subjectLeft && credential.Issued.Generation == issued.Generation && !credential.AccessToken.IsZero() {
		return credential.AccessToken, "", nil
	}
	h := w.header()
	h.Reason = "a token is to be exchanged"
	_, err = w.Commands.RequestRefresh(ctx, commands.RequestRefresh{Header: h, GrantRef: commands.GrantRef{Link: key.Link, Grant: key.Grant}})
	if domain.CodeOf(err) == domain.Unavailable {
		return domain.Secret{}, "", err
	}
	return domain.Secret{}, fmt.Sprintf("grant %s of link %s has no token now that could be exchanged", key.Grant, key.Link), nil
}
