package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/history"
	"outlink/internal/queries"
)

func (a *app) linkCommands() *cobra.Command {
	c := &cobra.Command{Use: "link", Short: "Links: client registrations at a provider"}
	c.AddCommand(a.linkCreate(), a.linkList(), a.linkShow(), a.linkDiff(), a.linkUpdate(), a.linkReplaceSecret(), a.linkDisable(), a.linkEnable(), a.linkDelete())
	return c
}

func (a *app) header(reason string) commands.Header {
	return commands.Header{CommandID: uuid.Must(uuid.NewV7()), Actor: a.actor, Reason: reason}
}

// do runs a command and prints its outcome.
func (a *app) do(cmd *cobra.Command, name string, body func(ctx context.Context, c client.Client) (any, error)) error {
	out, err := a.outcome(cmd, name, body)
	if err != nil {
		return err
	}
	return a.printOutcome(out)
}

func (a *app) outcome(cmd *cobra.Command, name string, body func(ctx context.Context, c client.Client) (any, error)) (out commands.Outcome, err error) {
	err = a.with(cmd, func(ctx context.Context, c client.Client) error {
		b, err := body(ctx, c)
		if err != nil {
			return err
		}
		return c.Do(ctx, name, b, &out)
	})
	return out, err
}

func (a *app) printOutcome(out commands.Outcome) error {
	grantID := ""
	if out.Grant != uuid.Nil {
		grantID = out.Grant.String()
	}
	return a.fields(out, [2]string{"link", out.Link.String()}, [2]string{"grant", grantID},
		[2]string{"redirect url", out.RedirectURL}, [2]string{"open in a browser", out.AuthorizationURL}, [2]string{"until", when(out.ExpiresAt)},
		[2]string{"sequence", fmt.Sprint(out.Sequence)}, [2]string{"events", strings.Join(out.Events, " ")})
}

// find resolves a link's id or name, and shows it as it was at a moment; the zero
// one is now.
func find(ctx context.Context, c client.Client, idOrName string, at history.Moment) (queries.LinkView, error) {
	var v queries.LinkView
	q := queries.ShowLink{Link: idOrName, At: at.Time, Version: at.Version, Freshness: queries.Freshness{Fresh: true}}
	err := c.Query(ctx, "ShowLink", q, &v)
	return v, err
}

// linkID resolves a link without asking when it is an id already.
func linkID(ctx context.Context, c client.Client, idOrName string) (uuid.UUID, error) {
	if id, err := uuid.Parse(idOrName); err == nil {
		return id, nil
	}
	v, err := find(ctx, c, idOrName, history.Moment{})
	return v.Link, err
}

func (a *app) linkCreate() *cobra.Command {
	var d commands.Draft
	var id, secret, scopes, style string
	var types *[]string
	var assertion *link.Assertion
	var exchange *exchanged
	c := &cobra.Command{
		Use: "create", Short: "Configure a link", Args: cobra.NoArgs,
		Example: "  outlink link create --name crm --provider google --client-id ID --client-secret-file secret.txt --scopes \"openid email\"",
		RunE: func(cmd *cobra.Command, _ []string) error {
			create := commands.CreateOutgoingLink{Header: a.header(""), Draft: d}
			create.Scopes, create.AuthStyle = strings.Fields(scopes), link.AuthStyle(style)
			create.GrantTypes, create.Assertion = grantTypes(*types), *assertion
			if id != "" {
				parsed, err := uuid.Parse(id)
				if err != nil {
					return usage("--id must be a UUID")
				}
				create.Link = parsed
			}
			var s domain.Secret
			if secret != "" {
				var err error
				if s, err = a.secretFile(cmd.Context(), secret); err != nil {
					return err
				}
			}
			return a.do(cmd, "CreateOutgoingLink", func(ctx context.Context, c client.Client) (any, error) {
				var err error
				if create.Exchange, err = exchange.resolved(ctx, c); err != nil {
					return nil, err
				}
				create.ClientSecret, err = c.Seal(ctx, s)
				return create, err
			})
		},
	}
	f := c.Flags()
	f.StringVar(&d.Name, "name", "", "the link's name, unique")
	f.StringVar(&d.Provider, "provider", "custom", "the provider's key; see: outlink provider ls")
	f.StringVar(&d.ClientID, "client-id", "", "client id")
	f.StringVar(&secret, "client-secret-file", "", "file with the client secret, or with the key or certificate in its place; - for standard input")
	f.StringVar(&scopes, "scopes", "", "scopes, separated by spaces")
	f.StringVar(&d.AuthorizationEndpoint, "authorization-endpoint", "", "authorization endpoint")
	f.StringVar(&d.TokenEndpoint, "token-endpoint", "", "token endpoint")
	f.StringVar(&d.RevocationEndpoint, "revocation-endpoint", "", "revocation endpoint (RFC 7009)")
	f.StringVar(&d.PushEndpoint, "push-endpoint", "", "pushed authorization request endpoint (RFC 9126)")
	f.StringVar(&d.DeviceEndpoint, "device-endpoint", "", "device authorization endpoint (RFC 8628)")
	f.StringVar(&style, "auth-style", "", authStyleHelp)
	f.StringSliceVar(&d.Resources, "resource", nil, "what the tokens are for, a URI (RFC 8707); may be repeated")
	types = f.StringSlice("grant-type", nil, grantTypeHelp)
	f.BoolVar(&d.DPoP, "dpop", false, dpopHelp)
	assertion, exchange = assertionFlags(f), exchangeFlags(f)
	f.StringVar(&d.Issuer, "issuer", "", "issuer that callbacks must name (RFC 9207)")
	f.StringVar(&id, "id", "", "the link's id (UUID), when it was chosen before")
	return c
}

