package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain"
	"outlink/internal/queries"
)

func (a *app) grantCommands() *cobra.Command {
	c := &cobra.Command{Use: "grant", Short: "Grants: authorizations of a link by a person"}
	c.AddCommand(a.grantAuthorize(), a.grantRequest(), a.grantImport(), a.grantList(), a.grantShow(), a.grantExplain(),
		a.grantRefresh(),
		a.onGrant("suspend", "SuspendGrant", "Take a grant out of service", false, func(h commands.Header, r commands.GrantRef) any {
			return commands.SuspendGrant{Header: h, GrantRef: r}
		}),
		a.onGrant("resume", "ResumeGrant", "Put a suspended grant back into service", false, func(h commands.Header, r commands.GrantRef) any {
			return commands.ResumeGrant{Header: h, GrantRef: r}
		}),
		a.onGrant("revoke", "RevokeGrant", "Revoke a grant at the provider and shred its key", true, func(h commands.Header, r commands.GrantRef) any {
			return commands.RevokeGrant{Header: h, GrantRef: r}
		}))
	return c
}

func (a *app) grantRefresh() *cobra.Command {
	resend := false
	c := a.onGrant("refresh", "RequestRefresh", "Renew a grant's token now", false, func(h commands.Header, r commands.GrantRef) any {
		return commands.RequestRefresh{Header: h, GrantRef: r, Resend: resend}
	})
	c.Flags().BoolVar(&resend, "resend", false, "send the refresh token again although an answer to it could not be read; where the provider rotates strictly, that may end the grant")
	return c
}

func (a *app) grantAuthorize() *cobra.Command {
	var subject string
	var device bool
	c := &cobra.Command{Use: "authorize LINK", Short: "Begin an authorization and print the URL to open", Args: one("a link's id or name"), RunE: func(cmd *cobra.Command, args []string) error {
		if device {
			return a.authorizeDevice(cmd, args[0], subject)
		}
		return a.do(cmd, "BeginAuthorization", func(ctx context.Context, c client.Client) (any, error) {
			id, err := linkID(ctx, c, args[0])
			return commands.BeginAuthorization{Header: a.header(""), Link: id, Subject: subject}, err
		})
	}}
	c.Flags().StringVar(&subject, "subject", "", "whose authorization it is (default: default)")
	c.Flags().BoolVar(&device, "device", false, "print a code that the person enters on another device (RFC 8628)")
	return c
}

func (a *app) grantImport() *cobra.Command {
	var subject, file string
	c := &cobra.Command{Use: "import LINK", Short: "Import a token that another system held", Args: one("a link's id or name"), RunE: func(cmd *cobra.Command, args []string) error {
		raw, err := a.secretFile(cmd.Context(), file)
		if err != nil {
			return err
		}
		t, ignored, err := readTokenFile(raw, time.Now())
		if err != nil {
			return err
		}
		if len(ignored) > 0 {
			fmt.Fprintf(a.err, "ignored in the token file: %s\n", strings.Join(ignored, ", "))
		}
		return a.do(cmd, "RecordTokenIssued", func(ctx context.Context, c client.Client) (any, error) {
			id, err := linkID(ctx, c, args[0])
			if err != nil {
				return nil, err
			}
			r := commands.RecordTokenIssued{
				Header: a.header(""), Link: id, Subject: subject, TokenType: t.TokenType,
				Scopes: t.scopes(), ExpiresAt: t.ExpiresAt, RefreshTokenExpiresAt: t.RefreshTokenExpiresAt,
			}
			if r.RefreshToken, err = c.Seal(ctx, domain.NewSecret(t.RefreshToken)); err != nil {
				return nil, err
			}
			r.AccessToken, err = c.Seal(ctx, domain.NewSecret(t.AccessToken))
			return r, err
		})
	}}
	c.Flags().StringVar(&subject, "subject", "", "whose token it is (default: default)")
	c.Flags().StringVar(&file, "token-file", "-", "file with the refresh token, or a token response in JSON; - for standard input")
	return c
}

