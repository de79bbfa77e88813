package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/internal/demoprovider"
	"outlink/internal/node"
	"outlink/projections"
)

// demoClient is the client id at the demo provider.
const demoClient = "outlink-demo"

// seeder creates the links that a newcomer finds. It may run at every start.
type seeder struct {
	commands *commands.Service
	demo     *demoprovider.Provider
	secret   domain.Secret
}

// seeds have fixed ids, so that the next start finds them.
var seeds = struct{ google, microsoft, custom uuid.UUID }{
	uuid.MustParse("0199a000-0000-7000-8000-000000000001"),
	uuid.MustParse("0199a000-0000-7000-8000-000000000002"),
	uuid.MustParse("0199a000-0000-7000-8000-000000000003"),
}

func (s seeder) run(ctx context.Context) error {
	placeholder := domain.NewSecret("replace-me")
	for id, d := range map[uuid.UUID]commands.Draft{
		seeds.google:    {Name: "google", Provider: "google", ClientID: "your-client-id.apps.googleusercontent.com", Scopes: []string{"openid", "email"}},
		seeds.microsoft: {Name: "microsoft", Provider: "microsoft", ClientID: "00000000-0000-0000-0000-000000000000", Scopes: []string{"openid", "offline_access"}},
	} {
		if _, err := s.link(ctx, id, d, placeholder); err != nil {
			return err
		}
	}
	exists, err := s.link(ctx, seeds.custom, commands.Draft{
		Name: "demo", Provider: "custom", ClientID: demoClient, Scopes: []string{"openid", "offline_access"},
		AuthorizationEndpoint: s.demo.AuthorizationEndpoint(), TokenEndpoint: s.demo.TokenEndpoint(),
		RevocationEndpoint: s.demo.RevocationEndpoint(), AuthStyle: link.Basic,
	}, s.secret)
	if err != nil || !exists {
		return err
	}
	return s.authorize(ctx)
}

func (s seeder) header() commands.Header {
	return commands.Header{CommandID: s.commands.NewID(), Actor: "outlink dev"}
}

// link creates a link, or brings the addresses of an existing one up to date:
// ports may have changed since. It reports whether there is such a link: one
// that a person deleted is not brought back.
func (s seeder) link(ctx context.Context, id uuid.UUID, d commands.Draft, secret domain.Secret) (bool, error) {
	at, err := s.commands.Links.Load(ctx, domain.Key{Link: id})
	if err != nil {
		return false, err
	}
	switch at.State.Status() {
	case link.StatusDeleted:
		return false, nil
	case link.StatusAbsent:
		_, err = s.commands.CreateOutgoingLink(ctx, commands.CreateOutgoingLink{
			Header: s.header(), Link: id, Draft: d, ClientSecret: domain.SecretInput{Clear: secret},
		})
	default:
		u := commands.UpdateOutgoingLink{Header: s.header(), Link: id}
		if d.TokenEndpoint != "" {
			u.AuthorizationEndpoint, u.TokenEndpoint, u.RevocationEndpoint = &d.AuthorizationEndpoint, &d.TokenEndpoint, &d.RevocationEndpoint
		}
		_, err = s.commands.UpdateOutgoingLink(ctx, u)
	}
	if err != nil {
		return false, fmt.Errorf("link %s: %w", d.Name, err)
	}
	return true, nil
}

// moveLinks gives every link a redirect URL that leads here: the port may have
// changed since. A link whose provider does not take that is left as it is.
func (a *app) moveLinks(ctx context.Context, n *node.Node) error {
	if err := n.CaughtUp(ctx); err != nil {
		return err
	}
	f := projections.LinkFilter{Limit: 500}
	for {
		rows, next, err := n.Store().Links(ctx, f)
		if err != nil {
			return err
		}
		for _, row := range rows {
			u := commands.UpdateOutgoingLink{Header: commands.Header{CommandID: n.Commands.NewID(), Actor: "outlink dev"}, Link: row.Link}
			out, err := n.Commands.UpdateOutgoingLink(ctx, u)
			switch {
			case err != nil && ctx.Err() != nil:
				return err
			case err != nil:
				fmt.Fprintf(a.err, "link %s keeps its redirect URL: %s\n", row.State.Name, domain.Public(err).Message)
			case len(out.Events) > 0:
				fmt.Fprintf(a.err, "register the new redirect URL of link %s at its provider: %s\n", row.State.Name, out.RedirectURL)
			}
		}
		if f.After = next; next == "" {
			return nil
		}
	}
}

// authorize signs the demo user in, the first time.
func (s seeder) authorize(ctx context.Context) error {
	at, err := s.commands.Grants.Load(ctx, domain.Key{Link: seeds.custom, Grant: grant.ID(seeds.custom, grant.DefaultSubject)})
	if err != nil || at.State.Credential != nil || at.State.Ended {
		return err
	}
	out, err := s.commands.BeginAuthorization(ctx, commands.BeginAuthorization{Header: s.header(), Link: seeds.custom})
	if err != nil {
		return err
	}
	if err := demoprovider.SignIn(ctx, out.AuthorizationURL); err != nil {
		return fmt.Errorf("sign in at the demo provider: %w", err)
	}
	return nil
}