func (a *app) linkList() *cobra.Command {
	q := queries.ListLinks{Freshness: queries.Freshness{Fresh: true}}
	var status, at string
	c := &cobra.Command{Use: "ls", Short: "List the links", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		q.Status = link.Status(status)
		list, err := a.links(cmd, q, at)
		if err != nil {
			return err
		}
		var rows [][]string
		for _, l := range list.Links {
			rows = append(rows, []string{
				l.Link.String(), l.Name, l.Provider, string(l.Status), string(l.Reason),
				fmt.Sprintf("%d/%d", l.Grants.Healthy, l.Grants.Total), when(l.NextExpiry),
			})
		}
		a.note(list.Staleness)
		if list.Next != "" {
			fmt.Fprintf(a.err, "more: --after %s\n", list.Next)
		}
		return a.print(list.Links, []string{"link", "name", "provider", "status", "reason", "grants healthy", "next expiry"}, rows)
	}}
	f := c.Flags()
	f.StringVar(&q.Provider, "provider", "", "only this provider's")
	f.StringVar(&status, "status", "", "only with this status")
	f.StringVar(&q.Text, "text", "", "only names that begin so")
	f.StringVar((*string)(&q.Health), "health", "", "only with grants of this health: none, healthy, retrying or attention")
	f.StringVar(&q.ExpiringWithin, "expiring-within", "", "only whose next access token ends within this, such as 24h; earliest first")
	f.StringVar(&at, "at", "", "links as they were at a time, such as 2026-11-24T12:00:00Z, from the log itself")
	f.IntVar(&q.Generation, "generation", 0, "of another generation of the read model, such as a past state; see: outlink projection ls")
	f.StringVar(&q.After, "after", "", "the next page after this cursor")
	f.Var(fromOne(&q.Limit, 50), "limit", "rows, at most 500")
	a.guarded(c) // for --at
	return c
}

// links lists what the query asks for, or reads what was there from the log.
func (a *app) links(cmd *cobra.Command, q queries.ListLinks, at string) (list queries.LinkList, err error) {
	if at != "" {
		m, err := past(0, at)
		if err != nil {
			return list, err
		}
		return a.linksPast(cmd, q, m)
	}
	err = a.with(cmd, func(ctx context.Context, c client.Client) error { return c.Query(ctx, "ListLinks", q, &list) })
	return list, err
}

func (a *app) linkShow() *cobra.Command {
	var at string
	var version uint64
	c := &cobra.Command{Use: "show LINK", Short: "Show a link, by id or name, as it is or as it was", Args: one("a link's id or name"), RunE: func(cmd *cobra.Command, args []string) error {
		v, err := a.link(cmd, args[0], version, at)
		if err != nil {
			return err
		}
		return a.showLink(v)
	}}
	c.Flags().StringVar(&at, "at", "", "as it was at a time, such as 2026-11-24T12:00:00Z")
	c.Flags().Var(fromOne(&version, 0), "version", "as it was at a version")
	return c
}

