package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain"
	"outlink/domain/link"
)

// authorizeDevice repeats the command until the provider has given the code.
func (a *app) authorizeDevice(cmd *cobra.Command, name, subject string) error {
	var out commands.Outcome
	err := a.with(cmd, func(ctx context.Context, c client.Client) error {
		id, err := linkID(ctx, c, name)
		if err != nil {
			return err
		}
		begin := commands.BeginAuthorization{Header: a.header(""), Link: id, Subject: subject, Device: true}
		for range 60 {
			if err := c.Do(ctx, "BeginAuthorization", begin, &out); err != nil || out.Device != nil && out.Device.UserCode != "" {
				return err
			}
			select {
			case <-time.After(time.Second / 2):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return domain.Errorf(domain.Unavailable, "the provider has given no code yet; see: outlink grant explain %s", out.Grant)
	})
	if err != nil {
		return err
	}
	return a.fields(out, [2]string{"link", out.Link.String()}, [2]string{"grant", out.Grant.String()},
		[2]string{"open on any device", out.Device.VerificationURI}, [2]string{"enter the code", out.Device.UserCode},
		[2]string{"or open", out.Device.VerificationURIComplete}, [2]string{"until", when(out.ExpiresAt)})
}

func (a *app) grantRequest() *cobra.Command {
	var subject string
	c := &cobra.Command{Use: "request LINK", Short: "Have the client itself request tokens, without a person", Args: one("a link's id or name"), RunE: func(cmd *cobra.Command, args []string) error {
		return a.do(cmd, "RequestToken", func(ctx context.Context, c client.Client) (any, error) {
			id, err := linkID(ctx, c, args[0])
			return commands.RequestToken{Header: a.header(""), Link: id, Subject: subject}, err
		})
	}}
	c.Flags().StringVar(&subject, "subject", "", "what the grant is called (default: default)")
	return c
}

const authStyleHelp = "client authentication: basic, body, private_key_jwt, tls_client_auth, self_signed_tls_client_auth or none"

const grantTypeHelp = "how its tokens are had: authorization_code, client_credentials or " + string(link.DeviceCode) + "; may be repeated"

const dpopHelp = "bind tokens to a key of the grant's own (RFC 9449)"

func grantTypes(names []string) []link.GrantType {
	var types []link.GrantType
	for _, n := range names {
		types = append(types, link.GrantType(n))
	}
	return types
}
