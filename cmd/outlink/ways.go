package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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
	var subject, way string
	c := &cobra.Command{Use: "request LINK", Short: "Have the client itself request tokens, without a person", Args: one("a link's id or name"), RunE: func(cmd *cobra.Command, args []string) error {
		return a.do(cmd, "RequestToken", func(ctx context.Context, c client.Client) (any, error) {
			id, err := linkID(ctx, c, args[0])
			return commands.RequestToken{Header: a.header(""), Link: id, Subject: subject, GrantType: link.GrantType(way)}, err
		})
	}}
	c.Flags().StringVar(&subject, "subject", "", "what the grant is called, and with jwt-bearer or token-exchange who it is about (default: default)")
	c.Flags().StringVar(&way, "grant-type", "", "of the request, where the link has more than one of the kind")
	return c
}

// assertionFlags are for links that use jwt-bearer.
func assertionFlags(f *pflag.FlagSet) *link.Assertion {
	var x link.Assertion
	f.StringVar(&x.Issuer, "assertion-issuer", "", "iss of the assertions (RFC 7523; default: the client id)")
	f.StringVar(&x.Subject, "assertion-subject", "", "sub of the assertions of all grants (default: each grant's own subject)")
	f.StringVar(&x.Audience, "assertion-audience", "", "aud of the assertions (default: the issuer, or the token endpoint)")
	f.BoolVar(&x.NoSubject, "assertion-no-subject", false, "no sub for the subject \"default\"")
	f.StringVar((*string)(&x.Scopes), "assertion-scopes", "", "where the scopes are: request (default), assertion or none")
	f.BoolVar(&x.Alone, "assertion-alone", false, "no client authentication goes with the assertion")
	return &x
}

// exchanged is what a link's tokens are had for, with the other link by id or name.
type exchanged struct {
	link.Exchange
	link string
}

// exchangeFlags are for links that use token-exchange.
func exchangeFlags(f *pflag.FlagSet) *exchanged {
	var x exchanged
	f.StringVar(&x.link, "exchange-link", "", "id or name of the link whose tokens are exchanged (RFC 8693)")
	f.StringVar(&x.Subject, "exchange-subject", "", "of whose grant, for all grants (default: each grant's own subject)")
	f.StringVar(&x.SubjectTokenType, "exchange-subject-token-type", "", "what is given (default: an access token)")
	f.StringVar(&x.RequestedTokenType, "exchange-requested-token-type", "", "what is wanted")
	f.StringVar(&x.Audience, "exchange-audience", "", "whom it is for; see also --resource")
	return &x
}

// resolved is the exchange with the other link's id.
func (x *exchanged) resolved(ctx context.Context, c client.Client) (link.Exchange, error) {
	if x.link == "" {
		return x.Exchange, nil
	}
	var err error
	x.Link, err = linkID(ctx, c, x.link)
	return x.Exchange, err
}

// shownWay is a part of a link's configuration in one line, or "" for none.
func shownWay[T comparable](x T) string {
	var none T
	if x == none {
		return ""
	}
	b, _ := json.Marshal(x) // text and bools only: it cannot fail
	return string(b)
}

// anyGiven reports whether a flag was used that begins so.
func anyGiven(f *pflag.FlagSet, prefix string) (given bool) {
	f.Visit(func(one *pflag.Flag) { given = given || strings.HasPrefix(one.Name, prefix) })
	return given
}

const authStyleHelp = "client authentication: basic, body, private_key_jwt, tls_client_auth, self_signed_tls_client_auth or none"

const grantTypeHelp = "how its tokens are had: authorization_code, client_credentials, " + string(link.DeviceCode) + ", " + string(link.JWTBearer) + " or " + string(link.TokenExchange) + "; may be repeated"

const dpopHelp = "bind tokens to a key of the grant's own (RFC 9449)"

func grantTypes(names []string) []link.GrantType {
	var types []link.GrantType
	for _, n := range names {
		types = append(types, link.GrantType(n))
	}
	return types
}