// link finds a link, or reads what it was from the log.
func (a *app) link(cmd *cobra.Command, name string, version uint64, at string) (v queries.LinkView, err error) {
	m, err := past(version, at)
	if err != nil {
		return v, err
	}
	err = a.with(cmd, func(ctx context.Context, c client.Client) (err error) {
		v, err = find(ctx, c, name, m)
		return err
	})
	a.note(v.Staleness)
	return v, err
}

func (a *app) showLink(v queries.LinkView) error {
	return a.fields(v, [2]string{"link", v.Link.String()}, [2]string{"name", v.Name}, [2]string{"provider", v.Provider},
		[2]string{"status", string(v.Status)}, [2]string{"reason", string(v.Reason)}, [2]string{"client id", v.ClientID},
		[2]string{"client secret set", fmt.Sprint(v.ClientSecretSet)}, [2]string{"scopes", strings.Join(v.Scopes, " ")},
		[2]string{"authorization endpoint", v.AuthorizationEndpoint}, [2]string{"token endpoint", v.TokenEndpoint},
		[2]string{"revocation endpoint", v.RevocationEndpoint}, [2]string{"issuer", v.Issuer}, [2]string{"auth style", string(v.AuthStyle)},
		[2]string{"device authorization endpoint", v.DeviceEndpoint}, [2]string{"pushed authorization request endpoint", v.PushEndpoint},
		[2]string{"grant types", strings.Trim(fmt.Sprint(v.GrantTypes), "[]")}, [2]string{"resources", strings.Join(v.Resources, " ")}, [2]string{"dpop bound access tokens", yes(v.DPoP)}, [2]string{"assertion", shownWay(v.Assertion)}, [2]string{"exchange", shownWay(v.Exchange)},
		[2]string{"redirect url", v.RedirectURL}, [2]string{"grants", fmt.Sprintf("%d healthy of %d", v.Grants.Healthy, v.Grants.Total)},
		[2]string{"next expiry", when(v.NextExpiry)}, [2]string{"version", fmt.Sprint(v.Version)})
}

func (a *app) linkReplaceSecret() *cobra.Command {
	var file string
	c := &cobra.Command{Use: "replace-secret LINK", Short: "Give a link a new client secret", Args: one("a link's id or name"), RunE: func(cmd *cobra.Command, args []string) error {
		s, err := a.secretFile(cmd.Context(), file)
		if err != nil {
			return err
		}
		return a.do(cmd, "ReplaceClientSecret", func(ctx context.Context, c client.Client) (any, error) {
			id, err := linkID(ctx, c, args[0])
			if err != nil {
				return nil, err
			}
			sealed, err := c.Seal(ctx, s)
			return commands.ReplaceClientSecret{Header: a.header(""), Link: id, ClientSecret: sealed}, err
		})
	}}
	c.Flags().StringVar(&file, "client-secret-file", "-", "file with the client secret; - for standard input")
	return c
}

func (a *app) linkDisable() *cobra.Command {
	return a.onLink("disable", "DisableLink", "Take a link out of service", false, func(h commands.Header, id uuid.UUID) any {
		return commands.DisableLink{Header: h, Link: id}
	})
}

func (a *app) linkEnable() *cobra.Command {
	return a.onLink("enable", "EnableLink", "Put a disabled link back into service", false, func(h commands.Header, id uuid.UUID) any {
		return commands.EnableLink{Header: h, Link: id}
	})
}

func (a *app) linkDelete() *cobra.Command {
	return a.onLink("delete", "DeleteLink", "Delete a link, revoke its grants and shred its keys", true, func(h commands.Header, id uuid.UUID) any {
		return commands.DeleteLink{Header: h, Link: id}
	})
}

func (a *app) onLink(use, name, short string, destructive bool, body func(commands.Header, uuid.UUID) any) *cobra.Command {
	var reason string
	var yes bool
	c := &cobra.Command{Use: use + " LINK", Short: short, Args: one("a link's id or name"), RunE: func(cmd *cobra.Command, args []string) error {
		if destructive && !yes {
			return domain.Errorf(domain.FailedPrecondition, "%s cannot be undone; repeat it with --yes", cmd.CommandPath())
		}
		return a.do(cmd, name, func(ctx context.Context, c client.Client) (any, error) {
			id, err := linkID(ctx, c, args[0])
			return body(a.header(reason), id), err
		})
	}}
	c.Flags().StringVar(&reason, "reason", "", "why, for the event log")
	if destructive {
		c.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	}
	return c
}
