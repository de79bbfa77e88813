package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain/link"
)

func (a *app) linkUpdate() *cobra.Command {
	var name, clientID, scopes, authz, token, revocation, issuer, style string
	var version int64
	c := &cobra.Command{Use: "update LINK", Short: "Change a link's configuration", Args: one("a link's id or name")}
	f := c.Flags()
	f.StringVar(&name, "name", "", "new name")
	f.StringVar(&clientID, "client-id", "", "new client id")
	f.StringVar(&scopes, "scopes", "", "new scopes, separated by spaces")
	f.StringVar(&authz, "authorization-endpoint", "", "new authorization endpoint")
	f.StringVar(&token, "token-endpoint", "", "new token endpoint")
	f.StringVar(&revocation, "revocation-endpoint", "", "new revocation endpoint")
	f.StringVar(&issuer, "issuer", "", "new issuer")
	f.StringVar(&style, "auth-style", "", authStyleHelp)
	push := f.String("push-endpoint", "", "new pushed authorization request endpoint")
	device := f.String("device-endpoint", "", "new device authorization endpoint")
	types := f.StringSlice("grant-type", nil, grantTypeHelp)
	assertion, exchange := assertionFlags(f), exchangeFlags(f)
	dpop := f.Bool("dpop", false, dpopHelp+"; counts for new authorizations")
	resources := f.StringSlice("resource", nil, "what the tokens are for (RFC 8707); may be repeated")
	f.Int64Var(&version, "expected-version", -1, "refuse if the link is at another version")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		out, err := a.outcome(cmd, "UpdateOutgoingLink", func(ctx context.Context, c client.Client) (any, error) {
			id, err := linkID(ctx, c, args[0])
			if err != nil {
				return nil, err
			}
			x, err := exchange.resolved(ctx, c)
			u := commands.UpdateOutgoingLink{Header: a.header(""), Link: id}
			given(f.Changed("name"), &u.Name, name)
			given(f.Changed("client-id"), &u.ClientID, clientID)
			given(f.Changed("authorization-endpoint"), &u.AuthorizationEndpoint, authz)
			given(f.Changed("token-endpoint"), &u.TokenEndpoint, token)
			given(f.Changed("revocation-endpoint"), &u.RevocationEndpoint, revocation)
			given(f.Changed("issuer"), &u.Issuer, issuer)
			given(f.Changed("auth-style"), &u.AuthStyle, link.AuthStyle(style))
			given(f.Changed("push-endpoint"), &u.PushEndpoint, *push)
			given(f.Changed("device-endpoint"), &u.DeviceEndpoint, *device)
			given(anyGiven(f, "assertion-"), &u.Assertion, *assertion)
			given(anyGiven(f, "exchange-"), &u.Exchange, x)
			given(f.Changed("dpop"), &u.DPoP, *dpop)
			given(f.Changed("resource"), &u.Resources, *resources)
			given(version >= 0, &u.ExpectedVersion, uint64(version))
			u.GrantTypes = grantTypes(*types)
			if f.Changed("scopes") {
				u.Scopes = strings.Fields(scopes)
			}
			return u, err
		})
		if err != nil {
			return err
		}
		if len(out.Events) > 0 && out.RedirectURL != "" {
			fmt.Fprintf(a.err, "the provider must know this redirect URL; register it there if it is new: %s\n", out.RedirectURL)
		}
		return a.printOutcome(out)
	}
	return c
}

func given[T any](is bool, to **T, value T) {
	if is {
		*to = &value
	}
}