func (a *app) grantList() *cobra.Command {
	var after string
	c := &cobra.Command{Use: "ls LINK", Short: "List a link's grants", Args: one("a link's id or name"), RunE: func(cmd *cobra.Command, args []string) error {
		var list queries.GrantList
		err := a.with(cmd, func(ctx context.Context, c client.Client) error {
			id, err := linkID(ctx, c, args[0])
			if err != nil {
				return err
			}
			return c.Query(ctx, "ListGrants", queries.ListGrants{Link: id, After: after, Freshness: queries.Freshness{Fresh: true}}, &list)
		})
		if err != nil {
			return err
		}
		var rows [][]string
		for _, g := range list.Grants {
			rows = append(rows, []string{g.Grant.String(), g.Subject, string(g.Status), g.Reason, fmt.Sprint(g.Generation), when(g.ExpiresAt), when(g.DueAt)})
		}
		a.note(list.Staleness)
		if list.Next != "" {
			fmt.Fprintf(a.err, "more: --after %s\n", list.Next)
		}
		return a.print(list.Grants, []string{"grant", "subject", "status", "reason", "generation", "expires", "due"}, rows)
	}}
	c.Flags().StringVar(&after, "after", "", "the next page after this cursor")
	return c
}

func (a *app) showGrant(cmd *cobra.Command, id string) (v queries.GrantView, err error) {
	grantID, err := uuid.Parse(id)
	if err != nil {
		return v, usage("a grant is named by its id; list them: outlink grant ls LINK")
	}
	err = a.with(cmd, func(ctx context.Context, c client.Client) error {
		return c.Query(ctx, "ShowGrant", queries.ShowGrant{Grant: grantID, Freshness: queries.Freshness{Fresh: true}}, &v)
	})
	a.note(v.Staleness)
	return v, err
}

func (a *app) grantShow() *cobra.Command {
	return &cobra.Command{Use: "show GRANT", Short: "Show a grant", Args: one("a grant's id"), RunE: func(cmd *cobra.Command, args []string) error {
		v, err := a.showGrant(cmd, args[0])
		if err != nil {
			return err
		}
		return a.fields(v, [2]string{"grant", v.Grant.String()}, [2]string{"link", v.Link.String()}, [2]string{"subject", v.Subject},
			[2]string{"status", string(v.Status)}, [2]string{"reason", v.Reason}, [2]string{"provider code", v.ProviderCode},
			[2]string{"grant type", string(v.GrantType)}, [2]string{"generation", fmt.Sprint(v.Generation)}, [2]string{"scopes", strings.Join(v.Scopes, " ")},
			[2]string{"received", when(v.ReceivedAt)}, [2]string{"expires", when(v.ExpiresAt)}, [2]string{"due", when(v.DueAt)},
			[2]string{"refreshable", fmt.Sprint(v.Refreshable)}, [2]string{"failures", fmt.Sprint(v.Failures)})
	}}
}

func (a *app) onGrant(use, name, short string, destructive bool, body func(commands.Header, commands.GrantRef) any) *cobra.Command {
	var reason string
	var yes bool
	c := &cobra.Command{Use: use + " GRANT", Short: short, Args: one("a grant's id"), RunE: func(cmd *cobra.Command, args []string) error {
		if destructive && !yes {
			return domain.Errorf(domain.FailedPrecondition, "%s cannot be undone; repeat it with --yes", cmd.CommandPath())
		}
		v, err := a.showGrant(cmd, args[0])
		if err != nil {
			return err
		}
		return a.do(cmd, name, func(context.Context, client.Client) (any, error) {
			return body(a.header(reason), commands.GrantRef{Link: v.Link, Grant: v.Grant}), nil
		})
	}}
	c.Flags().StringVar(&reason, "reason", "", "why, for the event log")
	if destructive {
		c.Flags().BoolVar(&yes, "yes", false, "do it without asking")
	}
	return c
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
